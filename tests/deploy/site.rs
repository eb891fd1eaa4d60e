//! The documents as a site, made by mdBook as a library: `docs/site` gathers them, and no link of a page leads nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mdbook_driver::MDBook;

use crate::{files, files_in, leads_somewhere, workspace};

#[test]
fn the_site_is_built_and_every_link_in_it_leads_somewhere() {
    // The script's last step is what is done below.
    let gathered = Command::new(workspace().join("docs/site"))
        .env("MDBOOK", "true")
        .status();
    assert!(gathered.unwrap().success());
    let to = tempfile::tempdir().unwrap();
    let mut book = MDBook::load(workspace().join("docs")).unwrap();
    book.config.build.build_dir = to.path().to_owned();
    book.build().unwrap();

    let pages: BTreeMap<PathBuf, String> = files_in(to.path(), ".html")
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    let has_page = |name: &str| pages.contains_key(&to.path().join(name).with_extension("html"));
    for document in files("docs", ".md") {
        let name = document
            .strip_prefix(workspace().join("docs"))
            .unwrap()
            .to_str()
            .unwrap();
        assert!(name == "SUMMARY.md" || has_page(name), "{name} is no page");
    }
    assert!(has_page("index") && has_page("DEPLOY"), "{:?}", pages.keys());

    let ids: BTreeMap<&Path, BTreeSet<&str>> = pages
        .iter()
        .map(|(path, text)| (path.as_path(), attributes(text, "id").collect()))
        .collect();
    let (mut followed, mut dead) = (0, Vec::new());
    for (page, text) in &pages {
        for link in attributes(text, "href").chain(attributes(text, "src")) {
            if link.contains("://") || link.starts_with("data:") {
                continue;
            }
            followed += 1;
            if !leads_somewhere(page, link, |file, id| {
                ids.get(file).is_some_and(|known| known.contains(id))
            }) {
                dead.push(format!(
                    "{}: {link}",
                    page.strip_prefix(to.path()).unwrap().display()
                ));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(followed > 1_000, "{followed}");
}

/// The values of an attribute, in quotes as mdBook writes them.
fn attributes<'a>(page: &'a str, name: &'static str) -> impl Iterator<Item = &'a str> {
    let begin = format!(" {name}=\"");
    let starts: Vec<_> = page
        .match_indices(&begin)
        .map(|(at, found)| at + found.len())
        .collect();
    starts.into_iter().filter_map(|at| page[at..].split('"').next())
}
