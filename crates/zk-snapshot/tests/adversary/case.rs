//! Restores.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use zk_snapshot::archive::{Record, RecordSource};
use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
use zk_snapshot::model::{Ensemble, Entry, Fate, Identity, Manner, Rules, Znode};
use zk_snapshot::restore::{MemoryLedger, Policy, RestoreError, RestoreOptions, RestoreReport, restore};
use zk_snapshot::tree::{Acl, WriteOp, ZnodePath};

use crate::acts::{
    Act, Adversary, Data, Guard, Place, SMALL_REQUEST, Schedule, acts_on_the_tree, at, bob, first_data,
    guards, is_among, places, schedules,
};
use crate::scope::Scope;
use crate::{exposure, outcome, touching};

#[derive(Debug, Clone)]
pub struct First {
    pub place: Place,
    pub data: Data,
    pub guard: Guard,
    /// Children that it had and has not any more.
    pub had: u8,
}

pub fn trees() -> impl Strategy<Value = Vec<First>> {
    let had = prop_oneof![4 => Just(0_u8), 1 => 1_u8..4];
    let first = (places(), first_data(), guards(), had);
    let first = first.prop_map(|(place, data, guard, had)| First {
        place,
        data,
        guard,
        had,
    });
    prop::collection::vec(first, 0..8)
}

pub fn plant(ensemble: &Ensemble, first: &[First]) {
    let mut first = first.to_vec();
    first.sort_by_key(|one| one.place.path());
    ensemble.with_tree(|tree| {
        let mut fate = Fate::default();
        for one in &first {
            for above in one.place.path().ancestors() {
                let above = at(above.as_str());
                Act::Create(above, Data::Empty, Guard::Open).act(tree, &mut fate);
            }
            Act::Create(one.place, one.data, one.guard).act(tree, &mut fate);
            for _ in 0..one.had {
                let path = one.place.path().child("had").unwrap();
                let create = zk_snapshot::tree::WriteOp::Create {
                    path: path.clone(),
                    data: Vec::new(),
                    acl: Guard::Open.acl(),
                    kind: zk_snapshot::tree::Kind::Persistent,
                };
                let _ = tree.write(&create);
                tree.delete_all(&path);
            }
        }
    });
}

#[derive(Debug, Clone, Copy)]
pub enum Us {
    Anyone,
    Bob,
    Super,
}

impl Us {
    pub fn identity(self) -> Identity {
        match self {
            Self::Anyone => Identity::anyone(),
            Self::Bob => bob(),
            Self::Super => Identity::superuser(),
        }
    }
}

pub fn us() -> impl Strategy<Value = Us> {
    prop_oneof![Just(Us::Bob), Just(Us::Super), Just(Us::Anyone)]
}

#[derive(Debug, Clone)]
pub struct Case {
    pub first: Vec<First>,
    pub between: Vec<Act>,
    pub schedule: Schedule,
    /// What happens between the first restore and the second.
    pub after: Vec<Act>,
    pub us: Us,
    /// Whether the backup was made by somebody who may read everything.
    pub whole: bool,
    /// The places whose ACLs the backup does not have.
    pub unknown: u16,
    pub ordered: bool,
    pub order: u64,
    pub small: bool,
    pub root: Option<Place>,
    /// From and to.
    pub rename: Option<(&'static str, &'static str)>,
    pub policy: Policy,
    /// That of the second restore, if it is another one.
    pub again: Option<Policy>,
    pub same_ensemble: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let tree = (
        trees(),
        prop::collection::vec(acts_on_the_tree(), 0..8),
        schedules(60, 8),
        prop::collection::vec(acts_on_the_tree(), 0..3),
    );
    let ways = (
        us(),
        any::<bool>(),
        any::<bool>(),
        any::<u64>(),
        prop::bool::weighted(0.2),
        prop_oneof![6 => Just(0_u16), 1 => Just(u16::MAX), 1 => any::<u16>()],
    );
    let rename = prop_oneof![
        6 => Just(None),
        1 => Just(Some(("/a", "/r"))),
        1 => Just(Some(("/a", "/r/s"))),
        1 => Just(Some(("/a/a", "/b/b"))),
    ];
    let policy = prop_oneof![
        3 => Just(Policy::Replace),
        1 => Just(Policy::Merge),
        1 => Just(Policy::Missing)
    ];
    let again = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Policy::Replace)),
        1 => Just(Some(Policy::Missing))
    ];
    let asked = (
        prop_oneof![2 => Just(None), 1 => places().prop_map(Some)],
        rename,
        policy,
        again,
        any::<bool>(),
    );
    (tree, ways, asked).prop_map(
        |(
            (first, between, schedule, after),
            (us, whole, ordered, order, small, unknown),
            (root, rename, policy, again, same_ensemble),
        )| {
            Case {
                first,
                between,
                schedule,
                after,
                us,
                whole,
                unknown,
                ordered,
                order,
                small,
                root: root
                    .filter(|root| !root.path().is_root())
                    .map(|root| rename.map_or(root, |(from, _)| at(from))),
                rename,
                policy,
                again,
                same_ensemble,
            }
        },
    )
}

