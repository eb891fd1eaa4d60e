//! A backup without ACLs: what it creates is open to all, and what a restore has begun is finished without opening what may be somebody's.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use zk_snapshot::archive::Record;
use zk_snapshot::model::{Ensemble, Identity, Rules};
use zk_snapshot::restore::{Ledger, MemoryLedger, Policy, RestoreOptions, RestoreReport};
use zk_snapshot::tree::{Acl, WriteOp};

use crate::ground::{ADMIN, ALL, Batches, READ, acl, backed_up, bob, create, dump, noting, path, restored};

/// As much data as one request of the ensembles here does not carry.
const LARGE: [u8; 700] = [b'.'; 700];

/// What the predecessor would have kept of `/two` and a znode below it.
fn without_acls(data: &[u8]) -> Vec<Vec<Record>> {
    let (_, mut backup) = backed_up(&[("/two", data, Acl::open()), ("/two/below", b"1", Acl::open())]);
    for record in backup.iter_mut().flatten() {
        record.acl = Acl::unknown();
    }
    backup
}

fn small() -> Ensemble {
    Ensemble::new(Rules {
        max_request: 600,
        ..Rules::default()
    })
}

fn told(report: &RestoreReport) -> Vec<(&str, &str)> {
    let failures = report.failures.iter();
    failures
        .map(|failure| (failure.path.as_str(), failure.why.as_str()))
        .collect()
}

fn run(
    ensemble: &Ensemble,
    us: &Identity,
    backup: &[Vec<Record>],
    ledger: &Arc<MemoryLedger>,
    policy: Policy,
) -> RestoreReport {
    let options = RestoreOptions {
        policy,
        ..noting(ledger)
    };
    let ended = restored(ensemble, us, true, backup, &options, None).0;
    ended.unwrap().unwrap()
}

#[test]
fn what_was_too_large_is_named_as_that_each_time_and_finished_once_it_is_taken() {
    for us in [Identity::anyone(), bob(), Identity::superuser()] {
        for policy in [Policy::Replace, Policy::Missing] {
            let (ensemble, ledger) = (small(), Arc::default());
            for _ in 0..2 {
                let report = run(&ensemble, &us, &without_acls(&LARGE), &ledger, policy);
                let told = told(&report);
                assert!(
                    matches!(told[..], [("/two", why)] if why.contains("larger than")),
                    "{us:?}: {told:?}"
                );
                let open = (Vec::new(), Acl::open());
                assert_eq!(dump(&ensemble)["/two"], open, "nobody is kept from mending it");
                let [noted] = &ledger.unfinished().unwrap()[..] else {
                    panic!("{us:?}: {ledger:?}")
                };
                assert!(noted.acl_unknown && noted.czxid.is_some(), "{noted:?}");
            }
            let report = run(&ensemble, &us, &without_acls(b"2"), &ledger, policy);
            assert!(report.is_complete() && report.finished == 1, "{us:?}: {report:?}");
            assert_eq!(dump(&ensemble)["/two"], (b"2".to_vec(), Acl::open()));
            assert_eq!(ledger.unfinished().unwrap(), []);
        }
    }
}

#[test]
fn what_somebody_makes_of_it_meanwhile_is_his() {
    let of_eve = acl(0, ALL);
    for us in [Identity::anyone(), bob(), Identity::superuser()] {
        for replaces in [true, false] {
            let (ensemble, ledger) = (small(), Arc::default());
            run(&ensemble, &us, &without_acls(&LARGE), &ledger, Policy::Replace);
            ensemble.with_tree(|tree| match replaces {
                true => {
                    tree.delete_all(&path("/two"));
                    create(tree, "/two", b"", of_eve.clone());
                }
                false => {
                    let op = WriteOp::SetAcl {
                        path: path("/two"),
                        acl: of_eve.clone(),
                        version: None,
                    };
                    tree.write(&op).unwrap();
                }
            });
            let report = run(&ensemble, &us, &without_acls(b"2"), &ledger, Policy::Replace);
            assert_eq!(dump(&ensemble)["/two"].1, of_eve, "{us:?}");
            assert_eq!(
                report.is_complete(),
                us == Identity::superuser(),
                "{us:?}: {report:?}"
            );
            assert_eq!(ledger.unfinished().unwrap(), [], "{us:?}");
        }
    }
}

/// A backup of ours has a list for it, and was called off before that could be set.
#[test]
fn what_a_restore_of_a_backup_with_acls_has_begun_is_never_opened_and_waits_for_it() {
    let own = acl(READ | ADMIN, ALL);
    let records = [
        ("/two", &b"2"[..], own.clone()),
        ("/two/below", b"1", Acl::open()),
    ];
    for us in [Identity::anyone(), bob()] {
        let mut left = 0;
        for batches in 0.. {
            let (ensemble, backup) = backed_up(&records);
            ensemble.with_tree(|tree| tree.delete_all(&path("/two")));
            let ledger: Arc<MemoryLedger> = Arc::default();
            let options = RestoreOptions {
                permit: Arc::new(Batches(AtomicU64::new(batches))),
                ..noting(&ledger)
            };
            let ended = restored(&ensemble, &us, true, &backup, &options, None).0;
            if ended.unwrap().is_ok() {
                break;
            }
            let noted = ledger.unfinished().unwrap();
            let is_there = noted.iter().any(|one| one.path == path("/two"))
                && dump(&ensemble).get("/two").is_some_and(|(_, acl)| *acl != own);
            if !is_there {
                continue;
            }
            left += 1;
            let before = dump(&ensemble)["/two"].1.clone();
            for _ in 0..2 {
                let report = run(&ensemble, &us, &without_acls(b"2"), &ledger, Policy::Merge);
                let told = told(&report);
                assert!(
                    told.iter()
                        .any(|(path, why)| *path == "/two"
                            && why.contains("does not say what it is to become")),
                    "{us:?}: {told:?}"
                );
                assert_eq!(dump(&ensemble)["/two"].1, before, "{us:?}");
                assert!(!ledger.unfinished().unwrap().is_empty(), "{us:?}");
            }
            let report = run(&ensemble, &us, &backup, &ledger, Policy::Merge);
            assert!(report.is_complete(), "{us:?}: {report:?}");
            assert_eq!(dump(&ensemble)["/two"], (b"2".to_vec(), own.clone()));
            assert_eq!(ledger.unfinished().unwrap(), []);
        }
        assert!(left > 0, "{us:?}: nothing was left unfinished");
    }
}
