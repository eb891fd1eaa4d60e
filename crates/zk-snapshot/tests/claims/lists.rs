//! Znodes that get another ACL, or are made again, between the reads of their data and of their ACL.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use zk_snapshot::archive::{Record, RecordSource, Role};
use zk_snapshot::capture::{CaptureOptions, Captured, Consistency, capture_in_memory};
use zk_snapshot::tree::{
    Acl, AclEntry, AclFound, ClientError, History, Kind, MemoryTree, Reading, TreeWatch, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter as _,
};

use crate::{now, path};

const CONF: &str = "/svc/conf";
/// The last of those whose data are too many to be held.
const LAST: &str = "/big/n35";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Data,
    Acl,
}

/// A tree in which something happens before each request for one znode.
struct Meddled<'a> {
    tree: MemoryTree,
    znode: ZnodePath,
    /// How often its ACL was asked for.
    acls: AtomicUsize,
    /// What happens, as that was asked for after so many ACLs.
    meddle: &'a (dyn Fn(&MemoryTree, Asked, usize) -> Vec<WriteOp> + Sync),
}

impl Meddled<'_> {
    async fn before(&self, paths: &[ZnodePath], asked: Asked) {
        if !paths.contains(&self.znode) {
            return;
        }
        let ops = (self.meddle)(&self.tree, asked, self.acls.load(Ordering::SeqCst));
        for done in self.tree.write_many(&ops).await {
            done.unwrap();
        }
        if asked == Asked::Acl {
            self.acls.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn captured(&self, rounds: u32) -> Captured {
        let options = CaptureOptions {
            rounds,
            ..CaptureOptions::default()
        };
        now(capture_in_memory(self, &options)).unwrap()
    }
}

#[async_trait]
impl ZnodeReader for Meddled<'_> {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        self.before(paths, Asked::Data).await;
        self.tree.read_many(paths, history).await
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        self.before(paths, Asked::Acl).await;
        self.tree.read_acls(paths).await
    }

    fn batch_size(&self) -> usize {
        1
    }

    fn batches_in_flight(&self) -> usize {
        1
    }

    fn epoch(&self) -> u64 {
        self.tree.epoch()
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.tree.sync().await
    }

    async fn reads_everything(&self) -> Result<bool, ClientError> {
        self.tree.reads_everything().await
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        self.tree.watch(roots).await
    }
}

fn closed() -> Acl {
    Acl::new(vec![AclEntry {
        perms: 31,
        scheme: "digest".to_owned(),
        id: "bob:ZWxzZXdoZXJlIQ==".to_owned(),
    }])
}

fn secret() -> (&'static [u8], Acl) {
    (b"secret", closed())
}

fn public() -> (&'static [u8], Acl) {
    (b"public", Acl::open())
}

fn set(of: &str, data: &[u8]) -> WriteOp {
    WriteOp::SetData {
        path: path(of),
        data: data.to_vec(),
        version: None,
    }
}

fn guard(of: &str, acl: Acl) -> WriteOp {
    WriteOp::SetAcl {
        path: path(of),
        acl,
        version: None,
    }
}

fn delete(of: &str) -> WriteOp {
    WriteOp::Delete {
        path: path(of),
        version: None,
    }
}

fn made_again(of: &str, (data, acl): (&[u8], Acl)) -> Vec<WriteOp> {
    let create = WriteOp::Create {
        path: path(of),
        data: data.to_vec(),
        acl,
        kind: Kind::Persistent,
    };
    vec![delete(of), create]
}

fn record(captured: &Captured, of: &str) -> Record {
    let frames = 0..captured.records.frames();
    let mut records = frames.flat_map(|index| captured.records.frame(index).unwrap());
    records.find(|record| record.path.as_str() == of).unwrap()
}

fn restless(meddle: &(dyn Fn(&MemoryTree, Asked, usize) -> Vec<WriteOp> + Sync), rounds: u32) -> Captured {
    let tree = MemoryTree::new();
    let (data, acl) = secret();
    tree.put(CONF, data, acl).unwrap();
    let meddled = Meddled {
        tree,
        znode: path(CONF),
        acls: AtomicUsize::new(0),
        meddle,
    };
    meddled.captured(rounds)
}

/// It is a secret whenever its data are read, and another one, open to all, whenever its ACL is.
#[test]
fn what_is_made_again_all_the_time_is_not_kept_under_the_acl_of_another() {
    let meddle = |tree: &MemoryTree, asked: Asked, _: usize| {
        let wanted = match asked {
            Asked::Data => secret(),
            Asked::Acl => public(),
        };
        match tree.data(CONF).as_deref() == Some(wanted.0) {
            true => Vec::new(),
            false => made_again(CONF, wanted),
        }
    };
    // Without a watch, and with one.
    for rounds in [0, 1, 2] {
        let captured = restless(&meddle, rounds);
        let summary = &captured.summary;
        assert_eq!(summary.consistency, Consistency::Fuzzy, "{rounds}");
        assert_eq!(record(&captured, CONF).role, Role::Unreadable, "{rounds}");
        assert_eq!(summary.unreadable_paths, [path(CONF)], "{rounds}");
    }
}

