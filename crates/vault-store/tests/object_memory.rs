//! How much memory a large file takes on its way into an object store.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use vault_store::{FileName, ObjectVaults, VaultStore as _};

/// The most that this process had, in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_file_takes_no_more_than_a_few_parts() {
    let directory = tempfile::tempdir().unwrap();
    let objects = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    let store = ObjectVaults::open(Arc::new(objects), "").unwrap();
    let mut stage = store.stage(&"20261123T140000".parse().unwrap()).unwrap();
    let mut file = stage.create(&FileName::from_static("archive")).unwrap();
    let before = peak();
    let piece = vec![7; 1 << 16];
    for _ in 0..(256 << 20) / piece.len() {
        file.write_all(&piece).unwrap();
    }
    file.finish().unwrap();
    let grown = peak() - before;
    // Four parts of 8 MiB, and what an allocator keeps of them.
    assert!((8..64).contains(&grown), "{grown} MiB");
}
