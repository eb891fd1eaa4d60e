//! What others do each time that a restore comes to its end is named, when it does not try again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use zk_snapshot::archive::{Record, RecordSource};
use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
use zk_snapshot::restore::{RestoreOptions, RestoreReport, restore};
use zk_snapshot::tree::{
    Acl, AclFound, ClientError, History, MemoryTree, Reading, WriteError, WriteOp, ZnodePath, ZnodeReader,
    ZnodeWriter,
};

use crate::ground::{ALL, acl, now, path};

/// The own ACL of `/p` is not set four times; the fifth time it is, the answer is lost, and somebody acts.
struct Restless {
    tree: MemoryTree,
    times: AtomicUsize,
    acts: fn(&MemoryTree),
}

#[async_trait]
impl ZnodeReader for Restless {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        self.tree.read_many(paths, history).await
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        self.tree.read_acls(paths).await
    }

    fn batch_size(&self) -> usize {
        self.tree.batch_size()
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
}

#[async_trait]
impl ZnodeWriter for Restless {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let is_own = |op: &WriteOp| matches!(op, WriteOp::SetAcl { path, .. } if path.as_str() == "/p");
        if !ops.iter().any(is_own) {
            return self.tree.write_many(ops).await;
        }
        assert_eq!(ops.len(), 1);
        let lost = Err(WriteError::Unknown(ClientError::new("memory", "it went away")));
        match self.times.fetch_add(1, Ordering::SeqCst) {
            0 => vec![lost],
            1..4 => vec![Err(WriteError::Changed)],
            4 => {
                assert_eq!(self.tree.write_many(ops).await, [Ok(())]);
                (self.acts)(&self.tree);
                vec![lost]
            }
            _ => self.tree.write_many(ops).await,
        }
    }

    fn working_acl(&self) -> Acl {
        self.tree.working_acl()
    }
}

/// `/p` with one child, under a list that comes last, and whose next number is not 1.
fn backup() -> Vec<Vec<Record>> {
    let tree = MemoryTree::new();
    tree.put("/p/1", b"", Acl::open()).unwrap();
    for _ in 0..3 {
        tree.put("/p/2", b"", Acl::open()).unwrap();
        let path = path("/p/2");
        assert_eq!(
            now(tree.write_many(&[WriteOp::Delete { path, version: None }])),
            [Ok(())]
        );
    }
    tree.put("/p", b"", acl(ALL, 0)).unwrap();
    let captured = now(capture_in_memory(&tree, &CaptureOptions::default())).unwrap();
    let frames = 0..captured.records.frames();
    frames
        .map(|index| captured.records.frame(index).unwrap())
        .collect()
}

fn restored(acts: fn(&MemoryTree)) -> RestoreReport {
    let live = Restless {
        tree: MemoryTree::new(),
        times: AtomicUsize::new(0),
        acts,
    };
    let report = now(restore(Arc::new(backup()), &live, &RestoreOptions::default())).unwrap();
    assert_eq!(live.times.load(Ordering::SeqCst), 5, "{report:?}");
    report
}

#[test]
fn what_comes_in_the_last_round_is_named() {
    let report = restored(|_| {});
    assert!(report.is_complete() && report.counters_left == 0, "{report:?}");

    let report = restored(|tree| tree.put("/p/new", b"", Acl::open()).unwrap());
    let named: Vec<_> = report
        .failures
        .iter()
        .map(|failure| failure.path.as_str())
        .collect();
    assert_eq!((named, report.failed), (vec!["/p/new"], 1), "{report:?}");

    let report = restored(|tree| {
        let delete = |at: &str| WriteOp::Delete {
            path: path(at),
            version: None,
        };
        assert_eq!(now_ready(tree, &[delete("/p/1"), delete("/p")]), [Ok(()), Ok(())]);
        tree.put("/p", b"", acl(ALL, 0)).unwrap();
        tree.put("/p/1", b"", Acl::open()).unwrap();
    });
    let left: Vec<_> = report
        .counters_left_behind
        .iter()
        .map(|one| one.path.as_str())
        .collect();
    assert_eq!((left, report.counters_left), (vec!["/p"], 1), "{report:?}");
}

/// A tree in memory answers at once.
fn now_ready(tree: &MemoryTree, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
    use futures::FutureExt;
    tree.write_many(ops).now_or_never().unwrap()
}
