//! Counters of sequential children are as in the backup, or told.

use std::sync::Arc;

use zk_snapshot::archive::Record;
use zk_snapshot::model::{Ensemble, Fate, ModelTree};
use zk_snapshot::restore::{Ledger, MemoryLedger, Policy, RestoreOptions};
use zk_snapshot::tree::Acl;

use crate::ground::{
    ADMIN, ALL, At, READ, acl, backed_up, backup_of, bob, create, dump, noting, path, restored,
};

const NEXT: i64 = 8;

/// A backup of a queue whose next number is 8, which is gone.
fn queue() -> (Ensemble, Vec<Vec<Record>>) {
    let (ensemble, _) = backed_up(&[("/queue", b"", Acl::open()), ("/queue/kept", b"", Acl::open())]);
    ensemble.with_tree(|tree| {
        for _ in 1..NEXT {
            create(tree, "/queue/n", b"", Acl::open());
            tree.delete_all(&path("/queue/n"));
        }
    });
    let backup = backup_of(&ensemble);
    ensemble.with_tree(|tree| tree.delete_all(&path("/queue")));
    (ensemble, backup)
}

fn next(tree: &ModelTree) -> Option<i64> {
    Some(tree.get(&path("/queue"))?.stat.next_sequence())
}

/// Under policy `missing`, and as what is only above what is asked for.
fn ways(ledger: &Arc<MemoryLedger>) -> [RestoreOptions; 2] {
    let missing = RestoreOptions {
        policy: Policy::Missing,
        ..noting(ledger)
    };
    let above = RestoreOptions {
        roots: vec![path("/queue/kept")],
        ..noting(ledger)
    };
    [missing, above]
}

#[test]
fn whatever_answer_is_lost_a_counter_is_raised() {
    for (ordered, way) in [(true, 0), (false, 0), (true, 1), (false, 1)] {
        for (request, carried_out) in (0..40).flat_map(|at| [(at, true), (at, false)]) {
            let (ensemble, backup) = queue();
            let fate = Fate {
                cut: Some(carried_out),
                ..Fate::default()
            };
            let options = &ways(&Arc::default())[way];
            let ended = restored(
                &ensemble,
                &bob(),
                ordered,
                &backup,
                options,
                Some(At(request, fate)),
            )
            .0;
            let report = ended.unwrap().unwrap();
            let when = format!("{ordered} {way} {request} {carried_out} {report:?}");
            assert!(report.is_complete() && report.counters_left == 0, "{when}");
            assert_eq!((report.created, report.counters_raised), (2, 1), "{when}");
            assert!(ensemble.with_tree(|tree| next(tree)) >= Some(NEXT), "{when}");
        }
    }
}

#[test]
fn a_counter_that_a_killed_restore_has_not_raised_is_told_by_the_next_one() {
    for (ordered, way) in [(true, 0), (false, 0), (true, 1), (false, 1)] {
        let mut told = 0;
        for request in 0..40 {
            let (ensemble, backup) = queue();
            let fate = Fate {
                kill: Some(true),
                ..Fate::default()
            };
            let options = &ways(&Arc::default())[way];
            let _ = restored(
                &ensemble,
                &bob(),
                ordered,
                &backup,
                options,
                Some(At(request, fate)),
            );
            for dry_run in [true, false] {
                let options = RestoreOptions {
                    dry_run,
                    ..options.clone()
                };
                let report = restored(&ensemble, &bob(), ordered, &backup, &options, None)
                    .0
                    .unwrap()
                    .unwrap();
                let left: Vec<_> = report
                    .counters_left_behind
                    .iter()
                    .map(|one| one.path.as_str())
                    .collect();
                let is_told = left == ["/queue"] && report.counters_left == 1;
                let is_raised =
                    report.counters_raised == 1 || ensemble.with_tree(|tree| next(tree)) >= Some(NEXT);
                assert!(report.is_complete(), "{report:?}");
                assert!(
                    is_told != is_raised,
                    "{ordered} {way} {request} {dry_run} {report:?}"
                );
                told += usize::from(is_told);
            }
        }
        assert!(told > 0, "the counter was never left");
    }
}

#[test]
fn the_counter_of_what_others_have_created_is_left_to_them_and_told() {
    for (ordered, way) in [(true, 0), (false, 0), (true, 1), (false, 1)] {
        let (ensemble, backup) = queue();
        ensemble.with_tree(|tree| create(tree, "/queue", b"", acl(ALL, ALL)));
        let options = &ways(&Arc::default())[way];
        let report = restored(&ensemble, &bob(), ordered, &backup, options, None)
            .0
            .unwrap()
            .unwrap();
        assert!(report.is_complete() && report.counters_raised == 0, "{report:?}");
        assert_eq!(report.counters_left, 1, "{report:?}");
        assert_eq!(ensemble.with_tree(|tree| next(tree)), Some(1));
    }
}

#[test]
fn a_child_that_raises_a_counter_and_cannot_be_deleted_is_named_and_noted() {
    const WRITE: u32 = 2;
    const CREATE: u32 = 4;
    for (ordered, may_admit) in [(true, false), (false, false), (true, true), (false, true)] {
        let (ensemble, backup) = queue();
        let closed = acl(READ | CREATE | if may_admit { WRITE | ADMIN } else { 0 }, ALL);
        ensemble.with_tree(|tree| {
            create(tree, "/queue", b"other", closed.clone());
            create(tree, "/queue/kept", b"", Acl::open());
        });
        let ledger = Arc::default();
        let report = restored(&ensemble, &bob(), ordered, &backup, &noting(&ledger), None)
            .0
            .unwrap()
            .unwrap();
        let there = dump(&ensemble);
        let helpers: Vec<_> = there
            .keys()
            .filter(|at| at.contains("sequence-counter"))
            .collect();
        let named = |at: &str| report.failures.iter().any(|one| one.path.as_str() == at);
        let noted: Vec<_> = ledger
            .unfinished()
            .unwrap()
            .into_iter()
            .map(|one| one.path.to_string())
            .collect();
        assert_eq!(named("/queue"), !may_admit, "{report:?}");
        if may_admit {
            assert!(
                report.is_complete() && helpers.is_empty(),
                "{helpers:?} {report:?}"
            );
            assert!(ensemble.with_tree(|tree| next(tree)) >= Some(NEXT), "{report:?}");
        }
        assert!(helpers.iter().all(|at| named(at)), "{helpers:?} {report:?}");
        assert_eq!(helpers, noted.iter().collect::<Vec<_>>(), "{report:?}");
    }
}

#[test]
fn a_counter_that_we_may_not_raise_is_told_and_nothing_else() {
    let closed = acl(READ, ALL);
    for ordered in [true, false] {
        let (ensemble, mut backup) = queue();
        for record in backup
            .iter_mut()
            .flatten()
            .filter(|record| record.path == path("/queue"))
        {
            record.acl = closed.clone();
        }
        ensemble.with_tree(|tree| {
            create(tree, "/queue", b"", closed.clone());
            create(tree, "/queue/kept", b"", Acl::open());
        });
        let (before, ledger) = (dump(&ensemble), Arc::default());
        for _ in 0..2 {
            let report = restored(&ensemble, &bob(), ordered, &backup, &noting(&ledger), None)
                .0
                .unwrap()
                .unwrap();
            let named: Vec<_> = report.failures.iter().map(|one| one.path.as_str()).collect();
            assert_eq!(
                (&*named, report.counters_left),
                (&["/queue"][..], 1),
                "{report:?}"
            );
            assert_eq!(ledger.unfinished().unwrap(), []);
            assert_eq!(dump(&ensemble), before);
        }
    }
}