pub fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}

pub fn manner(ordered: bool) -> Manner {
    Manner {
        ordered,
        connections: if ordered { 1 } else { 3 },
        batch_size: 4,
        write_batch: 4,
    }
}

pub fn records(source: &dyn RecordSource) -> Vec<Record> {
    (0..source.frames())
        .flat_map(|index| source.frame(index).unwrap())
        .collect()
}

/// The backup as one that does not have the ACLs of `unknown` places.
fn without_acls(backup: impl RecordSource + 'static, unknown: u16) -> Arc<dyn RecordSource> {
    if unknown == 0 {
        return Arc::new(backup);
    }
    let mut records = records(&backup);
    let without = records
        .iter_mut()
        .filter(|record| is_among(unknown, &record.path));
    without.for_each(|record| record.acl = Acl::unknown());
    Arc::new(vec![records])
}

struct Run {
    ensemble: Ensemble,
    source: Arc<dyn RecordSource>,
    options: RestoreOptions,
    us: Identity,
    manner: Manner,
    scope: Scope,
}

impl Run {
    /// One restore, and what it did checked whatever its end. `None`: it was ended.
    fn once(
        &self,
        adversary: Option<Adversary>,
    ) -> Result<Option<Result<RestoreReport, RestoreError>>, String> {
        let adversary = adversary.map(|adversary| Box::new(adversary) as _);
        self.ensemble.set_meddler(adversary);
        let client = self.ensemble.client(self.us.clone(), self.manner.clone());
        let from = self.ensemble.with_tree(|tree| tree.log().len());
        let work = restore(Arc::clone(&self.source), &client, &self.options);
        let outcome = now(self.ensemble.unless_killed(work));
        self.ensemble.set_meddler(None);
        self.ensemble.with_tree(|tree| {
            touching::check(&self.scope, tree, from, &self.us)?;
            exposure::check(&self.scope, tree, from, &self.us)?;
            let noted = self
                .options
                .ledger
                .unfinished()
                .map_err(|error| error.to_string())?;
            let noted: Vec<_> = noted.into_iter().map(|one| one.path).collect();
            touching::check_kept(&self.scope, tree, &noted)
        })?;
        Ok(outcome)
    }
}

