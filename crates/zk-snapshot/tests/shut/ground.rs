//! An ensemble, a backup of it, and restores that end or lose their connection where it is said.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zk_snapshot::archive::{Record, RecordSource};
use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
use zk_snapshot::model::{Ensemble, Fate, Identity, Manner, Meddler, ModelTree, Rules};
use zk_snapshot::restore::{
    Ledger, MemoryLedger, NotPermitted, Permit, RestoreError, RestoreOptions, RestoreReport, restore,
};
use zk_snapshot::tree::{Acl, AclEntry, Kind, WriteOp, ZnodePath};

pub const READ: u32 = 1;
pub const ADMIN: u32 = 16;
pub const ALL: u32 = 31;

pub fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

pub fn bob() -> Identity {
    Identity::digest("bob", "hash")
}

/// Of bob and eve, with what they may do.
pub fn acl(bob: u32, eve: u32) -> Acl {
    let entry = |(perms, id): (u32, &str)| AclEntry {
        perms,
        scheme: "digest".to_owned(),
        id: id.to_owned(),
    };
    let both = [(bob, "bob:hash"), (eve, "eve:hash")].into_iter();
    Acl::new(both.filter(|(perms, _)| *perms > 0).map(entry).collect())
}

pub fn create(tree: &mut ModelTree, at: &str, data: &[u8], acl: Acl) {
    let op = WriteOp::Create {
        path: path(at),
        data: data.to_vec(),
        acl,
        kind: Kind::Persistent,
    };
    match at.ends_with("lock") {
        true => tree.write_ephemeral(&op, 77).unwrap(),
        false => tree.write(&op).unwrap(),
    }
}

pub fn now<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work)
}

/// An ensemble, and a backup of what is there.
pub fn backed_up(znodes: &[(&str, &[u8], Acl)]) -> (Ensemble, Vec<Vec<Record>>) {
    let ensemble = Ensemble::new(Rules::default());
    ensemble.with_tree(|tree| {
        for (at, data, acl) in znodes {
            create(tree, at, data, acl.clone());
        }
    });
    let backup = backup_of(&ensemble);
    (ensemble, backup)
}

/// A backup of all that is there.
pub fn backup_of(ensemble: &Ensemble) -> Vec<Vec<Record>> {
    let reader = ensemble.client(Identity::superuser(), Manner::default());
    let captured = now(capture_in_memory(&reader, &CaptureOptions::default())).unwrap();
    let frames = 0..captured.records.frames();
    frames
        .map(|index| captured.records.frame(index).unwrap())
        .collect()
}

pub fn set_data(tree: &mut ModelTree, at: &str, data: &[u8]) {
    let op = WriteOp::SetData {
        path: path(at),
        data: data.to_vec(),
        version: None,
    };
    tree.write(&op).unwrap();
}

pub fn set_acl(tree: &mut ModelTree, at: &str, acl: Acl) {
    let op = WriteOp::SetAcl {
        path: path(at),
        acl,
        version: None,
    };
    tree.write(&op).unwrap();
}

pub fn anyone(perms: u32) -> Acl {
    Acl::new(vec![AclEntry {
        perms,
        scheme: "world".to_owned(),
        id: "anyone".to_owned(),
    }])
}

pub type Dump = BTreeMap<String, (Vec<u8>, Acl)>;

pub fn dump(ensemble: &Ensemble) -> Dump {
    ensemble.with_tree(|tree| {
        let there = tree.paths().filter_map(|path| Some((path, tree.get(path)?)));
        there
            .map(|(path, znode)| (path.to_string(), (znode.data.clone(), znode.acl.clone())))
            .collect()
    })
}

/// Meets one fate at one request.
pub struct At(pub u64, pub Fate);

impl Meddler for At {
    fn meddle(&mut self, request: u64, _: &mut ModelTree) -> Fate {
        if request == self.0 {
            self.1
        } else {
            Fate::default()
        }
    }
}

/// Lets so many batches begin.
#[derive(Debug)]
pub struct Batches(pub AtomicU64);

impl Permit for Batches {
    fn may_go_on(&self) -> Result<(), NotPermitted> {
        let spent = |left: u64| left.checked_sub(1);
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spent);
        left.map(drop).map_err(|_| NotPermitted::new("called off"))
    }
}

pub fn manner(ordered: bool) -> Manner {
    Manner {
        ordered,
        connections: if ordered { 1 } else { 3 },
        batch_size: 4,
        write_batch: 4,
    }
}

pub type Ended = Option<Result<RestoreReport, RestoreError>>;

/// One restore, and how many requests it took; `None`: it was killed.
pub fn restored(
    ensemble: &Ensemble,
    us: &Identity,
    ordered: bool,
    backup: &[Vec<Record>],
    options: &RestoreOptions,
    meddler: Option<At>,
) -> (Ended, u64) {
    ensemble.set_meddler(meddler.map(|at| Box::new(at) as _));
    let client = ensemble.client(us.clone(), manner(ordered));
    let work = restore(Arc::new(backup.to_vec()), &client, options);
    let ended = now(ensemble.unless_killed(work));
    let requests = ensemble.requests();
    ensemble.set_meddler(None);
    (ended, requests)
}

pub fn noting(ledger: &Arc<MemoryLedger>) -> RestoreOptions {
    RestoreOptions {
        ledger: Arc::clone(ledger) as Arc<dyn Ledger>,
        ..RestoreOptions::default()
    }
}
