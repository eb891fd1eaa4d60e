//! What a backup could not read for its depth, the length of its path or its name: no restore deletes it, and each says so.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use async_trait::async_trait;
use zk_snapshot::archive::{Record, RecordSource, Role};
use zk_snapshot::capture::{CaptureOptions, Captured, capture_in_memory};
use zk_snapshot::restore::{RestoreOptions, RestoreReport, restore};
use zk_snapshot::tree::{Acl, AclFound, ClientError, History, MemoryTree, Reading, ZnodePath, ZnodeReader};

/// One more part than a capture goes down.
const DEEP: usize = 4_097;

fn now<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

fn deep() -> String {
    "/a".repeat(DEEP)
}

fn long() -> String {
    format!("/long/{}", "x".repeat(300_000))
}

fn with(far: &str) -> MemoryTree {
    let tree = MemoryTree::new();
    tree.put(&format!("{far}/below"), b"precious", Acl::open())
        .unwrap();
    tree
}

fn captured(reader: &dyn ZnodeReader) -> Captured {
    now(capture_in_memory(reader, &CaptureOptions::default())).unwrap()
}

fn restored(records: impl RecordSource + 'static, live: &MemoryTree) -> RestoreReport {
    now(restore(Arc::new(records), live, &RestoreOptions::default())).unwrap()
}

#[test]
fn what_is_out_of_reach_is_never_deleted() {
    for far in [deep(), long()] {
        let live = with(&far);
        let backup = captured(&live);
        let summary = &backup.summary;
        assert_eq!((summary.unreadable, summary.refused_names.len()), (1, 1));
        let shown = summary.refused_names[0].len();
        assert!(
            summary.unreadable_paths.is_empty() && shown < 1_000,
            "{shown} bytes"
        );
        let before = live.dump();
        let report = restored(backup.records, &live);
        assert_eq!((report.deleted, report.unknown, report.failed), (0, 1, 0));
        assert!(live.dump() == before);
    }
}

#[test]
fn a_restore_into_an_empty_place_says_that_something_is_missing() {
    let (live, empty) = (with(&long()), MemoryTree::new());
    let report = restored(captured(&live).records, &empty);
    assert_eq!((report.created, report.unknown, report.failed), (1, 1, 0));
    assert!(report.unknown_paths.is_empty(), "it is too long to be told");
}

#[test]
fn an_earlier_backup_that_does_not_name_it_does_not_have_it_deleted() {
    let live = with(&long());
    let backup = captured(&live).records;
    let frames = (0..backup.frames()).map(|index| {
        let mut records: Vec<Record> = backup.frame(index).unwrap();
        records.retain(|record| record.role != Role::Unreadable);
        records
    });
    let before = live.dump();
    let report = restored(frames.collect::<Vec<_>>(), &live);
    assert_eq!((report.deleted, report.left_alone), (0, 1));
    assert!(live.dump() == before);
}

/// A tree one znode of which may not be read before the walk is over.
struct Shut(MemoryTree, std::sync::Mutex<u32>);

#[async_trait]
impl ZnodeReader for Shut {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        let mut readings = self.0.read_many(paths, history).await?;
        if let Some(at) = paths.iter().position(|path| path.as_str() == "/long") {
            let mut reads = self.1.lock().unwrap();
            *reads += 1;
            if *reads == 1 {
                readings[at] = Reading::Denied;
                self.0.put("/long", b"changed", Acl::open()).unwrap();
            }
        }
        Ok(readings)
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        self.0.read_acls(paths).await
    }

    fn batch_size(&self) -> usize {
        8
    }

    fn batches_in_flight(&self) -> usize {
        1
    }

    fn epoch(&self) -> u64 {
        0
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        Ok(true)
    }

    async fn reads_everything(&self) -> Result<bool, ClientError> {
        Ok(true)
    }

    async fn watch(
        &self,
        roots: &[ZnodePath],
    ) -> Result<Option<Box<dyn zk_snapshot::tree::TreeWatch>>, ClientError> {
        self.0.watch(roots).await
    }
}

#[test]
fn what_comes_in_sight_after_the_walk_is_noted_too() {
    let live = MemoryTree::new();
    live.put(&long(), b"precious", Acl::open()).unwrap();
    let shut = Shut(live, std::sync::Mutex::default());
    let backup = captured(&shut);
    assert_eq!(
        (backup.summary.unreadable, backup.summary.refused_names.len()),
        (1, 1)
    );
    let report = restored(backup.records, &shut.0);
    assert_eq!((report.deleted, report.unknown, report.failed), (0, 1, 0));
    assert_eq!(shut.0.data(&long()).as_deref(), Some(&b"precious"[..]));
}
