//! Raising the counters of sequential children: which znodes are created and deleted for it, and of which a restore keeps off.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use zk_snapshot::archive::Record;
use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
use zk_snapshot::restore::{
    Ledger, MemoryLedger, Policy, RestoreError, RestoreOptions, RestoreReport, Unfinished, restore,
};
use zk_snapshot::tree::{
    Acl, AclEntry, AclFound, ClientError, History, Kind, MemoryTree, Reading, WriteError, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter,
};

/// What earlier versions called the children.
const HELPER: &str = "/q/zk-backup-sequence-counter";

fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

fn now<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

/// Creates and deletes children of `parent`.
fn use_numbers(tree: &MemoryTree, parent: &str) {
    for number in 0..5 {
        let child = path(&format!("{parent}/n-{number}"));
        let create = WriteOp::Create {
            path: child.clone(),
            data: Vec::new(),
            acl: Acl::open(),
            kind: Kind::Persistent,
        };
        let delete = WriteOp::Delete {
            path: child,
            version: None,
        };
        assert_eq!(now(tree.write_many(&[create, delete])), [Ok(()), Ok(())]);
    }
}

fn next(tree: &MemoryTree, parent: &str) -> i64 {
    match now(tree.read_many(&[path(parent)], History::One))
        .unwrap()
        .remove(0)
    {
        Reading::Found(found) => found.stat.next_sequence(),
        other => panic!("{other:?}"),
    }
}

fn backup_of(tree: &MemoryTree) -> Vec<Vec<Record>> {
    use zk_snapshot::archive::RecordSource;
    let captured = now(capture_in_memory(tree, &CaptureOptions::default())).unwrap();
    let frames = 0..captured.records.frames();
    frames
        .map(|index| captured.records.frame(index).unwrap())
        .collect()
}

/// A backup of `/q`, whose next number is 5.
fn queue() -> Vec<Vec<Record>> {
    let tree = MemoryTree::new();
    tree.put("/q", b"", Acl::open()).unwrap();
    use_numbers(&tree, "/q");
    backup_of(&tree)
}

fn with(ledger: &Arc<MemoryLedger>) -> RestoreOptions {
    RestoreOptions {
        policy: Policy::Merge,
        ledger: Arc::clone(ledger) as Arc<dyn Ledger>,
        ..RestoreOptions::default()
    }
}

fn restored(
    backup: &[Vec<Record>],
    live: &(impl ZnodeReader + ZnodeWriter),
    options: &RestoreOptions,
) -> Result<RestoreReport, RestoreError> {
    now(restore(Arc::new(backup.to_vec()), live, options))
}

/// Shows nobody what its ACL does not show to everybody, and lets the connection end before a helper is deleted.
#[derive(Default)]
struct Ending {
    tree: MemoryTree,
    ends: bool,
    has_ended: AtomicBool,
}

#[async_trait]
impl ZnodeReader for Ending {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        if self.has_ended.load(Ordering::SeqCst) {
            return Err(ClientError::new("memory", "it is away"));
        }
        let mut readings = self.tree.read_many(paths, history).await?;
        for (reading, guard) in readings.iter_mut().zip(self.tree.read_acls(paths).await?) {
            if let Reading::Found(guard) = guard
                && !guard.acl.lets_anyone_read()
            {
                *reading = Reading::Denied;
            }
        }
        Ok(readings)
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
impl ZnodeWriter for Ending {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let is_deletion = ops.iter().any(|op| matches!(op, WriteOp::Delete { .. }));
        if self.ends && is_deletion {
            self.has_ended.store(true, Ordering::SeqCst);
            let lost = || WriteError::Unknown(ClientError::new("memory", "it went away"));
            return ops.iter().map(|_| Err(lost())).collect();
        }
        self.tree.write_many(ops).await
    }

    fn working_acl(&self) -> Acl {
        Acl::open()
    }
}

#[test]
fn a_znode_that_is_called_as_helpers_were_is_brought_back_and_kept() {
    let tree = MemoryTree::new();
    tree.put(HELPER, b"precious", Acl::open()).unwrap();
    use_numbers(&tree, "/q");
    let backup = backup_of(&tree);
    let elsewhere = MemoryTree::new();
    let report = restored(&backup, &elsewhere, &RestoreOptions::default()).unwrap();
    assert!(report.is_complete() && report.counters_raised == 1, "{report:?}");
    assert_eq!(elsewhere.data(HELPER).as_deref(), Some(&b"precious"[..]));
    assert!(next(&elsewhere, "/q") >= 6);
    assert_eq!(elsewhere.dump().len(), 3);

    let live = MemoryTree::new();
    live.put(HELPER, b"", Acl::open()).unwrap(); // of somebody else
    let report = restored(&queue(), &live, &with(&Arc::default())).unwrap();
    assert!(report.is_complete() && report.counters_raised == 1, "{report:?}");
    assert!(live.data(HELPER).is_some());
}

