//! What a restore has left unfinished meets a restore of another backup, or to another place.

use std::sync::Arc;

use zk_snapshot::archive::Record;
use zk_snapshot::model::{Ensemble, Fate, Identity};
use zk_snapshot::restore::{Ledger, MemoryLedger, Policy, RestoreOptions, RestoreReport, still_unfinished};
use zk_snapshot::tree::{Acl, AclEntry, ZnodePath};

use crate::ground::{
    ADMIN, ALL, At, READ, acl, anyone, backed_up, backup_of, bob, create, dump, manner, noting, now, path,
    restored, set_acl, set_data,
};

const CREATE: u32 = 4;
const REQUESTS: u64 = 30;

fn killed_at(request: u64, carried_out: bool) -> Option<At> {
    let fate = Fate {
        kill: Some(carried_out),
        ..Fate::default()
    };
    Some(At(request, fate))
}

fn run(
    ensemble: &Ensemble,
    us: &Identity,
    ordered: bool,
    backup: &[Vec<Record>],
    options: &RestoreOptions,
) -> RestoreReport {
    restored(ensemble, us, ordered, backup, options, None)
        .0
        .unwrap()
        .unwrap()
}

/// Restores until nothing is left. What was hidden from us, too, is compared the second time.
fn finish(
    ensemble: &Ensemble,
    us: &Identity,
    ordered: bool,
    backup: &[Vec<Record>],
    options: &RestoreOptions,
) {
    let report = run(ensemble, us, ordered, backup, options);
    if !report.is_complete() {
        assert!(*us == Identity::anyone() && report.finished > 0, "{report:?}");
        let report = run(ensemble, us, ordered, backup, options);
        assert!(report.is_complete(), "{report:?}");
    }
}

fn of(ledger: &Arc<MemoryLedger>, root: &str) -> RestoreOptions {
    RestoreOptions {
        roots: vec![path(root)],
        ..noting(ledger)
    }
}

fn is_noted(ledger: &Arc<MemoryLedger>, at: &str) -> bool {
    ledger
        .unfinished()
        .unwrap()
        .iter()
        .any(|one| one.path == path(at))
}

/// Whatever is asked for: by whom, in which order, and where the first restore is killed.
fn everywhere(mut case: impl FnMut(&Identity, bool, (u64, bool))) {
    for us in [Identity::anyone(), bob()] {
        for ordered in [true, false] {
            for request in 0..REQUESTS {
                for carried_out in [true, false] {
                    case(&us, ordered, (request, carried_out));
                }
            }
        }
    }
}

#[test]
fn a_renaming_to_below_what_is_unfinished_leaves_that_as_it_is() {
    let mut noted = [0, 0];
    for is_there in [true, false] {
        for (policy, to) in [
            (Policy::Replace, "/x/y"),
            (Policy::Missing, "/x/y"),
            (Policy::Missing, "/x"),
        ] {
            everywhere(|us, ordered, (request, carried_out)| {
                let own = match us == &bob() {
                    true => acl(READ | ADMIN | CREATE, 0),
                    false => anyone(READ | ADMIN),
                };
                let data: &[u8] = if is_there { b"prod" } else { b"" };
                let (ensemble, _) = backed_up(&[("/a", b"a", Acl::open()), ("/x", data, Acl::open())]);
                ensemble.with_tree(|tree| {
                    create(tree, "/x/k", b"k", Acl::open());
                    set_acl(tree, "/x", own.clone());
                });
                let backup = backup_of(&ensemble);
                ensemble.with_tree(|tree| match is_there {
                    true => {
                        set_data(tree, "/x", b"other");
                        set_acl(tree, "/x", anyone(ALL));
                    }
                    false => tree.delete_all(&path("/x")),
                });
                let ledger = Arc::default();
                let at = killed_at(request, carried_out);
                restored(&ensemble, us, ordered, &backup, &of(&ledger, "/x"), at);
                let before = dump(&ensemble).get("/x").cloned();
                let was_noted = is_noted(&ledger, "/x");
                let there = RestoreOptions {
                    renames: [(path("/a"), path(to))].into(),
                    policy,
                    ..of(&ledger, "/a")
                };
                let report = run(&ensemble, us, ordered, &backup, &there);
                let when =
                    format!("{us:?} {ordered} {request} {carried_out} {policy:?} {to} {is_there} {report:?}");
                // What holds nothing is whoever's comes first.
                if to == "/x" && !is_there {
                    return;
                }
                if let Some(before) = before {
                    assert_eq!(dump(&ensemble)["/x"], before, "{when}");
                    let is_ours = before.1 != own && !(is_there && before.1 == anyone(ALL));
                    assert_eq!(is_noted(&ledger, "/x"), was_noted && is_ours, "{when}");
                    noted[usize::from(is_there)] += usize::from(is_ours);
                }
                finish(&ensemble, us, ordered, &backup, &of(&ledger, "/x"));
                assert_eq!(dump(&ensemble)["/x"], (data.to_vec(), own), "{when}");
                assert_eq!(ledger.unfinished().unwrap(), [], "{when}");
            });
        }
    }
    assert!(noted.iter().all(|times| *times > 0), "{noted:?}");
}

