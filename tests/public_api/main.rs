//! What the library crates offer, line by line. `UPDATE_GOLDEN=1 cargo test -p zk-backup-testkit --test public_api` writes
//! `listing/*.txt` anew: what then differs in them is what embedders have to follow. Every `pub` item can be
//! reached from outside, since the compiler refuses others (`unreachable_pub`).
#![allow(clippy::unwrap_used)]

mod items;

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 6] = [
    "backup-engine",
    "eviction-policy",
    "health-metrics",
    "job-queue",
    "vault-store",
    "zk-snapshot",
];

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).unwrap();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_libraries_offer_what_they_are_known_to_offer() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut changed = Vec::new();
    for name in CRATES {
        let mut sources = Vec::new();
        files(&workspace.join("crates").join(name).join("src"), &mut sources);
        let mut lines: Vec<_> = sources
            .iter()
            .flat_map(|source| items::listed(&fs::read_to_string(source).unwrap()))
            .collect();
        let offered: Vec<String> = lines.iter().filter_map(|line| items::defined(line)).collect();
        lines.retain(|line| items::implemented_for(line).is_none_or(|of| offered.contains(&of)));
        lines.sort();
        let listing = lines.join("\n") + "\n";
        let known = workspace
            .join("tests/public_api/listing")
            .join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&known, &listing).unwrap();
        }
        let known = fs::read_to_string(&known).unwrap_or_default();
        let (old, new): (Vec<_>, Vec<_>) = (known.lines().collect(), listing.lines().collect());
        changed.extend(
            old.iter()
                .filter(|line| !new.contains(line))
                .map(|line| format!("{name} - {line}")),
        );
        changed.extend(
            new.iter()
                .filter(|line| !old.contains(line))
                .map(|line| format!("{name} + {line}")),
        );
    }
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}
