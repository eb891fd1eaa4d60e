//! What a capture claims where the server shows less than there is, or something odd.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use zk_snapshot::archive::{RecordSource, Role};
use zk_snapshot::capture::{CaptureError, CaptureOptions, Captured, Consistency, capture_in_memory};
use zk_snapshot::tree::{
    Acl, AclEntry, AclFound, Changes, ClientError, Found, History, Kind, MemoryTree, Reading, Stat,
    TreeWatch, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter,
};

fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

fn now<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

fn create(text: &str) -> WriteOp {
    WriteOp::Create {
        path: path(text),
        data: b"new".to_vec(),
        acl: Acl::open(),
        kind: Kind::Persistent,
    }
}

fn set(text: &str) -> WriteOp {
    WriteOp::SetData {
        path: path(text),
        data: b"after".to_vec(),
        version: None,
    }
}

fn delete(text: &str) -> WriteOp {
    WriteOp::Delete {
        path: path(text),
        version: None,
    }
}

/// Something that happens before a read.
enum Step {
    Do(WriteOp),
    Hide(&'static str),
    Show(&'static str),
}

/// A tree of which some znodes are hidden: they cannot be read, and no watch tells of them.
struct Veiled {
    tree: MemoryTree,
    hidden: std::sync::Arc<Mutex<BTreeSet<ZnodePath>>>,
    /// What happens, once `trigger` is read.
    to_come: Mutex<Vec<Step>>,
    trigger: ZnodePath,
}

impl Veiled {
    fn new(znodes: &[&str], trigger: &str, to_come: Vec<Step>) -> Self {
        let tree = MemoryTree::new();
        for znode in znodes {
            tree.put(znode, b"before", Acl::open()).unwrap();
        }
        Self {
            tree,
            hidden: std::sync::Arc::default(),
            to_come: Mutex::new(to_come),
            trigger: path(trigger),
        }
    }

    async fn happen(&self, paths: &[ZnodePath]) {
        if !paths.contains(&self.trigger) {
            return;
        }
        let steps = std::mem::take(&mut *self.to_come.lock().unwrap());
        for step in steps {
            match step {
                Step::Do(op) => self.tree.write_many(&[op]).await.remove(0).unwrap(),
                // Who hides or shows a znode sets its ACL.
                Step::Hide(text) | Step::Show(text) => {
                    let op = WriteOp::SetAcl {
                        path: path(text),
                        acl: Acl::open(),
                        version: None,
                    };
                    let _ = self.tree.write_many(&[op]).await;
                    let mut hidden = self.hidden.lock().unwrap();
                    match step {
                        Step::Hide(_) => hidden.insert(path(text)),
                        _ => hidden.remove(&path(text)),
                    };
                }
            }
        }
    }
}

#[async_trait]
impl ZnodeReader for Veiled {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        self.happen(paths).await;
        let mut readings = self.tree.read_many(paths, history).await?;
        let hidden = self.hidden.lock().unwrap();
        for (path, reading) in paths.iter().zip(&mut readings) {
            if hidden.contains(path) && *reading != Reading::Missing {
                *reading = Reading::Denied;
            }
        }
        Ok(readings)
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
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

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        let Some(watch) = self.tree.watch(roots).await? else {
            return Ok(None);
        };
        let hidden = std::sync::Arc::clone(&self.hidden);
        Ok(Some(Box::new(VeiledWatch { watch, hidden })))
    }
}

struct VeiledWatch {
    watch: Box<dyn TreeWatch>,
    hidden: std::sync::Arc<Mutex<BTreeSet<ZnodePath>>>,
}

impl TreeWatch for VeiledWatch {
    fn take(&mut self) -> Changes {
        let Changes::Of(paths) = self.watch.take() else {
            return Changes::Lost;
        };
        let (hidden, mut told) = (self.hidden.lock().unwrap(), Vec::new());
        let mut paths = paths.into_iter().peekable();
        while let Some(path) = paths.next() {
            if hidden.contains(&path) {
                // Nor of its parent, where it came or went.
                paths.next_if(|next| Some(next) == path.parent().as_ref());
            } else {
                told.push(path);
            }
        }
        Changes::Of(told)
    }
}

fn captured(reader: &dyn ZnodeReader, roots: &[&str]) -> Captured {
    let options = CaptureOptions {
        roots: roots.iter().map(|root| path(root)).collect(),
        ..CaptureOptions::default()
    };
    now(capture_in_memory(reader, &options)).unwrap()
}

#[test]
fn an_ensemble_that_shows_znodes_without_end_is_given_up() {
    let tree = MemoryTree::new();
    for of in ZNODES {
        tree.put(of, b"", Acl::open()).unwrap();
    }
    let with = |most_znodes| {
        let options = CaptureOptions {
            most_znodes,
            ..CaptureOptions::default()
        };
        now(capture_in_memory(&tree, &options))
    };
    let children = with(1 << 20).unwrap().summary.znodes as usize - 1;
    assert!(with(children).is_ok());
    assert!(matches!(with(children - 1), Err(CaptureError::TooMany(most)) if most == children - 1));
}

/// What is held of each znode; `None` where it could not be read.
fn held(captured: &Captured, of: &str) -> Option<Option<Vec<u8>>> {
    let frames = 0..captured.records.frames();
    let mut records = frames.flat_map(|index| captured.records.frame(index).unwrap());
    let record = records.find(|record| record.path.as_str() == of)?;
    Some((record.role == Role::Captured).then_some(record.data))
}

const ZNODES: [&str; 5] = ["/a", "/a/h", "/a/v", "/b", "/b/last"];

#[test]
fn a_znode_that_comes_hidden_is_named() {
    // `b` is walked first, and `/a` has been read by then if it is not.
    for trigger in ["/b/last", "/a/v"] {
        let steps = vec![
            Step::Hide("/a/new"),
            Step::Do(create("/a/new")),
            Step::Do(set("/b")),
            Step::Do(set("/a")),
        ];
        let veiled = Veiled::new(&ZNODES, trigger, steps);
        let captured = captured(&veiled, &[]);
        assert_eq!(captured.summary.consistency, Consistency::Consistent);
        assert_eq!(
            held(&captured, "/a/new"),
            Some(None),
            "{trigger}: {:?}",
            captured.summary
        );
        assert_eq!(captured.summary.unreadable_paths, [path("/a/new")]);
        assert_eq!(held(&captured, "/b"), Some(Some(b"after".to_vec())));
    }
}

#[test]
fn a_znode_that_is_hidden_and_changed_is_not_taken_for_what_it_was() {
    // The last of siblings is read first.
    for (znode, trigger) in [("/a/h", "/b/last"), ("/a/v", "/a/h")] {
        let hide = || vec![Step::Hide(znode), Step::Do(set(znode)), Step::Do(set("/b"))];
        let show = || hide().into_iter().chain([Step::Show(znode)]).collect::<Vec<_>>();
        let gone = || {
            hide()
                .into_iter()
                .chain([Step::Do(delete(znode))])
                .collect::<Vec<_>>()
        };
        for (steps, there) in [
            (hide(), Some(None)),
            (show(), Some(Some(b"after".to_vec()))),
            (gone(), None),
        ] {
            let veiled = Veiled::new(&ZNODES, trigger, steps);
            let captured = captured(&veiled, &[]);
            assert_eq!(captured.summary.consistency, Consistency::Consistent);
            assert_eq!(held(&captured, znode), there, "{trigger}: {:?}", captured.summary);
        }
    }
}

/// ClickHouse Keeper, by its specification: watches tell of their own path, and `cversion` and `pzxid` are its own.
struct Keeper(MemoryTree);

#[async_trait]
impl ZnodeReader for Keeper {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        let mut readings = self.0.read_many(paths, history).await?;
        for reading in &mut readings {
            if let Reading::Found(found) = reading {
                (found.stat.pzxid, found.stat.cversion) = (0, found.stat.num_children);
            }
        }
        Ok(readings)
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        self.0.read_acls(paths).await
    }

