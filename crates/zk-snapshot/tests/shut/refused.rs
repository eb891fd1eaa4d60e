//! What is refused changes nothing, is named, and is counted once; and what a dry run can tell of it.

use std::sync::Arc;

use zk_snapshot::archive::{Record, Role};
use zk_snapshot::model::Identity;
use zk_snapshot::restore::{Ledger, MemoryLedger, RestoreOptions, RestoreReport};
use zk_snapshot::tree::{Acl, WriteOp};

use crate::ground::{
    ADMIN, ALL, READ, acl, anyone, backed_up, bob, create, dump, noting, path, restored, set_data,
};

fn dry() -> RestoreOptions {
    RestoreOptions {
        dry_run: true,
        ..RestoreOptions::default()
    }
}

#[test]
fn what_does_not_let_us_is_named_and_not_unfinished() {
    for ordered in [true, false] {
        let (ensemble, backup) = backed_up(&[("/app", b"", Acl::open()), ("/app/x", b"old", acl(READ, ALL))]);
        ensemble.with_tree(|tree| set_data(tree, "/app/x", b"new"));
        let (before, ledger) = (dump(&ensemble), Arc::<MemoryLedger>::default());
        let report = restored(&ensemble, &bob(), ordered, &backup, &noting(&ledger), None)
            .0
            .unwrap()
            .unwrap();
        let named: Vec<_> = report
            .failures
            .iter()
            .map(|failure| failure.path.as_str())
            .collect();
        assert_eq!((named, report.failed), (vec!["/app/x"], 1), "{report:?}");
        assert_eq!(
            (report.unfinished, report.unfinished_paths.len()),
            (0, 0),
            "{report:?}"
        );
        assert_eq!(ledger.unfinished().unwrap(), []);
        assert_eq!(dump(&ensemble), before);
    }
}

#[test]
fn a_dry_run_tells_of_what_would_be_opened_and_does_not_call_it_failed() {
    for ordered in [true, false] {
        let own = acl(ADMIN, ALL);
        let (ensemble, backup) = backed_up(&[
            ("/app", b"", Acl::open()),
            ("/app/x", b"old", own.clone()),
            ("/app/x/k", b"old", Acl::open()),
        ]);
        ensemble.with_tree(|tree| {
            set_data(tree, "/app/x", b"new");
            set_data(tree, "/app/x/k", b"new");
        });
        let before = dump(&ensemble);
        let report = restored(&ensemble, &bob(), ordered, &backup, &dry(), None)
            .0
            .unwrap()
            .unwrap();
        assert_eq!(
            (report.failed, report.unseen, report.data_changed),
            (0, 1, 1),
            "{report:?}"
        );
        assert_eq!(dump(&ensemble), before);
        let options = RestoreOptions::default();
        let report = restored(&ensemble, &bob(), ordered, &backup, &options, None)
            .0
            .unwrap()
            .unwrap();
        assert_eq!(
            (report.failed, report.unseen, report.data_changed),
            (0, 0, 2),
            "{report:?}"
        );
        assert_eq!(dump(&ensemble)["/app/x"], (b"old".to_vec(), own));
    }
}

#[test]
fn a_dry_run_creates_nothing_below_a_live_ephemeral_as_no_restore_does() {
    for ordered in [true, false] {
        let (ensemble, backup) = backed_up(&[
            ("/app", b"", Acl::open()),
            ("/app/p", b"", Acl::open()),
            ("/app/p/k", b"", Acl::open()),
            ("/app/p/k/j", b"", Acl::open()),
        ]);
        ensemble.with_tree(|tree| {
            tree.delete_all(&path("/app/p"));
            let op = WriteOp::Create {
                path: path("/app/p"),
                data: Vec::new(),
                acl: Acl::open(),
                kind: zk_snapshot::tree::Kind::Persistent,
            };
            tree.write_ephemeral(&op, 77).unwrap();
        });
        for options in [dry(), RestoreOptions::default()] {
            let report = restored(&ensemble, &bob(), ordered, &backup, &options, None)
                .0
                .unwrap()
                .unwrap();
            assert_eq!((report.created, report.failed), (0, 3), "{report:?}");
        }
    }
}

#[test]
fn what_the_backup_could_not_read_and_is_not_there_is_told_once() {
    for (ordered, named) in [(true, false), (false, false), (true, true), (false, true)] {
        let (ensemble, mut backup) = backed_up(&[
            ("/u", b"", Acl::open()),
            ("/u/c", b"", Acl::open()),
            ("/u/c/d", b"", Acl::open()),
            ("/u/e", b"", Acl::open()),
        ]);
        for record in backup.iter_mut().flatten() {
            if record.path == path("/u") {
                *record = Record::unreadable(record.path.clone());
                assert_eq!(record.role, Role::Unreadable);
            }
        }
        ensemble.with_tree(|tree| tree.delete_all(&path("/u")));
        let options = RestoreOptions {
            roots: if named { vec![path("/u")] } else { Vec::new() },
            ..RestoreOptions::default()
        };
        let report = restored(&ensemble, &bob(), ordered, &backup, &options, None)
            .0
            .unwrap()
            .unwrap();
        assert_eq!((report.created, report.unknown), (0, 1), "{report:?}");
        let told: Vec<_> = report
            .failures
            .iter()
            .filter(|failure| failure.path != path("/u"))
            .map(|failure| (failure.path.as_str(), failure.why.as_str()))
            .collect();
        let why = "its parent could not be created";
        assert_eq!(
            told,
            [("/u/c", why), ("/u/e", why), ("/u/c/d", why)],
            "{report:?}"
        );
        assert_eq!(report.failed, 3 + u64::from(named), "{report:?}");
        // One that is there is nobody's concern.
        ensemble.with_tree(|tree| create(tree, "/u", b"", Acl::open()));
        let report = restored(&ensemble, &bob(), ordered, &backup, &options, None)
            .0
            .unwrap()
            .unwrap();
        assert_eq!((report.created, report.unknown), (3, 1), "{report:?}");
        assert_eq!(report.failed, u64::from(named), "{report:?}");
    }
}

