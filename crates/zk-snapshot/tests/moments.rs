//! Captures of a tree that changes between any two reads: what says it is consistent is one moment of its history.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;
use proptest::prelude::*;
use zk_snapshot::archive::RecordSource;
use zk_snapshot::capture::{CaptureOptions, Consistency, capture_in_memory};
use zk_snapshot::tree::{
    Acl, AclFound, ClientError, History, Kind, MemoryTree, Reading, TreeWatch, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter,
};

type State = BTreeMap<String, Vec<u8>>;

/// A tree to which something happens before every read, as long as there is something left.
struct Restless {
    tree: MemoryTree,
    to_come: Mutex<VecDeque<WriteOp>>,
    at_once: usize,
    history: Mutex<Vec<State>>,
    watched: bool,
    /// May not be read the first time.
    shut: Mutex<Option<ZnodePath>>,
}

impl Restless {
    fn new(before: &[Step], during: &[Step], at_once: usize, watched: bool) -> Self {
        let tree = MemoryTree::new();
        let ops = |steps: &[Step]| steps.iter().map(Step::op).collect::<Vec<_>>();
        let _ = now(tree.write_many(&ops(before)));
        let restless = Self {
            tree,
            to_come: Mutex::new(ops(during).into()),
            at_once,
            history: Mutex::new(Vec::new()),
            watched,
            shut: Mutex::new(None),
        };
        restless.remember();
        restless
    }

    fn remember(&self) {
        let state = self.tree.dump().into_iter().map(|(path, data, _)| (path, data));
        self.history.lock().unwrap().push(state.collect());
    }

    async fn something_happens(&self) {
        for _ in 0..self.at_once {
            let op = self.to_come.lock().unwrap().pop_front();
            let Some(op) = op else { return };
            let _ = self.tree.write_many(&[op]).await; // some cannot be done, and do nothing
            self.remember();
        }
    }
}

#[async_trait]
impl ZnodeReader for Restless {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        let shut = self.shut.lock().unwrap().take_if(|path| paths.contains(path));
        self.something_happens().await;
        let mut readings = self.tree.read_many(paths, history).await?;
        if let Some(at) = paths.iter().position(|path| Some(path) == shut.as_ref()) {
            readings[at] = Reading::Denied;
        }
        Ok(readings)
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        self.something_happens().await;
        self.tree.read_acls(paths).await
    }

    fn batch_size(&self) -> usize {
        2
    }

    fn batches_in_flight(&self) -> usize {
        2
    }

    fn epoch(&self) -> u64 {
        self.tree.epoch()
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.tree.sync().await
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        if self.watched {
            self.tree.watch(roots).await
        } else {
            Ok(None)
        }
    }
}

/// A change of one of a few znodes.
#[derive(Debug, Clone)]
struct Step {
    path: Vec<u8>,
    what: u8,
    data: u8,
}