    fn batch_size(&self) -> usize {
        2
    }

    fn batches_in_flight(&self) -> usize {
        1
    }

    fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.0.sync().await
    }

    async fn watch(&self, _roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        Ok(Some(Box::new(Deceiving)))
    }
}

struct Deceiving;

impl TreeWatch for Deceiving {
    fn take(&mut self) -> Changes {
        Changes::Of(vec![ZnodePath::root()])
    }
}

#[test]
fn clickhouse_keeper_is_walked_twice_and_its_counters_are_not_known() {
    let tree = MemoryTree::new();
    for znode in [
        "/keeper/api_version",
        "/keeper/feature_flags",
        "/clickhouse/tables",
    ] {
        tree.put(znode, b"1", Acl::open()).unwrap();
    }
    let captured = captured(&Keeper(tree), &[]);
    assert_eq!(captured.summary.consistency, Consistency::Consistent);
    assert!(!captured.summary.counters_known && captured.summary.rounds > 0);
    assert_eq!(held(&captured, "/keeper"), None);
    assert_eq!(held(&captured, "/clickhouse/tables"), Some(Some(b"1".to_vec())));
    assert!(!captured.summary.is_partial());
}

#[test]
fn a_keeper_in_name_only_is_zookeeper() {
    let tree = MemoryTree::new();
    for znode in ["/keeper/api_version", "/zookeeper/quota"] {
        tree.put(znode, b"1", Acl::open()).unwrap();
    }
    let captured = captured(&tree, &[]);
    assert!(captured.summary.counters_known);
    assert_eq!(held(&captured, "/keeper/api_version"), Some(Some(b"1".to_vec())));
}

