//! What somebody else creates in the place of what a restore has left unfinished is his.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use zk_snapshot::model::Fate;
use zk_snapshot::restore::{Ledger, Policy, RestoreOptions};
use zk_snapshot::tree::Acl;

use crate::ground::{
    ADMIN, ALL, At, Batches, READ, acl, backed_up, bob, create, dump, noting, path, restored,
};

#[test]
fn what_somebody_else_creates_in_the_place_of_what_is_unfinished_is_his() {
    let own = acl(READ | ADMIN, ALL);
    let records = [
        ("/app", &b"a"[..], Acl::open()),
        ("/app/x", b"old", own.clone()),
        ("/app/x/k", b"k", own),
    ];
    let both = acl(ALL, ALL);
    for (ordered, list) in [
        (true, &both),
        (false, &both),
        (true, &acl(ALL, 0)),
        (false, &acl(ALL, 0)),
    ] {
        let mut left = 0;
        for batches in 0.. {
            let (ensemble, backup) = backed_up(&records);
            ensemble.with_tree(|tree| tree.delete_all(&path("/app/x")));
            let ledger = Arc::default();
            let options = RestoreOptions {
                permit: Arc::new(Batches(AtomicU64::new(batches))),
                ..noting(&ledger)
            };
            if restored(&ensemble, &bob(), ordered, &backup, &options, None)
                .0
                .unwrap()
                .is_ok()
            {
                break;
            }
            left += usize::from(!ledger.unfinished().unwrap().is_empty());
            // Even under the very list that we would have put on it.
            ensemble.with_tree(|tree| {
                tree.delete_all(&path("/app/x"));
                create(tree, "/app/x", b"", list.clone());
            });
            let missing = RestoreOptions {
                policy: Policy::Missing,
                ..noting(&ledger)
            };
            let report = restored(&ensemble, &bob(), ordered, &backup, &missing, None)
                .0
                .unwrap()
                .unwrap();
            assert!(report.is_complete(), "{report:?}");
            assert_eq!(dump(&ensemble)["/app/x"], (Vec::new(), list.clone()), "{batches}");
            assert_eq!(ledger.unfinished().unwrap(), []);
        }
        assert!(left > 0, "nothing was left unfinished");
    }
}

#[test]
fn what_a_killed_restore_left_is_told_from_what_somebody_else_created_there() {
    let own = acl(READ | ADMIN, ALL);
    let records = [
        ("/app", &b"a"[..], Acl::open()),
        ("/app/x", b"old", own.clone()),
        ("/app/x/k", b"k", own),
    ];
    for ordered in [true, false] {
        for request in 0..20 {
            let (ensemble, backup) = backed_up(&records);
            ensemble.with_tree(|tree| tree.delete_all(&path("/app/x")));
            let (ledger, wanted) = (Arc::default(), &backup);
            let fate = Fate {
                kill: Some(true),
                ..Fate::default()
            };
            let at = Some(At(request, fate));
            let ended = restored(&ensemble, &bob(), ordered, wanted, &noting(&ledger), at).0;
            let missing = RestoreOptions {
                policy: Policy::Missing,
                ..noting(&ledger)
            };
            // Which znode it is may not be noted yet; with somebody else in its list it is not ours.
            if request % 2 == 0 {
                ensemble.with_tree(|tree| {
                    tree.delete_all(&path("/app/x"));
                    create(tree, "/app/x", b"", acl(ALL, ALL));
                });
                let report = restored(&ensemble, &bob(), ordered, wanted, &missing, None)
                    .0
                    .unwrap();
                assert!(report.unwrap().is_complete());
                assert_eq!(
                    dump(&ensemble)["/app/x"],
                    (Vec::new(), acl(ALL, ALL)),
                    "{request}"
                );
            } else {
                let report = restored(&ensemble, &bob(), ordered, wanted, &missing, None)
                    .0
                    .unwrap()
                    .unwrap();
                assert!(report.is_complete(), "{report:?}");
                let own = (b"old".to_vec(), acl(READ | ADMIN, ALL));
                assert_eq!(dump(&ensemble)["/app/x"], own, "{request} {ended:?}");
            }
            assert_eq!(ledger.unfinished().unwrap(), []);
        }
    }
}