#[test]
fn a_restore_of_another_backup_finishes_what_is_unfinished_or_names_it() {
    let mut noted = 0;
    for policy in [Policy::Replace, Policy::Missing] {
        everywhere(|us, ordered, (request, carried_out)| {
            let own = match us == &bob() {
                true => acl(READ | ADMIN, ALL),
                false => anyone(READ | ADMIN),
            };
            let backup = |data: &[u8]| {
                let (ensemble, _) = backed_up(&[("/p", data, Acl::open()), ("/p/c", b"c", Acl::open())]);
                ensemble.with_tree(|tree| set_acl(tree, "/p", own.clone()));
                (backup_of(&ensemble), ensemble)
            };
            let (first, ensemble) = backup(b"first");
            let (second, _) = backup(b"second");
            ensemble.with_tree(|tree| tree.delete_all(&path("/p")));
            let ledger = Arc::default();
            let at = killed_at(request, carried_out);
            restored(&ensemble, us, ordered, &first, &of(&ledger, "/p/c"), at);
            noted += usize::from(is_noted(&ledger, "/p"));
            let options = RestoreOptions {
                policy,
                ..of(&ledger, "/p/c")
            };
            let report = run(&ensemble, us, ordered, &second, &options);
            let when = format!("{us:?} {ordered} {request} {carried_out} {policy:?} {report:?}");
            let (data, list) = dump(&ensemble)["/p"].clone();
            assert!(report.is_complete() || is_noted(&ledger, "/p"), "{when}");
            assert!(report.is_complete() || us == &bob(), "{when}");
            if report.is_complete() {
                assert_eq!(list, own, "{when}");
                assert!(data == b"first" || data == b"second", "{when} {data:?}");
                assert_eq!(ledger.unfinished().unwrap(), [], "{when}");
            }
        });
    }
    assert!(noted > 0);
}

#[test]
fn a_backup_that_was_taken_meanwhile_does_not_end_it() {
    let mut times = [0, 0];
    everywhere(|us, ordered, (request, carried_out)| {
        let own = match us == &bob() {
            true => acl(READ | ADMIN, ALL),
            false => anyone(READ | ADMIN),
        };
        let (ensemble, _) = backed_up(&[("/p", b"p", Acl::open()), ("/p/c", b"c", Acl::open())]);
        ensemble.with_tree(|tree| set_acl(tree, "/p", own.clone()));
        let backup = backup_of(&ensemble);
        let wanted = dump(&ensemble);
        ensemble.with_tree(|tree| tree.delete_all(&path("/p")));
        let ledger = Arc::default();
        restored(
            &ensemble,
            us,
            ordered,
            &backup,
            &noting(&ledger),
            killed_at(request, carried_out),
        );
        let client = ensemble.client(us.clone(), manner(ordered));
        let still = now(still_unfinished(&client, ledger.unfinished().unwrap())).unwrap();
        let there = dump(&ensemble);
        let is_ours = there.get("/p").is_some_and(|(_, list)| *list != own);
        assert_eq!(
            still,
            if is_ours {
                vec![path("/p")]
            } else {
                Vec::<ZnodePath>::new()
            },
            "{us:?} {request} {ledger:?}"
        );

        let meanwhile = backup_of(&ensemble);
        let report = run(&ensemble, us, ordered, &meanwhile, &noting(&ledger));
        let when = format!("{us:?} {ordered} {request} {carried_out} {report:?}");
        let noted = is_noted(&ledger, "/p");
        // Which znode it is was not noted yet where it was killed right after its creation.
        let is_known = ledger.unfinished().unwrap().iter().all(|one| one.czxid.is_some());
        if is_ours && is_known && noted {
            assert!(!report.is_complete(), "{when}");
        }
        times[usize::from(is_ours)] += usize::from(noted);
        assert_eq!(dump(&ensemble), there, "{when}");
        finish(&ensemble, us, ordered, &backup, &noting(&ledger));
        assert_eq!(dump(&ensemble), wanted, "{when}");
        assert_eq!(ledger.unfinished().unwrap(), [], "{when}");
    });
    assert!(times[1] > 0 && times[0] == 0, "{times:?}");
}

