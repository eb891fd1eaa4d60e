//! The documents as a site: all of them are in it, and links lead somewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::{files, leads_somewhere, read, workspace};

/// Decisions are added by `docs/site`.
#[test]
fn every_document_is_in_the_summary() {
    let summary = read("docs/SUMMARY.md");
    let documents = files("docs", ".md").into_iter();
    let missing: Vec<_> = documents
        .filter(|path| path.parent() == Some(&workspace().join("docs")))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "SUMMARY.md" && !summary.contains(&format!("]({name})")))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut documents = files("docs", ".md");
    documents.extend(
        ["README.md", "CHANGELOG.md", "examples/deploy/README.md"].map(|name| workspace().join(name)),
    );
    let known: BTreeMap<PathBuf, Vec<String>> = documents
        .iter()
        .map(|path| {
            (
                path.canonicalize().unwrap(),
                headings(&fs::read_to_string(path).unwrap()),
            )
        })
        .collect();
    let mut dead = Vec::new();
    for document in &documents {
        let text = prose(&fs::read_to_string(document).unwrap());
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.starts_with("http")
                && !leads_somewhere(document, link, |file, heading| {
                    known
                        .get(file)
                        .is_some_and(|all| all.iter().any(|found| found == heading))
                })
            {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

/// Whoever looks for a section finds it there.
#[test]
fn operations_lists_its_sections_in_their_order() {
    let text = prose(&read("docs/OPERATIONS.md"));
    let titles: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let listed = text.lines().filter_map(|line| line.strip_prefix("- ["));
    let listed: Vec<_> = listed
        .filter_map(|line| Some(line.split_once("](#")?.0))
        .take(titles.len())
        .collect();
    assert_eq!(listed, titles);
}

/// A code is what programs rely on: the table of the API has each that the sources give.
#[test]
fn every_code_of_an_error_is_in_the_table() {
    let api = read("docs/API.md");
    let table: String = api.lines().filter(|line| line.starts_with("| ")).collect();
    let quoted = |text: &str| {
        text.trim_start()
            .strip_prefix('"')?
            .split_once('"')
            .map(|(code, _)| code.to_owned())
    };
    let mut codes = Vec::new();
    for path in files("bins/zk-backup-daemon/src", ".rs") {
        let source = fs::read_to_string(path).unwrap();
        let behind_statuses = source.split("StatusCode::").skip(1);
        codes.extend(behind_statuses.filter_map(|rest| quoted(rest.split_once(',')?.1)));
    }
    let engine = read("crates/backup-engine/src/error.rs");
    let (_, kinds) = engine.split_once("fn code").unwrap();
    let (kinds, _) = kinds.split_once("\n    }\n").unwrap();
    codes.extend(kinds.split("=>").skip(1).filter_map(quoted));
    assert!(codes.len() > 20, "{codes:?}");
    let is_code = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    codes.retain(|code| is_code(code) && !table.contains(&format!("`{code}`")));
    assert_eq!(codes, [""; 0]);
}

/// Without blocks of code.
fn prose(document: &str) -> String {
    let mut is_code = false;
    let lines = document.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// As they are named in links.
fn headings(document: &str) -> Vec<String> {
    let text = prose(document);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let name = |heading: &str| {
        let heading = heading
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .replace(' ', "-");
        heading
            .chars()
            .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
            .collect()
    };
    headings.map(name).collect()
}
