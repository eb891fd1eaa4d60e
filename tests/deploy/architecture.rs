//! `docs/ARCHITECTURE.md` names files: they are there.

use std::path::{Path, PathBuf};

use crate::{read, workspace};

/// What has a path's form: a directory, or a file of ours.
fn is_path(text: &str) -> bool {
    let of_ours = [".rs", ".js", ".json", ".md"]
        .iter()
        .any(|end| text.ends_with(end));
    (of_ours || text.contains('/')) && !text.contains([' ', ':', '<', '*'])
}

/// `a/{b,c}.rs` is two.
fn apart(text: &str) -> Vec<String> {
    let Some((before, (within, after))) = text
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return vec![text.to_owned()];
    };
    let names = within.split(',');
    names.map(|name| format!("{before}{name}{after}")).collect()
}

/// `path`, and the directories above it, but the workspace's own.
fn rooms(path: &Path) -> impl Iterator<Item = PathBuf> {
    let above = path.ancestors().take_while(|room| *room != workspace());
    above.map(Path::to_owned)
}

/// Looks for each of `texts` in the workspace, or else in a directory that one before it is in. Returns those that are nowhere.
fn missing<'a>(texts: impl IntoIterator<Item = &'a str>, mut known: Vec<PathBuf>) -> Vec<String> {
    let mut missing = Vec::new();
    for text in texts.into_iter().flat_map(apart) {
        let places = [workspace().to_owned()]
            .into_iter()
            .chain(known.iter().rev().cloned());
        match places.map(|room| room.join(&text)).find(|path| path.exists()) {
            Some(path) => known.extend(rooms(&path)),
            None => missing.push(text),
        }
    }
    missing
}

fn within<'a>(text: &'a str, fence: &str) -> Vec<&'a str> {
    text.split(fence).skip(1).step_by(2).collect()
}

#[test]
fn the_files_that_it_names_are_there() {
    let page = read("docs/ARCHITECTURE.md");
    let mut missed = Vec::new();
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let texts = within(row, "`");
        // A row of a crate begins with its name.
        let mut known = Vec::new();
        for above in ["crates", "bins"] {
            let of_crate = workspace()
                .join(above)
                .join(texts.first().copied().unwrap_or_default());
            if of_crate.join("src").is_dir() {
                known = vec![of_crate.clone(), of_crate.join("src")];
            }
        }
        let paths: Vec<_> = texts.into_iter().filter(|text| is_path(text)).collect();
        named += paths.len();
        missed.extend(missing(paths, known));
    }
    let blocks = within(&page, "```\n");
    for (block, room) in blocks.iter().zip(["", "crates/backup-engine/src"]) {
        for line in block.lines() {
            // What is there is in the first column.
            let (names, _) = line.split_once("  ").unwrap();
            let names: Vec<_> = names.split(", ").collect();
            named += names.len();
            missed.extend(missing(names, vec![workspace().join(room)]));
        }
    }
    assert_eq!(missed, [""; 0]);
    assert!(named > 150, "{named}");
}