#[test]
fn a_list_that_was_set_by_hand_stays_whatever_a_backup_taken_before_has() {
    let mut times = 0;
    everywhere(|us, ordered, (request, carried_out)| {
        let (ensemble, _) = backed_up(&[("/p", b"p", Acl::open()), ("/p/c", b"c", Acl::open())]);
        ensemble.with_tree(|tree| set_acl(tree, "/p", anyone(READ | ADMIN)));
        let backup = backup_of(&ensemble);
        ensemble.with_tree(|tree| tree.delete_all(&path("/p")));
        let ledger = Arc::default();
        let at = killed_at(request, carried_out);
        restored(&ensemble, us, ordered, &backup, &noting(&ledger), at);
        let is_known = ledger.unfinished().unwrap().iter().any(|one| one.czxid.is_some());
        if !is_known {
            return;
        }
        let meanwhile = backup_of(&ensemble);
        let by_hand = anyone(READ | ADMIN | CREATE);
        ensemble.with_tree(|tree| set_acl(tree, "/p", by_hand.clone()));
        let report = run(&ensemble, us, ordered, &meanwhile, &noting(&ledger));
        let when = format!("{us:?} {ordered} {request} {carried_out} {report:?}");
        assert!(report.is_complete(), "{when}");
        let is_its_own = meanwhile
            .iter()
            .flatten()
            .any(|one| one.path == path("/p") && one.acl == anyone(READ | ADMIN));
        if !is_its_own {
            assert_eq!(dump(&ensemble)["/p"].1, by_hand, "{when}");
            times += 1;
        }
        assert_eq!(ledger.unfinished().unwrap(), [], "{when}");
    });
    assert!(times > 0);
}

fn masked() -> Acl {
    Acl::new(vec![AclEntry {
        perms: ALL,
        scheme: "digest".to_owned(),
        id: "app:x".to_owned(),
    }])
}

#[test]
fn a_list_that_could_not_be_put_back_is_not_taken_away() {
    for (us, live) in [
        (Identity::superuser(), acl(0, ALL)),
        (Identity::superuser(), acl(READ, ALL)),
        (bob(), acl(ALL, READ)),
        (bob(), acl(ADMIN, ALL)),
        (Identity::anyone(), Acl::open()),
    ] {
        for ordered in [true, false] {
            let (ensemble, mut backup) =
                backed_up(&[("/m", b"old", Acl::open()), ("/m/k", b"k", Acl::open())]);
            for record in backup
                .iter_mut()
                .flatten()
                .filter(|record| record.path == path("/m"))
            {
                record.acl = masked();
            }
            ensemble.with_tree(|tree| {
                set_data(tree, "/m", b"new");
                set_acl(tree, "/m", live.clone());
            });
            let before = dump(&ensemble);
            let ledger = Arc::default();
            let report = run(&ensemble, &us, ordered, &backup, &noting(&ledger));
            let named: Vec<_> = report.failures.iter().map(|one| one.path.as_str()).collect();
            assert_eq!(named, ["/m"], "{report:?}");
            assert_eq!(dump(&ensemble), before, "{us:?} {report:?}");
            assert_eq!(ledger.unfinished().unwrap(), []);
        }
    }
}