/// What a restore leaves that ended before it deleted its helper.
fn left_behind() -> (Ending, Arc<MemoryLedger>) {
    let ledger = Arc::default();
    let first = Ending {
        ends: true,
        ..Ending::default()
    };
    first.tree.put("/q", b"", Acl::open()).unwrap();
    assert!(!restored(&queue(), &first, &with(&ledger)).is_ok_and(|report| report.is_complete()));
    (first, ledger)
}

#[test]
fn what_a_restore_that_ended_could_not_delete_the_next_one_deletes() {
    let (first, ledger) = left_behind();
    let left = first.tree.dump();
    assert!(
        left.len() == 3 && left[2].0.starts_with(HELPER) && left[2].0 != HELPER,
        "{left:?}"
    );

    let elsewhere = MemoryTree::new();
    elsewhere.put("/z", b"", Acl::open()).unwrap();
    let report = restored(&backup_of(&elsewhere), &first.tree, &with(&ledger)).unwrap();
    assert!(report.is_complete(), "{report:?}");
    let paths: Vec<_> = first.tree.dump().into_iter().map(|(path, ..)| path).collect();
    assert_eq!(paths, ["/", "/q", "/z"]);
    assert!(ledger.unfinished().unwrap().is_empty());
}

#[test]
fn a_helper_of_which_others_have_made_something_is_left_to_them_and_told_once() {
    let (first, ledger) = left_behind();
    let helper = first.tree.dump()[2].0.clone();
    first
        .tree
        .put(&format!("{helper}/kid"), b"", Acl::open())
        .unwrap();
    let report = restored(&queue(), &first.tree, &with(&ledger)).unwrap();
    let told: Vec<_> = report
        .failures
        .iter()
        .map(|failure| failure.path.as_str())
        .collect();
    assert_eq!((report.failed, told), (1, vec![&*helper]));
    assert!(
        restored(&queue(), &first.tree, &with(&ledger))
            .unwrap()
            .is_complete()
    );
    assert!(first.tree.data(&format!("{helper}/kid")).is_some());
}

#[test]
fn a_note_of_an_earlier_version_is_heeded_and_costs_nobody_a_znode() {
    let alice = Acl::new(vec![AclEntry {
        perms: 31,
        scheme: "digest".to_owned(),
        id: "alice:h".to_owned(),
    }]);
    for (data, acl, stays) in [
        (&b""[..], Acl::open(), false),
        (b"precious", Acl::open(), true),
        (b"", alice, true),
    ] {
        let (live, ledger) = (MemoryTree::new(), Arc::<MemoryLedger>::default());
        live.put(HELPER, data, acl).unwrap();
        let note = Unfinished::new(path(HELPER), true);
        now(ledger.begin(&[note])).unwrap();
        let report = restored(&queue(), &live, &with(&ledger)).unwrap();
        assert!(report.is_complete() && report.counters_raised == 1, "{report:?}");
        assert_eq!(live.data(HELPER).is_some(), stays);
        assert!(ledger.unfinished().unwrap().is_empty());
    }
}

#[test]
fn the_counter_of_a_znode_that_a_killed_restore_hid_is_raised_and_a_dry_run_says_so() {
    let tree = MemoryTree::new();
    let own = Acl::new(vec![AclEntry {
        perms: 31,
        scheme: "ip".to_owned(),
        id: "127.0.0.1".to_owned(),
    }]);
    tree.put("/q", b"secret", own.clone()).unwrap();
    use_numbers(&tree, "/q");
    let backup = backup_of(&tree);
    let hidden = Acl::new(vec![AclEntry {
        perms: 30,
        scheme: "world".to_owned(),
        id: "anyone".to_owned(),
    }]);
    let (live, ledger) = (Ending::default(), Arc::<MemoryLedger>::default());
    live.tree.put("/q", b"other", hidden).unwrap();
    let note = Unfinished::new(path("/q"), false);
    now(ledger.begin(&[note])).unwrap();
    for dry_run in [true, false] {
        let options = RestoreOptions {
            dry_run,
            ..with(&ledger)
        };
        let report = restored(&backup, &live, &options).unwrap();
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(
            (report.counters_raised, report.counters_left),
            (1, 0),
            "{report:?}"
        );
    }
    assert_eq!(next(&live.tree, "/q"), 5);
    let dump = live.tree.dump();
    assert_eq!(dump[1], ("/q".to_owned(), b"secret".to_vec(), own));
}
