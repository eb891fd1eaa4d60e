//! Trees without end, and names that are none.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use zk_snapshot::capture::{CaptureError, CaptureOptions, capture_in_memory};
use zk_snapshot::tree::{
    Acl, AclFound, ClientError, Found, History, MemoryTree, Reading, Stat, ZnodePath, ZnodeReader,
};

use crate::{ZNODES, captured, now};

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