/// Whether what must hold does, at every end of both restores.
pub fn holds(case: &Case) -> Result<(), String> {
    let max_request = if case.small { SMALL_REQUEST } else { 1 << 20 };
    let ensemble = Ensemble::new(Rules {
        max_request,
        order: case.order,
        ..Rules::default()
    });
    plant(&ensemble, &case.first);
    let us = case.us.identity();
    let reader = if case.whole {
        Identity::superuser()
    } else {
        us.clone()
    };
    let reader = ensemble.client(reader, Manner::default());
    let Ok(captured) = now(capture_in_memory(&reader, &CaptureOptions::default())) else {
        return Ok(());
    };
    let mut fate = Fate::default();
    ensemble.with_tree(|tree| case.between.iter().for_each(|act| act.act(tree, &mut fate)));
    let source = without_acls(captured.records, case.unknown);
    let path = |text: &str| ZnodePath::parse(text).unwrap();
    let rename = case.rename.map(|(from, to)| (path(from), path(to)));
    let root = case.root.map(Place::path);
    let options = RestoreOptions {
        roots: root.iter().cloned().collect(),
        renames: rename.iter().cloned().collect(),
        policy: case.policy,
        same_ensemble: case.same_ensemble,
        sequence_limit: 20,
        ledger: Arc::new(MemoryLedger::default()),
        ..RestoreOptions::default()
    };
    let run = Run {
        scope: Scope::new(&records(&*source), root.as_ref(), rename.as_ref(), case.policy),
        ensemble,
        source,
        options,
        us,
        manner: manner(case.ordered),
    };
    let tree = |work: &dyn Fn(&zk_snapshot::model::ModelTree) -> Result<(), String>| {
        run.ensemble.with_tree(|tree| work(tree))
    };
    let (begin, from) = run.ensemble.with_tree(|tree| (tree.zxid(), tree.log().len()));
    let _told = Told(&run.ensemble);
    match run.once(Some(Adversary::new(&case.schedule)))? {
        Some(Err(RestoreError::NotInBackup(_) | RestoreError::Collision(_))) => {
            return tree(&|tree| {
                let wrote = tree.log()[from..].iter().any(|entry| entry.by != 0);
                (!wrote)
                    .then_some(())
                    .ok_or_else(|| "(a) refused, and written".to_owned())
            });
        }
        Some(Ok(report)) if report.is_complete() => {
            tree(&|tree| {
                outcome::check_complete(&run.scope, tree, begin, from)
                    .map_err(|why| format!("{why} {report:?}"))?;
                // What others create after our last look has begun to count anew, and a server that is behind shows the counter
                // of what was deleted.
                let is_deletion = |entry: &Entry, path: &ZnodePath| {
                    matches!(entry.op, WriteOp::Delete { .. }) && entry.op.path() == path
                };
                let is_ours = |path: &ZnodePath, znode: &Znode| {
                    let mut log = tree.log()[from..].iter();
                    Scope::is_ours(tree, path, znode) && !log.any(|entry| is_deletion(entry, path))
                };
                outcome::check_counters(&run.scope, tree, &report, is_ours)
            })?;
        }
        _ => {}
    }
    run.ensemble.with_tree(|tree| {
        case.after.iter().for_each(|act| act.act(tree, &mut fate));
        tree.end_sessions();
    });
    let begin = run.ensemble.with_tree(|tree| tree.zxid());
    let policy = case.again.unwrap_or(case.policy);
    let run = Run {
        scope: Scope::new(&records(&*run.source), root.as_ref(), rename.as_ref(), policy),
        ensemble: run.ensemble.clone(),
        source: Arc::clone(&run.source),
        options: RestoreOptions {
            policy,
            ..run.options.clone()
        },
        us: run.us.clone(),
        manner: run.manner.clone(),
    };
    let report = match run.once(None)? {
        Some(Ok(report)) => report,
        other => return Err(format!("(d) nobody interferes: {other:?}")),
    };
    tree(&|tree| outcome::check_second(&run.scope, tree, begin, &run.us, max_request, &report))?;
    Ok(())
}

proptest! {
    #![proptest_config(crate::case::config())]

    #[test]
    fn a_restore_harms_nothing_shows_nothing_and_ends_equal(case in cases()) {
        if let Err(why) = holds(&case) {
            return Err(TestCaseError::fail(why));
        }
    }
}

struct Told<'a>(&'a Ensemble);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        story(self.0);
    }
}

/// Prints all that happened, where `ADVERSARY_STORY` is set.
#[allow(clippy::print_stdout)]
pub fn story(ensemble: &Ensemble) {
    if std::env::var_os("ADVERSARY_STORY").is_none() {
        return;
    }
    ensemble.with_tree(|tree| {
        let mut lines: Vec<_> = tree
            .log()
            .iter()
            .enumerate()
            .map(|(index, e)| (index + 1, 0, format!("{} by {}: {:?}", e.zxid, e.by, e.op)))
            .collect();
        let looks = tree.looks().iter();
        lines.extend(looks.map(|look| (look.after, 1, format!("  {look:?}"))));
        lines.sort_by_key(|(after, kind, _)| (*after, *kind));
        lines.iter().for_each(|(_, _, line)| println!("{line}"));
    });
}

/// As many cases as `ADVERSARY_CASES` says, others each time; else 10,000 that are always the same.
pub fn config() -> ProptestConfig {
    let asked = std::env::var("ADVERSARY_CASES").ok();
    let asked = asked.and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(10_000),
        rng_seed: match asked {
            Some(_) => RngSeed::Random,
            None => RngSeed::Fixed(16),
        },
        max_shrink_iters: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