impl Step {
    fn op(&self) -> WriteOp {
        let text: String = self.path.iter().map(|part| format!("/{part}")).collect();
        let path = ZnodePath::parse(&text).unwrap();
        match self.what {
            0 | 1 => WriteOp::Create {
                path,
                data: vec![self.data],
                acl: Acl::open(),
                kind: Kind::Persistent,
            },
            2 => WriteOp::SetData {
                path,
                data: vec![self.data],
                version: None,
            },
            _ => WriteOp::Delete { path, version: None },
        }
    }
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (prop::collection::vec(0_u8..3, 1..4), 0_u8..4, any::<u8>());
    let step = step.prop_map(|(path, what, data)| Step { path, what, data });
    prop::collection::vec(step, 0..most)
}

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// What a capture holds, parents checked to come before their children; and whether it says that it is consistent.
fn captured(restless: &Restless, rounds: u32) -> (State, bool) {
    let options = CaptureOptions {
        rounds,
        ..CaptureOptions::default()
    };
    let captured = now(capture_in_memory(restless, &options)).unwrap();
    let mut state = State::new();
    for index in 0..captured.records.frames() {
        for record in captured.records.frame(index).unwrap() {
            if let Some(parent) = record.path.parent() {
                assert!(
                    state.contains_key(parent.as_str()),
                    "{} comes before its parent",
                    record.path
                );
            }
            let twice = state.insert(record.path.to_string(), record.data);
            assert!(twice.is_none(), "{} is there twice", record.path);
        }
    }
    assert_eq!(
        captured.summary.znodes,
        state.len() as u64,
        "{:?}",
        captured.summary
    );
    let bytes: usize = state.values().map(Vec::len).sum();
    assert_eq!(captured.summary.bytes, bytes as u64, "{:?}", captured.summary);
    (state, captured.summary.consistency == Consistency::Consistent)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn what_is_watched_is_one_moment(before in steps(40), during in steps(60), at_once in 1_usize..4) {
        let restless = Restless::new(&before, &during, at_once, true);
        let (state, consistent) = captured(&restless, 200);
        prop_assert!(consistent, "changes end, so it must become consistent");
        prop_assert!(restless.history.lock().unwrap().contains(&state));
    }

    #[test]
    fn what_two_walks_agree_on_is_one_moment(before in steps(40), during in steps(25), at_once in 1_usize..3) {
        let restless = Restless::new(&before, &during, at_once, false);
        let (state, consistent) = captured(&restless, 200);
        if consistent {
            prop_assert!(restless.history.lock().unwrap().contains(&state));
        }
    }

    #[test]
    fn what_keeps_changing_is_told(before in steps(20), during in steps(200)) {
        let restless = Restless::new(&before, &during, 3, true);
        let (state, consistent) = captured(&restless, 1);
        if consistent {
            prop_assert!(restless.history.lock().unwrap().contains(&state));
        }
    }
}

/// A parent and its child go just while ACLs are looked up for the last time, after the rounds are used up: the child, which
/// the walk has kept, must go with it. Whatever the time, `captured` checks that parents come first.
#[test]
fn what_goes_at_the_very_end_goes_with_all_below_it() {
    let step = |path: &[u8], what| Step {
        path: path.to_vec(),
        what,
        data: 1,
    };
    let nothing = || step(&[9], 2);
    let before = [step(&[1], 0), step(&[1, 0], 0)];
    for (first, then) in (0..12).flat_map(|first| (0..12).map(move |then| (first, then))) {
        let mut during: Vec<_> = (0..first).map(|_| nothing()).collect();
        during.extend([step(&[1], 2), nothing()]);
        during.extend((0..then).map(|_| nothing()));
        during.extend([step(&[1, 0], 3), step(&[1], 3)]);
        for at_once in 1..3 {
            captured(&Restless::new(&before, &during, at_once, true), 1);
        }
    }
}

/// The suite above would notice: without validation some capture is no moment of the history at all.
#[test]
fn a_walk_alone_is_not_one_moment() {
    let step = |path: &[u8], what, data| Step {
        path: path.to_vec(),
        what,
        data,
    };
    let before: Vec<_> = (0..8).map(|i| step(&[i], 0, 0)).collect();
    // Each round raises all of them, one after another: no moment has a later one ahead of an earlier one by two.
    let during: Vec<_> = (1..50)
        .flat_map(|n| (0..8).map(move |i| (i, n)))
        .map(|(i, n)| step(&[i], 2, n))
        .collect();
    let restless = Restless::new(&before, &during, 5, true);
    let (state, consistent) = captured(&restless, 0);
    assert!(!consistent);
    assert!(!restless.history.lock().unwrap().contains(&state));
}

/// Whoever opens a znode to us sends no event. What was below it before must not be missing when another event shows it.
#[test]
fn what_may_be_read_later_is_read_with_all_below_it() {
    let step = |path: &[u8], what| Step {
        path: path.to_vec(),
        what,
        data: 1,
    };
    let before = [&[0][..], &[0, 1], &[0, 1, 2]].map(|path| step(path, 0));
    // The root is read, and then the znode.
    let during = [step(&[1], 0), step(&[0], 2)];
    let restless = Restless::new(&before, &during, 1, true);
    *restless.shut.lock().unwrap() = Some(ZnodePath::parse("/0").unwrap());
    let (state, consistent) = captured(&restless, 200);
    assert!(consistent);
    assert!(
        restless.history.lock().unwrap().contains(&state),
        "{:?}",
        state.keys()
    );
}