#[test]
fn what_was_made_again_before_its_acl_was_read_is_kept_as_it_is_then() {
    let meddle = |tree: &MemoryTree, asked: Asked, _: usize| match (asked, tree.data(CONF)) {
        (Asked::Acl, Some(data)) if data == b"secret" => made_again(CONF, public()),
        (Asked::Acl, _) => made_again(CONF, secret()),
        (Asked::Data, _) => Vec::new(),
    };
    for rounds in [1, 2, 3] {
        let captured = restless(&meddle, rounds);
        assert_eq!(captured.summary.consistency, Consistency::Fuzzy, "{rounds}");
        let record = record(&captured, CONF);
        let own = if record.data == b"secret" {
            secret()
        } else {
            public()
        };
        assert_eq!(
            (record.role, &record.data[..], &record.acl),
            (Role::Captured, own.0, &own.1),
            "{rounds}"
        );
    }
}

/// Who opens a znode to all has replaced the secret in it first.
#[test]
fn what_gets_other_data_and_another_acl_between_two_reads_is_not_kept_under_the_later_one() {
    for at in 0..4 {
        let meddle = |_: &MemoryTree, asked: Asked, acls: usize| match asked {
            Asked::Acl if acls == at => vec![set(CONF, public().0), guard(CONF, public().1)],
            // So that it is looked at again.
            Asked::Data if acls < at => vec![set(CONF, secret().0)],
            _ => Vec::new(),
        };
        for rounds in [0, 1, 2, 3] {
            let captured = restless(&meddle, rounds);
            let kept = record(&captured, CONF);
            let own = [secret(), public()].map(|(data, acl)| (data.to_vec(), acl));
            assert!(
                own.contains(&(kept.data, kept.acl)),
                "{at} {rounds}: {:?}",
                captured.summary
            );
            assert_eq!(kept.role, Role::Captured, "{at} {rounds}");
        }
    }
}

/// A capture while more data change than are held. What waits is read again when its ACL has been asked for twice.
fn with_data_that_wait(meddle: impl Fn(Asked, usize) -> Vec<WriteOp> + Sync) -> Captured {
    let names: Vec<_> = (0..36).map(|i| format!("/big/n{i:02}")).collect();
    let tree = MemoryTree::new();
    for name in &names {
        tree.put(name, b"before", Acl::open()).unwrap();
    }
    tree.put(&format!("{LAST}/below"), b"", Acl::open()).unwrap();
    let large = vec![2_u8; 1 << 20];
    let meddle = |_: &MemoryTree, asked: Asked, acls: usize| match (asked, acls) {
        (Asked::Data, 0) => names.iter().map(|name| set(name, &large)).collect(),
        _ => meddle(asked, acls),
    };
    let meddled = Meddled {
        tree,
        znode: path(LAST),
        acls: AtomicUsize::new(0),
        meddle: &meddle,
    };
    meddled.captured(200)
}

/// What a record says of the ACL belongs together: a list that was set later has another `aversion`.
#[test]
fn data_that_wait_keep_the_acl_that_they_had() {
    let captured = with_data_that_wait(|asked, acls| match (asked, acls) {
        (Asked::Data, 2) => vec![guard(LAST, closed())],
        _ => Vec::new(),
    });
    let kept = record(&captured, LAST);
    assert_eq!(captured.summary.consistency, Consistency::Consistent);
    assert_eq!((kept.acl, kept.stat.aversion), (Acl::open(), 0));
    assert!(kept.data == vec![2_u8; 1 << 20]);
}

#[test]
fn data_that_changed_while_they_waited_are_kept_under_their_own_acl_or_not_at_all() {
    let shut = || vec![set(LAST, b"secret"), guard(LAST, closed())];
    let captured = with_data_that_wait(|asked, acls| match (asked, acls) {
        (Asked::Data, 2) => shut(),
        _ => Vec::new(),
    });
    let kept = record(&captured, LAST);
    assert_eq!(captured.summary.consistency, Consistency::Fuzzy);
    assert_eq!((kept.acl, kept.stat.aversion), (closed(), 1));
    assert!(kept.data == b"secret");

    // And then another one comes, before its ACL is read.
    let captured = with_data_that_wait(|asked, acls| match (asked, acls) {
        (Asked::Data, 2) => [vec![delete(&format!("{LAST}/below"))], shut()].concat(),
        (Asked::Acl, 2) => made_again(LAST, public()),
        _ => Vec::new(),
    });
    assert_eq!(record(&captured, LAST).role, Role::Unreadable);
    assert_eq!(captured.summary.unreadable_paths, [path(LAST)]);
}

#[test]
fn what_is_gone_while_its_data_wait_leaves_a_place_for_what_is_below() {
    let captured = with_data_that_wait(|asked, acls| match (asked, acls) {
        (Asked::Data, 2) => vec![delete(&format!("{LAST}/below")), delete(LAST)],
        _ => Vec::new(),
    });
    assert_eq!(captured.summary.consistency, Consistency::Fuzzy);
    assert_eq!(record(&captured, LAST).role, Role::Unreadable);
    assert_eq!(record(&captured, &format!("{LAST}/below")).role, Role::Captured);
}
