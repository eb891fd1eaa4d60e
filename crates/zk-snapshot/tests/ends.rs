//! A backup that can be read once, and not to its end when it is read again: what the report says of the restore that
//! stops there.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use zk_snapshot::archive::{ArchiveError, Outline, Record, RecordSource};
use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
use zk_snapshot::restore::{Ledger, MemoryLedger, RestoreError, RestoreOptions, RestoreReport, restore};
use zk_snapshot::tree::{
    Acl, AclEntry, AclFound, ClientError, History, MemoryTree, Reading, TreeWatch, WriteError, WriteOp,
    ZnodePath, ZnodeReader, ZnodeWriter,
};

/// Znodes in a frame, and how many are more than a restore compares at once.
const FRAME: usize = 500;
const MANY: usize = 6_000;

type Dump = BTreeMap<String, (Vec<u8>, Acl)>;

/// The frame `at` is damaged from the reading `from` on; the look before the first write is not counted.
struct Spoilt {
    frames: Vec<Vec<Record>>,
    at: usize,
    from: usize,
    readings: Mutex<BTreeMap<usize, usize>>,
    met: AtomicUsize,
}

impl RecordSource for Spoilt {
    fn frames(&self) -> usize {
        self.frames.len()
    }

    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError> {
        let mut readings = self.readings.lock().unwrap();
        let reading = readings.entry(index).or_default();
        *reading += 1;
        if index == self.at && *reading >= self.from {
            self.met.fetch_add(1, Ordering::SeqCst);
            let why = "a bit has flipped".to_owned();
            return Err(ArchiveError::Damaged { frame: index, why });
        }
        Ok(self.frames[index].clone())
    }

    fn outline(&self, index: usize) -> Result<Vec<Outline>, ArchiveError> {
        Ok(self.frames[index].iter().map(Outline::of).collect())
    }
}

/// Takes its time to say what became of writes, so that some are under way whenever a restore stops.
struct Slow(MemoryTree);

#[async_trait]
impl ZnodeReader for Slow {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        self.0.read_many(paths, history).await
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        self.0.read_acls(paths).await
    }

    fn batch_size(&self) -> usize {
        self.0.batch_size()
    }

    fn batches_in_flight(&self) -> usize {
        self.0.batches_in_flight()
    }

    fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.0.sync().await
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        self.0.watch(roots).await
    }
}

#[async_trait]
impl ZnodeWriter for Slow {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let outcomes = self.0.write_many(ops).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        outcomes
    }

    fn keeps_order(&self) -> bool {
        true
    }

    fn working_acl(&self) -> Acl {
        self.0.working_acl()
    }
}

fn only_bob() -> Acl {
    Acl::new(vec![AclEntry {
        perms: 31,
        scheme: "digest".to_owned(),
        id: "bob:ZWxzZXdoZXJlIQ==".to_owned(),
    }])
}

/// Guarded parents, whose data and own ACLs come at the end, and many others.
fn wanted() -> MemoryTree {
    let tree = MemoryTree::new();
    for (path, acl) in [
        ("/a", only_bob()),
        ("/a/1", Acl::open()),
        ("/z", only_bob()),
        ("/z/1", Acl::open()),
    ] {
        tree.put(path, b"of the backup", acl).unwrap();
    }
    for i in 0..MANY {
        tree.put(&format!("/many/{i}"), b"of the backup", Acl::open())
            .unwrap();
    }
    tree
}

/// Some of it is there with other data, and something else is, too.
fn live() -> MemoryTree {
    let tree = MemoryTree::new();
    for path in ["/many/7", "/many/5000", "/old/1", "/old/2"] {
        tree.put(path, b"live", Acl::open()).unwrap();
    }
    tree
}

fn dump(tree: &MemoryTree) -> Dump {
    let znodes = tree.dump().into_iter();
    znodes.map(|(path, data, acl)| (path, (data, acl))).collect()
}

