//! What is opened and stays has its list again, wherever the restore ends.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use zk_snapshot::archive::Record;
use zk_snapshot::model::{Ensemble, Fate};
use zk_snapshot::restore::{Ledger, MemoryLedger, Policy, RestoreOptions};
use zk_snapshot::tree::Acl;

use crate::ground::{
    ADMIN, ALL, At, Batches, Dump, READ, acl, backed_up, bob, create, dump, noting, restored,
};

/// A backup of `/app`, and then what it lacks: znodes that bob may open, and of which some stay.
fn with_shut_extras() -> (Ensemble, Vec<Vec<Record>>) {
    let (ensemble, backup) = backed_up(&[("/app", b"a", Acl::open())]);
    ensemble.with_tree(|tree| {
        for (at, acl) in [
            ("/app/svc", acl(ADMIN, ALL)),
            ("/app/svc/lock", Acl::open()),
            ("/app/q", acl(READ | ADMIN, ALL)),
            ("/app/q/a", Acl::open()),
            ("/app/q/lock", Acl::open()),
            ("/app/leaf", acl(ADMIN, ALL)),
            ("/app/full", acl(ADMIN, ALL)),
            ("/app/full/deep", acl(ADMIN, ALL)),
            ("/app/full/deep/k", acl(READ, ALL)),
        ] {
            create(tree, at, b"secret", acl);
        }
    });
    (ensemble, backup)
}

const STAY: [&str; 6] = ["/", "/app", "/app/q", "/app/q/lock", "/app/svc", "/app/svc/lock"];

fn of(dump: &Dump, paths: &[&str]) -> Dump {
    let among = |(path, _): &(&String, &(Vec<u8>, Acl))| paths.contains(&path.as_str());
    dump.iter()
        .filter(among)
        .map(|(path, znode)| (path.clone(), znode.clone()))
        .collect()
}

#[test]
fn what_stays_gets_its_list_back_and_a_dry_run_says_what_would_go() {
    for ordered in [true, false] {
        let (ensemble, backup) = with_shut_extras();
        let (before, ledger) = (dump(&ensemble), Arc::default());
        let dry = RestoreOptions {
            dry_run: true,
            ..noting(&ledger)
        };
        let report = restored(&ensemble, &bob(), ordered, &backup, &dry, None)
            .0
            .unwrap()
            .unwrap();
        assert_eq!(
            (report.failed, report.deleted, report.unseen),
            (0, 4, 2),
            "{report:?}"
        );
        assert_eq!(dump(&ensemble), before);
        let report = restored(&ensemble, &bob(), ordered, &backup, &noting(&ledger), None)
            .0
            .unwrap()
            .unwrap();
        let counts = (
            report.failed,
            report.deleted,
            report.left_alone,
            report.unfinished,
        );
        assert_eq!(counts, (0, 5, 4, 0), "{report:?}");
        assert_eq!(report.acl_changed, 0);
        assert_eq!(dump(&ensemble), of(&before, &STAY));
        assert_eq!(ledger.unfinished().unwrap(), []);
    }
}

/// What of the extras is there is as it was, but for what the ledger has.
fn assert_kept_or_noted(before: &Dump, ensemble: &Ensemble, ledger: &MemoryLedger, when: &str) {
    let noted: Vec<_> = ledger
        .unfinished()
        .unwrap()
        .into_iter()
        .map(|one| one.path.to_string())
        .collect();
    for (path, znode) in dump(ensemble) {
        assert!(
            before[&path] == znode || noted.contains(&path),
            "{when}: {path} {znode:?}"
        );
    }
}

#[test]
fn wherever_a_restore_ends_what_it_has_opened_is_put_back_or_noted_and_any_later_one_puts_it_back() {
    for ordered in [true, false] {
        let (ensemble, backup) = with_shut_extras();
        let all = restored(
            &ensemble,
            &bob(),
            ordered,
            &backup,
            &noting(&Arc::default()),
            None,
        )
        .1;
        for (request, carried_out) in (0..=all).flat_map(|at| [(at, true), (at, false)]) {
            let when = format!("{ordered} {request} {carried_out}");
            let (ensemble, backup) = with_shut_extras();
            let (before, ledger) = (dump(&ensemble), Arc::default());
            let fate = Fate {
                kill: Some(carried_out),
                ..Fate::default()
            };
            let _ = restored(
                &ensemble,
                &bob(),
                ordered,
                &backup,
                &noting(&ledger),
                Some(At(request, fate)),
            );
            assert_kept_or_noted(&before, &ensemble, &ledger, &when);
            // One that is about nothing of this.
            let other = RestoreOptions {
                policy: Policy::Missing,
                ..noting(&ledger)
            };
            let ended = restored(&ensemble, &bob(), ordered, &backup, &other, None).0;
            assert!(ended.unwrap().unwrap().is_complete(), "{when}");
            assert_eq!(ledger.unfinished().unwrap(), [], "{when}");
            assert_kept_or_noted(&before, &ensemble, &ledger, &when);
        }
    }
}

#[test]
fn one_that_is_called_off_puts_back_what_it_has_opened() {
    for ordered in [true, false] {
        let mut ends = 0;
        for batches in 0.. {
            let (ensemble, backup) = with_shut_extras();
            let (before, ledger) = (dump(&ensemble), Arc::default());
            let options = RestoreOptions {
                permit: Arc::new(Batches(AtomicU64::new(batches))),
                ..noting(&ledger)
            };
            let ended = restored(&ensemble, &bob(), ordered, &backup, &options, None)
                .0
                .unwrap();
            let after = dump(&ensemble);
            assert!(
                after.iter().all(|(path, znode)| before[path] == *znode),
                "{batches}: {after:?}"
            );
            assert_eq!(ledger.unfinished().unwrap(), [], "{batches}");
            let Err(error) = ended else { break };
            let report = error.report().unwrap();
            assert_eq!((report.unfinished, report.failed), (0, 0), "{report:?}");
            assert_eq!(report.deleted, (before.len() - after.len()) as u64, "{report:?}");
            ends += 1;
        }
        assert!(ends > 5, "{ends}");
    }
}

#[test]
fn what_cannot_be_deleted_is_named_once() {
    for ordered in [true, false] {
        let (ensemble, backup) = backed_up(&[("/app", b"a", Acl::open())]);
        ensemble.with_tree(|tree| {
            create(tree, "/app/ro", b"", acl(READ, ALL));
            for child in ["/app/ro/a", "/app/ro/b", "/app/ro/c"] {
                create(tree, child, b"", Acl::open());
            }
        });
        let ended = restored(
            &ensemble,
            &bob(),
            ordered,
            &backup,
            &RestoreOptions::default(),
            None,
        )
        .0;
        let report = ended.unwrap().unwrap();
        let named: Vec<_> = report
            .failures
            .iter()
            .map(|failure| failure.path.as_str())
            .collect();
        assert_eq!(named, ["/app/ro/a", "/app/ro/b", "/app/ro/c"], "{report:?}");
        assert_eq!(
            (report.failed, report.left_alone, report.deleted),
            (3, 1, 0),
            "{report:?}"
        );
    }
}
