//! A restore without an identity is cut off, and later ones have one.

use std::sync::Arc;

use zk_snapshot::archive::Record;
use zk_snapshot::model::{Ensemble, Fate, Identity};
use zk_snapshot::restore::{Ledger, MemoryLedger, Policy, RestoreOptions, RestoreReport, still_unfinished};
use zk_snapshot::tree::Acl;

use crate::ground::{
    ADMIN, ALL, At, READ, acl, anyone, backed_up, backup_of, bob, create, dump, manner, noting, now, path,
    restored, set_acl, set_data,
};

const REQUESTS: u64 = 40;

/// Where each first restore is killed: in which order, at which request, and whether that is carried out.
fn ends() -> Vec<(bool, u64, bool)> {
    let mut ends = Vec::new();
    for ordered in [true, false] {
        for request in 0..REQUESTS {
            ends.extend([true, false].map(|carried_out| (ordered, request, carried_out)));
        }
    }
    ends
}

fn killed(
    ensemble: &Ensemble,
    us: &Identity,
    (ordered, request, carried_out): (bool, u64, bool),
    backup: &[Vec<Record>],
    ledger: &Arc<MemoryLedger>,
) {
    let fate = Fate {
        kill: Some(carried_out),
        ..Fate::default()
    };
    let at = Some(At(request, fate));
    restored(ensemble, us, ordered, backup, &noting(ledger), at);
}

fn by_bob(
    ensemble: &Ensemble,
    ordered: bool,
    backup: &[Vec<Record>],
    options: &RestoreOptions,
) -> RestoreReport {
    let ended = restored(ensemble, &bob(), ordered, backup, options, None).0;
    ended.unwrap().unwrap()
}

fn missing(ledger: &Arc<MemoryLedger>) -> RestoreOptions {
    RestoreOptions {
        policy: Policy::Missing,
        ..noting(ledger)
    }
}

/// A backup of `/p` with its own list, and an ensemble where that is open and has other data, or is not there.
fn without_p(is_there: bool, own: &Acl) -> (Ensemble, Vec<Vec<Record>>) {
    let (ensemble, _) = backed_up(&[
        ("/p", b"p", Acl::open()),
        ("/p/c", b"c", Acl::open()),
        ("/z", b"z", Acl::open()),
    ]);
    ensemble.with_tree(|tree| set_acl(tree, "/p", own.clone()));
    let backup = backup_of(&ensemble);
    ensemble.with_tree(|tree| match is_there {
        true => {
            set_data(tree, "/p", b"other");
            set_acl(tree, "/p", anyone(ALL));
        }
        false => tree.delete_all(&path("/p")),
    });
    (ensemble, backup)
}

#[test]
fn what_one_without_an_identity_has_left_is_known_and_finished_by_one_that_has_one() {
    let own = acl(ALL, READ);
    for is_there in [true, false] {
        let (mut opened, mut narrowed) = (0, 0);
        for end in ends() {
            let (ensemble, backup) = without_p(is_there, &own);
            let ledger = Arc::default();
            killed(&ensemble, &Identity::anyone(), end, &backup, &ledger);
            let left = ledger.unfinished().unwrap();
            let before = dump(&ensemble).get("/p").cloned();
            let is_known = left
                .iter()
                .any(|one| one.path == path("/p") && one.czxid.is_some());
            if !is_there && before.is_some() && !left.is_empty() && !is_known {
                continue; // which znode it is could not be noted any more
            }
            let list = before.as_ref().map(|(_, list)| list.clone());
            let is_open = !is_there && list == Some(anyone(ALL));
            let is_narrow = list == Some(anyone(ALL & !READ));
            let stands = is_open || is_narrow;
            (opened, narrowed) = (opened + u64::from(is_open), narrowed + u64::from(is_narrow));

            let client = ensemble.client(bob(), manner(end.0));
            let still = now(still_unfinished(&client, left)).unwrap();
            let expected = if stands { vec![path("/p")] } else { Vec::new() };
            assert_eq!(still, expected, "{is_there} {end:?} {before:?}");
            let elsewhere = RestoreOptions {
                roots: vec![path("/z")],
                ..noting(&ledger)
            };
            by_bob(&ensemble, end.0, &backup, &elsewhere);
            let noted: Vec<_> = ledger
                .unfinished()
                .unwrap()
                .into_iter()
                .map(|one| one.path)
                .collect();
            assert_eq!(noted, expected, "{is_there} {end:?} {before:?}");
            let report = by_bob(&ensemble, end.0, &backup, &missing(&ledger));
            assert!(report.is_complete(), "{is_there} {end:?} {report:?}");
            let expected = match is_there && !stands {
                true => before,
                false => Some((b"p".to_vec(), own.clone())),
            };
            let after = dump(&ensemble).get("/p").cloned();
            assert_eq!(after, expected, "{is_there} {end:?} {report:?}");
            assert_eq!(ledger.unfinished().unwrap(), [], "{is_there} {end:?}");
        }
        assert!(narrowed > 0 && (is_there || opened > 0), "{opened} {narrowed}");
    }
}

#[test]
fn what_one_without_an_identity_has_opened_is_put_back_by_one_that_has_one() {
    let before = anyone(READ | ADMIN);
    let mut opened = 0;
    for end in ends() {
        let (ensemble, backup) = backed_up(&[("/app", b"a", Acl::open())]);
        ensemble.with_tree(|tree| {
            create(tree, "/app/q", b"", before.clone());
            create(tree, "/app/q/a", b"", Acl::open());
            create(tree, "/app/q/lock", b"", Acl::open());
        });
        let ledger = Arc::default();
        killed(&ensemble, &Identity::anyone(), end, &backup, &ledger);
        opened += u64::from(dump(&ensemble)["/app/q"].1 == Acl::open());
        let report = by_bob(&ensemble, end.0, &backup, &missing(&ledger));
        assert_eq!(dump(&ensemble)["/app/q"].1, before, "{end:?} {report:?}");
        assert_eq!(ledger.unfinished().unwrap(), [], "{end:?} {report:?}");
    }
    assert!(opened > 0);
}

#[test]
fn a_list_for_everybody_is_somebody_elses_where_the_one_that_was_cut_off_had_an_identity() {
    let mut times = 0;
    for end in ends() {
        let (ensemble, backup) = without_p(true, &acl(ALL, READ));
        let ledger = Arc::default();
        killed(&ensemble, &bob(), end, &backup, &ledger);
        let left = ledger.unfinished().unwrap();
        if left.is_empty() || dump(&ensemble)["/p"].1 != anyone(ALL) {
            continue;
        }
        // At the very version that ours would have had.
        ensemble.with_tree(|tree| set_acl(tree, "/p", anyone(ALL)));
        let there = dump(&ensemble);
        by_bob(&ensemble, end.0, &backup, &missing(&ledger));
        assert_eq!(dump(&ensemble), there, "{end:?}");
        assert_eq!(ledger.unfinished().unwrap(), [], "{end:?}");
        times += 1;
    }
    assert!(times > 0);
}
