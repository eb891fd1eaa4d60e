//! What is refused changes nothing, is named, and is counted once; and what a dry run can tell of it.

use std::sync::Arc;

use zk_snapshot::archive::{Record, Role};
use zk_snapshot::restore::{Ledger, MemoryLedger, RestoreOptions};
use zk_snapshot::tree::{Acl, WriteOp};

use crate::ground::{ADMIN, ALL, READ, acl, backed_up, bob, create, dump, noting, path, restored, set_data};

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
