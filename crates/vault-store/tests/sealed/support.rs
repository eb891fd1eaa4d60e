//! Keys, and vaults whose every word is a canary.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_store::{
    AsOf, Captured, Consistency, Contents, FileEntry, FileName, FsStore, Hierarchical, Identities, Manifest,
    Mode, Moving, Outcome, Recipients, SealedStore, Skipped, VaultId, VaultStore, Zxid,
};

const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
pub(crate) const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

pub(crate) const ARCHIVE: FileName = FileName::from_static("archive.zst");
pub(crate) const MANIFEST_AGE: FileName = FileName::from_static("manifest.age");
pub(crate) const PATH: &str = "/canary/path";
pub(crate) const DATA: &[u8] = b"canary-data-canary-data";

pub(crate) fn recipients() -> Recipients {
    PUBLIC.parse().unwrap()
}

pub(crate) fn identities() -> Identities {
    SECRET.parse().unwrap()
}

/// New identities: each as text, with its recipient.
pub(crate) fn other_keys(count: usize) -> Vec<(String, String)> {
    use age::secrecy::ExposeSecret as _;

    let pair = |key: age::x25519::Identity| {
        let secret = key.to_string().expose_secret().to_owned();
        (key.to_public().to_string(), secret)
    };
    (0..count)
        .map(|_| pair(age::x25519::Identity::generate()))
        .collect()
}

pub(crate) fn id(second: u8) -> VaultId {
    format!("20261123T1400{second:02}").parse().unwrap()
}

/// A store at `root` that seals to our recipient, with an identity or without.
pub(crate) fn sealed(root: &Path, identities: Option<Identities>) -> SealedStore {
    SealedStore::new(Arc::new(FsStore::open(root).unwrap()), recipients(), identities)
}

/// Commits a granular, partial vault of one file.
pub(crate) fn put(store: &dyn VaultStore, id: &VaultId, bytes: &[u8]) -> Manifest {
    let mut stage = store.stage(id).unwrap();
    let manifest = expected(id, vec![stage.put(&ARCHIVE, bytes).unwrap()]);
    stage.commit(&manifest).unwrap();
    manifest
}

/// The manifest of such a vault.
pub(crate) fn expected(id: &VaultId, files: Vec<FileEntry>) -> Manifest {
    let reason = format!("could not read {PATH}");
    Manifest {
        roots: Some(vec![PATH.to_owned()]),
        files,
        contents: Some(Contents::Hierarchical(contents())),
        ..Manifest::new(id, Mode::Hierarchical, id.time(), Outcome::Partial { reason })
    }
}

fn contents() -> Hierarchical {
    Hierarchical {
        captured: Captured {
            consistency: Consistency::Fuzzy,
            zxid: AsOf { newest: Zxid(7) },
            znodes: 1,
            bytes: DATA.len() as u64,
            allow_partial: true,
            source: Some("canary-host:2181".to_owned()),
        },
        rounds: Some(1),
        moving: Some(Moving {
            count: 1,
            paths: vec![PATH.to_owned()],
        }),
        ancestors_apart: None,
        counters_known: None,
        vanished: 0,
        skipped: Skipped {
            ephemeral: 0,
            unreadable: 1,
            unreadable_paths: vec![PATH.to_owned()],
            refused_names: None,
        },
        acls: None,
    }
}

/// Every file below `root`.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut waiting) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