#[test]
fn what_the_backup_could_not_read_is_unknown_in_a_dry_run_too_where_nothing_can_be_created() {
    for ordered in [true, false] {
        let (ensemble, mut backup) = backed_up(&[
            ("/app", b"", Acl::open()),
            ("/app/p", b"", Acl::open()),
            ("/app/p/k", b"", Acl::open()),
            ("/app/p/u", b"", Acl::open()),
        ]);
        for record in backup.iter_mut().flatten() {
            if record.path == path("/app/p/u") {
                *record = Record::unreadable(record.path.clone());
            }
        }
        ensemble.with_tree(|tree| {
            tree.delete_all(&path("/app/p"));
            let op = WriteOp::Create {
                path: path("/app/p"),
                data: Vec::new(),
                acl: Acl::open(),
                kind: zk_snapshot::tree::Kind::Persistent,
            };
            tree.write_ephemeral(&op, 77).unwrap();
        });
        for options in [dry(), RestoreOptions::default()] {
            let report = restored(&ensemble, &bob(), ordered, &backup, &options, None)
                .0
                .unwrap()
                .unwrap();
            assert_eq!((report.failed, report.unknown), (2, 1), "{report:?}");
            assert_eq!(report.unknown_paths, [path("/app/p/u")], "{report:?}");
        }
    }
}

/// What was done, and what was named with why.
fn told(report: &RestoreReport) -> ([u64; 4], Vec<(&str, &str)>) {
    let failures = report.failures.iter();
    let mut named: Vec<_> = failures
        .map(|one| (one.path.as_str(), one.why.as_str()))
        .collect();
    named.sort_unstable();
    let counts = [
        report.created,
        report.data_changed,
        report.deleted,
        report.left_alone,
    ];
    (counts, named)
}

#[test]
fn a_dry_run_names_what_the_live_lists_do_not_let_us_do_as_the_restore_does() {
    let seen = anyone(READ);
    let planted: &[(&str, &[u8], Acl)] = &[
        ("/app", b"", Acl::open()),
        ("/app/b", b"", seen.clone()),
        ("/app/b/c", b"", Acl::open()),
        ("/app/b/c/d", b"", Acl::open()),
        ("/app/b/e", b"old", seen.clone()),
        ("/app/b/f", b"old", Acl::open()),
    ];
    for (ordered, us) in [
        (true, bob()),
        (false, bob()),
        (true, Identity::anyone()),
        (false, Identity::anyone()),
    ] {
        let (ensemble, backup) = backed_up(planted);
        ensemble.with_tree(|tree| {
            tree.delete_all(&path("/app/b/c"));
            set_data(tree, "/app/b/e", b"new");
            set_data(tree, "/app/b/f", b"new");
            create(tree, "/app/b/extra", b"", Acl::open());
            create(tree, "/app/b/extra/x", b"", Acl::open());
            create(tree, "/app/full", b"", seen.clone());
            create(tree, "/app/full/k", b"", Acl::open());
        });
        let before = dump(&ensemble);
        let run = |us: &Identity, options: &RestoreOptions| {
            let ended = restored(&ensemble, us, ordered, &backup, options, None).0;
            ended.unwrap().unwrap()
        };
        let compares = RestoreOptions {
            compares_only: true,
            ..dry()
        };
        // Nothing keeps `super` out, and whoever compares does not ask who may change what differs.
        for (us, options) in [(&Identity::superuser(), dry()), (&us, compares)] {
            let report = run(us, &options);
            assert_eq!(told(&report), ([2, 2, 4, 0], Vec::new()), "{report:?}");
        }
        let (would, did) = (run(&us, &dry()), {
            assert_eq!(dump(&ensemble), before);
            run(&us, &RestoreOptions::default())
        });
        assert_eq!(told(&would), told(&did), "{would:?} {did:?}");
        let (counts, named) = told(&would);
        assert_eq!(counts, [0, 1, 1, 1], "{would:?}");
        let named: Vec<_> = named.iter().map(|(path, _)| *path).collect();
        assert_eq!(
            named,
            [
                "/app/b/c",
                "/app/b/c/d",
                "/app/b/e",
                "/app/b/extra",
                "/app/full/k"
            ],
            "{would:?}"
        );
    }
}

#[test]
fn a_dry_run_sees_that_nothing_can_be_created_above_a_renamed_subtree() {
    for ordered in [true, false] {
        let (ensemble, backup) = backed_up(&[("/s", b"", Acl::open()), ("/s/t", b"", Acl::open())]);
        ensemble.with_tree(|tree| create(tree, "/closed", b"", anyone(READ)));
        for dry_run in [true, false] {
            let options = RestoreOptions {
                roots: vec![path("/s")],
                renames: [(path("/s"), path("/closed/new/s"))].into(),
                dry_run,
                ..RestoreOptions::default()
            };
            let ended = restored(&ensemble, &bob(), ordered, &backup, &options, None).0;
            let report = ended.unwrap().unwrap();
            // What is missing above it is named, too.
            assert_eq!((report.created, report.failed), (0, 3), "{report:?}");
        }
    }
}