/// Created, changed in their data, and deleted, as it is seen from outside.
fn seen(before: &Dump, after: &Dump) -> [u64; 3] {
    let lacking = |all: &Dump, of: &Dump| all.keys().filter(|path| !of.contains_key(*path)).count() as u64;
    let changed = before.iter().filter(|(path, (data, _))| {
        let now = after.get(*path);
        now.is_some_and(|(now, _)| now != data)
    });
    [
        lacking(after, before),
        changed.count() as u64,
        lacking(before, after),
    ]
}

fn changed(report: &RestoreReport) -> [u64; 3] {
    [report.created, report.data_changed, report.deleted]
}

fn paths(all: &[&str]) -> Vec<ZnodePath> {
    all.iter().map(|path| ZnodePath::parse(path).unwrap()).collect()
}

/// How a restore ends that cannot read `at` from the reading `from` on, if it comes to that; and the one after it.
async fn stopped(frames: &[Vec<Record>], at: usize, from: usize) -> Option<RestoreReport> {
    let (live, ledger) = (Slow(live()), Arc::new(MemoryLedger::default()));
    let options = RestoreOptions {
        ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
        ..RestoreOptions::default()
    };
    let source = Arc::new(Spoilt {
        frames: frames.to_vec(),
        at,
        from,
        readings: Mutex::default(),
        met: AtomicUsize::new(0),
    });
    let before = dump(&live.0);
    let error = match restore(Arc::clone(&source) as Arc<dyn RecordSource>, &live, &options).await {
        Ok(_) => {
            assert_eq!(source.met.load(Ordering::SeqCst), 0, "damage was passed over");
            return None;
        }
        Err(error) => error,
    };
    let after = dump(&live.0);
    let report = error.report().unwrap().clone();
    assert_eq!(
        changed(&report),
        seen(&before, &after),
        "frame {at}, reading {from}"
    );
    assert_eq!((report.failed, report.acl_changed), (0, 0), "{report:?}");
    let said = error.to_string();
    assert!(
        said.contains(&format!("frame {at} of the archive is damaged"))
            && said.contains(&format!("{} changes were made before", report.changes())),
        "{said}"
    );
    assert!(matches!(error, RestoreError::Archive { .. }), "{error:?}");
    // What is not as in the backup though it was begun is named, and known to the next one.
    let begun: Vec<_> = paths(&["/a", "/z"])
        .into_iter()
        .filter(|path| {
            after
                .get(path.as_str())
                .is_some_and(|(_, acl)| *acl != only_bob())
        })
        .collect();
    assert_eq!(report.unfinished_paths, begun, "frame {at}, reading {from}");
    let noted = ledger.unfinished().unwrap().into_iter().map(|one| one.path);
    assert_eq!(noted.collect::<Vec<_>>(), begun, "frame {at}, reading {from}");

    let next = restore(Arc::new(frames.to_vec()), &live, &options).await.unwrap();
    assert!(next.is_complete(), "{next:?}");
    assert_eq!(
        (next.finished, next.unfinished),
        (begun.len() as u64, 0),
        "{next:?}"
    );
    assert_eq!(dump(&live.0), dump(&wanted()));
    Some(report)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_damaged_in_its_middle_ends_a_restore_that_says_what_it_wrote() {
    let captured = capture_in_memory(&wanted(), &CaptureOptions::default())
        .await
        .unwrap();
    let all = captured.records;
    let records: Vec<Record> = (0..all.frames())
        .flat_map(|index| all.frame(index).unwrap())
        .collect();
    let frames: Vec<_> = records.chunks(FRAME).map(<[Record]>::to_vec).collect();
    let mut created = Vec::new();
    for at in 0..frames.len() {
        created.push(stopped(&frames, at, 1).await.unwrap().created);
    }
    assert_eq!(created[0], 0);
    assert!(
        created.is_sorted() && created[frames.len() - 1] > 4_000,
        "{created:?}"
    );
    // The data of what is guarded are read once more, when everything else is there.
    let mut late = 0;
    for at in 0..frames.len() {
        if let Some(report) = stopped(&frames, at, 2).await {
            assert_eq!(report.created, MANY as u64 + 2, "{report:?}"); // all but what is there
            late += 1;
        }
    }
    assert_eq!(late, frames.len());
}
