//! (e): a capture that says it is consistent is one moment, hidden znodes included.

use proptest::prelude::*;
use zk_snapshot::archive::{Record, Role};
use zk_snapshot::capture::{CaptureError, CaptureOptions, Consistency, capture_in_memory};
use zk_snapshot::model::{Ensemble, Identity, ModelTree, Rules};
use zk_snapshot::tree::ZnodePath;

use crate::acts::{Act, Adversary, Place, Schedule, places, schedules};
use crate::case::{First, Us, config, manner, now, plant, records, story, trees, us};

#[derive(Debug, Clone)]
struct Case {
    first: Vec<First>,
    schedule: Schedule,
    us: Us,
    ordered: bool,
    order: u64,
    hides: bool,
    root: Option<Place>,
}

fn cases() -> impl Strategy<Value = Case> {
    let root = prop_oneof![2 => Just(None), 1 => places().prop_map(Some)];
    let all = (
        trees(),
        schedules(40, 12),
        us(),
        any::<bool>(),
        any::<u64>(),
        any::<bool>(),
        root,
    );
    all.prop_map(|(first, schedule, us, ordered, order, hides, root)| Case {
        first,
        schedule,
        us,
        ordered,
        order,
        hides,
        root,
    })
}

fn holds(case: &Case) -> Result<(), String> {
    let ensemble = Ensemble::new(Rules {
        hides: case.hides,
        order: case.order,
        ..Rules::default()
    });
    plant(&ensemble, &case.first);
    let us = case.us.identity();
    let begin = ensemble.with_tree(|tree| tree.zxid());
    let schedule: Schedule = case.schedule.clone();
    let schedule = schedule
        .into_iter()
        .filter(|(_, act)| !matches!(act, Act::Kill(_)))
        .collect();
    ensemble.set_meddler(Some(Box::new(Adversary::new(&schedule))));
    let client = ensemble.client(us.clone(), manner(case.ordered));
    let options = CaptureOptions {
        roots: case.root.iter().map(|root| root.path()).collect(),
        ..CaptureOptions::default()
    };
    let outcome = now(capture_in_memory(&client, &options));
    story(&ensemble);
    let captured = match outcome {
        Ok(captured) => captured,
        Err(CaptureError::NoSuchRoot(_) | CaptureError::Client(_)) => return Ok(()),
        Err(error) => return Err(format!("(e) {error}")),
    };
    if captured.summary.consistency != Consistency::Consistent {
        return Ok(());
    }
    let records = records(&captured.records);
    let root = case.root.map_or_else(ZnodePath::root, Place::path);
    ensemble.with_tree(|tree| {
        let shown = |zxid| is_shown(tree, &records, &root, &us, (begin, zxid));
        let mut last = String::new();
        for zxid in begin..=tree.zxid() {
            match shown(zxid) {
                Ok(()) => return Ok(()),
                Err(why) => last = why,
            }
        }
        Err(format!(
            "(e) no moment since {begin} is shown; at last {last}: {records:?}"
        ))
    })
}

/// Whether `records` are what was below `root` after the transaction `zxid`.
fn is_shown(
    tree: &ModelTree,
    records: &[Record],
    root: &ZnodePath,
    us: &Identity,
    (begin, zxid): (i64, i64),
) -> Result<(), String> {
    let captured: Vec<_> = records
        .iter()
        .filter(|record| record.path.is_within(root))
        .collect();
    for record in &captured {
        let path = &record.path;
        let there = tree.at(path, zxid);
        let was_unreadable = |zxid| tree.at(path, zxid).is_some_and(|znode| !us.may(&znode.acl, 1));
        let is_right = match (record.role, there) {
            // What is told as unreadable may be gone at that moment: nothing tells.
            (Role::Unreadable, _) => (begin..=tree.zxid()).any(was_unreadable),
            (Role::Captured, Some(znode)) => {
                !znode.stat.is_ephemeral()
                    && znode.data == record.data
                    && (znode.stat.czxid, znode.stat.mzxid, znode.stat.pzxid)
                        == (record.stat.czxid, record.stat.mzxid, record.stat.pzxid)
            }
            _ => false,
        };
        if !is_right {
            return Err(format!("at {zxid} {path} was {there:?}"));
        }
    }
    for path in tree.paths().filter(|path| path.is_within(root)) {
        let covers = |record: &&&Record| match record.role {
            Role::Unreadable => path.is_within(&record.path),
            _ => record.path == *path,
        };
        let is_kept = tree
            .at(path, zxid)
            .is_some_and(|znode| !znode.stat.is_ephemeral());
        if is_kept && !captured.iter().any(|record| covers(&record)) {
            return Err(format!("at {zxid} {path} was there"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_capture_that_says_it_is_consistent_is_one_moment(case in cases()) {
        if let Err(why) = holds(&case) {
            return Err(TestCaseError::fail(why));
        }
    }
}
