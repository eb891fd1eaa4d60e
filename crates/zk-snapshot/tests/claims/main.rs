//! What a capture claims where the server shows less than there is, or something odd.
#![allow(clippy::unwrap_used)]

mod endless;
mod keeper;
mod lists;
mod orders;
mod roots;
mod veiled;

use zk_snapshot::archive::{RecordSource, Role};
use zk_snapshot::capture::{CaptureOptions, Captured, capture_in_memory};
use zk_snapshot::tree::{Acl, AclEntry, MemoryTree, ZnodePath, ZnodeReader};

const ZNODES: [&str; 5] = ["/a", "/a/h", "/a/v", "/b", "/b/last"];

fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

fn now<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

fn captured(reader: &dyn ZnodeReader, roots: &[&str]) -> Captured {
    let options = CaptureOptions {
        roots: roots.iter().map(|root| path(root)).collect(),
        ..CaptureOptions::default()
    };
    now(capture_in_memory(reader, &options)).unwrap()
}

/// What is held of each znode; `None` where it could not be read.
fn held(captured: &Captured, of: &str) -> Option<Option<Vec<u8>>> {
    let frames = 0..captured.records.frames();
    let mut records = frames.flat_map(|index| captured.records.frame(index).unwrap());
    let record = records.find(|record| record.path.as_str() == of)?;
    Some((record.role == Role::Captured).then_some(record.data))
}

#[test]
fn a_masked_ancestor_makes_a_capture_partial() {
    let tree = MemoryTree::new();
    tree.put("/p/q", b"", Acl::open()).unwrap();
    let masked = AclEntry {
        perms: 31,
        scheme: "digest".to_owned(),
        id: "user:x".to_owned(),
    };
    tree.put("/p", b"", Acl::new(vec![masked])).unwrap();
    let captured = captured(&tree, &["/p/q"]);
    assert_eq!(captured.summary.unreadable_paths, [path("/p")]);
}
