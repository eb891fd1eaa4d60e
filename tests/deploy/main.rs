//! What is handed to operators beside the programs: the documents, and `examples/deploy`. No server is started here.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod architecture;
mod book;
mod ci;
mod commands;
mod documents;
mod guide;
mod helm;
mod manifests;
mod names;
mod shell;
mod signals;
mod site;
mod tools;
mod unit;

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file of the workspace.
fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap()
}

/// The files below a directory of the workspace, with names that end so.
fn files(below: &str, end: &str) -> Vec<PathBuf> {
    files_in(&workspace().join(below), end)
}

fn files_in(below: &Path, end: &str) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![below.to_owned()]);
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.to_str().unwrap().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Whether there is what a link of `from` names: a file, and where it names a place in it, that by `has`.
fn leads_somewhere(from: &Path, link: &str, has: impl Fn(&Path, &str) -> bool) -> bool {
    let (file, place) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        from.to_owned()
    } else {
        from.parent().unwrap().join(file)
    };
    target
        .canonicalize()
        .is_ok_and(|target| place.is_empty() || has(&target, place))
}