/// A server on which every znode has these children.
struct Endless(&'static [&'static str], AtomicUsize);

#[async_trait]
impl ZnodeReader for Endless {
    async fn read_many(&self, paths: &[ZnodePath], _: History) -> Result<Vec<Reading>, ClientError> {
        assert!(
            self.1.fetch_add(paths.len(), Ordering::Relaxed) < 100_000,
            "it goes on for ever"
        );
        let of = |path: &ZnodePath| {
            if path.is_within(&ZnodePath::parse("/keeper").unwrap()) {
                return Reading::Missing;
            }
            Reading::Found(Found {
                data: Vec::new(),
                stat: Stat {
                    num_children: 1,
                    ..Stat::default()
                },
                children: self.0.iter().map(|name| (*name).to_owned()).collect(),
            })
        };
        Ok(paths.iter().map(of).collect())
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        let acl = || AclFound {
            acl: Acl::open(),
            stat: Stat::default(),
        };
        Ok(paths.iter().map(|_| Reading::Found(acl())).collect())
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
}

#[test]
fn names_that_are_none_are_named_and_end_the_walk() {
    let captured = captured(
        &Endless(&["", "/", "a/b", "..", "\u{7}"], AtomicUsize::new(0)),
        &[],
    );
    let summary = &captured.summary;
    assert_eq!((summary.znodes, summary.unreadable), (1, 5), "{summary:?}");
    let named = ["/: \"\"", "/: \"/\"", "/: \"a/b\"", "/: \"..\"", "/: \"\\u{7}\""];
    assert_eq!(summary.refused_names, named);
    assert!(summary.is_partial());
}

#[test]
fn a_tree_without_a_bottom_is_left_off_and_named() {
    let captured = captured(&Endless(&["a"], AtomicUsize::new(0)), &[]);
    let summary = &captured.summary;
    assert!(
        summary.is_partial() && summary.refused_names.len() == 1,
        "{:?}",
        summary.unreadable
    );
}

#[test]
fn ancestors_are_of_the_same_moment_or_left_out_of_the_claim() {
    let veiled = Veiled::new(
        &["/p/q/r", "/p/q/s"],
        "/p/q/r",
        vec![Step::Do(set("/p")), Step::Do(set("/p/q/r"))],
    );
    let one = captured(&veiled, &["/p/q"]);
    assert_eq!(
        (one.summary.consistency, one.summary.ancestors_apart),
        (Consistency::Consistent, 1)
    );
    let quiet = Veiled::new(&["/p/q/r"], "/nothing", Vec::new());
    assert_eq!(captured(&quiet, &["/p/q"]).summary.ancestors_apart, 0);
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

/// More data than are kept change, and once more while they are read for the last time.
#[test]
fn data_that_wait_are_read_again() {
    let names: Vec<_> = (0..48).map(|i| format!("/big/n{i:02}")).collect();
    let write = |byte: u8| {
        let op = |name: &String| WriteOp::SetData {
            path: path(name),
            data: vec![byte; 1 << 20],
            version: None,
        };
        names.iter().map(op).map(Step::Do).collect::<Vec<_>>()
    };
    let mut znodes: Vec<_> = names.iter().map(String::as_str).collect();
    znodes.push("/a");
    let veiled = Veiled::new(&znodes, "/a", write(2));
    let one = captured(&veiled, &[]);
    assert_eq!(
        one.summary.consistency,
        Consistency::Consistent,
        "{:?}",
        one.summary
    );
    assert_eq!(one.summary.bytes, 48 << 20 | 6);
    for name in &names {
        assert!(held(&one, name) == Some(Some(vec![2; 1 << 20])), "{name}");
    }
}
