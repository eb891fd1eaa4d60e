//! Znodes that are hidden and changed while they are read.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use zk_snapshot::capture::Consistency;
use zk_snapshot::tree::{
    Acl, AclFound, Changes, ClientError, History, Kind, MemoryTree, Reading, TreeWatch, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter as _,
};

use crate::{ZNODES, captured, held, path};

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
    hidden: Arc<Mutex<BTreeSet<ZnodePath>>>,
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
            hidden: Arc::default(),
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
        let hidden = Arc::clone(&self.hidden);
        Ok(Some(Box::new(VeiledWatch { watch, hidden })))
    }
}

struct VeiledWatch {
    watch: Box<dyn TreeWatch>,
    hidden: Arc<Mutex<BTreeSet<ZnodePath>>>,
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
