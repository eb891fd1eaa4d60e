//! Settings that `examples/deploy` names are those of the server.

use std::collections::BTreeSet;
use std::fs;

use crate::files;

/// What is written in capitals and is no setting of the server.
const OTHERS: [&str; 7] = [
    "AF_INET",
    "AF_INET6",
    "AF_UNIX",
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

#[test]
fn every_setting_is_one_that_the_server_knows() {
    // What opens a cloud's container is known where that is done, and in small letters.
    let sources = ["bins/zk-backup-daemon/src", "crates/vault-store/src/object"];
    let sources = sources.into_iter().flat_map(|below| files(below, ".rs"));
    let sources: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    let deployed = deployed();
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let unknown: BTreeSet<_> = words(&deployed, is_part)
        .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.ends_with('_'))
        .filter(|word| !OTHERS.contains(word))
        // The settings of the second bucket are those of the first.
        .filter(|word| {
            let name = word.strip_prefix("SECONDARY_").unwrap_or(word);
            let known = [word, name, &*name.to_lowercase()];
            !known.iter().any(|name| sources.contains(&format!("\"{name}\"")))
        })
        .collect();
    assert_eq!(unknown, BTreeSet::new());
}
