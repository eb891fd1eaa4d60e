//! Settings that `examples/deploy` names, and that the documents set, are those of the programs.

use std::collections::BTreeSet;
use std::fs;

use zk_backup_testkit::blocks;

use crate::{files, read};

/// What is written in capitals and is no setting of the server.
const OTHERS: [&str; 8] = [
    "AF_INET",
    "AF_INET6",
    "AF_UNIX",
    "CREDENTIALS_DIRECTORY",
    "POD_NAME",
    "UPDATE_GOLDEN",
    "ZK_BACKUP_CA",
    "ZK_BACKUP_URL",
];

fn words<'a>(text: &'a str, part: impl Fn(char) -> bool + 'a) -> impl Iterator<Item = &'a str> {
    text.split(move |c| !part(c)).filter(|word| word.contains('_'))
}

fn deployed() -> String {
    let texts = files("examples/deploy", "").into_iter();
    texts.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Those of `words` that neither the server nor the command line knows.
fn unknown<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    // What opens a cloud's container is known where that is done, and in small letters.
    let sources = [
        "bins/zk-backup-daemon/src",
        "bins/zk-backup/src",
        "crates/vault-store/src/object",
    ];
    let sources = sources.into_iter().flat_map(|below| files(below, ".rs"));
    let sources: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    words
        // The settings of the second bucket are those of the first.
        .filter(|word| {
            let name = word.strip_prefix("SECONDARY_").unwrap_or(word);
            let known = [word, name, &*name.to_lowercase()];
            !known.iter().any(|name| sources.contains(&format!("\"{name}\"")))
        })
        .collect()
}

#[test]
fn every_setting_is_one_that_the_server_knows() {
    let deployed = deployed();
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let named = words(&deployed, is_part)
        .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.ends_with('_'))
        .filter(|word| !OTHERS.contains(word));
    assert_eq!(unknown(named), BTreeSet::new());
}

/// What the shell of the documents for operators sets, in capitals.
#[test]
fn every_variable_that_a_document_sets_is_known() {
    let documents = [
        "README.md",
        "docs/CLI.md",
        "docs/MIGRATION.md",
        "docs/OPERATIONS.md",
        "docs/STORAGE.md",
        "docs/TUTORIAL.md",
    ];
    let text: Vec<_> = documents.into_iter().map(read).collect();
    let shell = text.iter().flat_map(|text| blocks(text));
    let shell = shell.filter(|(kind, _)| kind.split(' ').next() == Some("sh"));
    let words = shell.flat_map(|(_, text)| text.split_whitespace());
    let is_name = |name: &&str| {
        name.chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let set: BTreeSet<_> = words
        .filter_map(|word| Some(word.split_once('=')?.0))
        .filter(|name| !name.is_empty())
        .filter(is_name)
        .collect();
    assert!(set.len() > 20, "{set:?}");
    assert_eq!(unknown(set.into_iter()), BTreeSet::new());
}
