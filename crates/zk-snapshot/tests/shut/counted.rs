//! Each change is counted once, whatever answer is lost.

use std::sync::Arc;

use zk_snapshot::archive::Record;
use zk_snapshot::model::{Ensemble, Fate, Identity};
use zk_snapshot::restore::{Ledger, RestoreOptions};
use zk_snapshot::tree::{Acl, AclEntry, WriteOp};

use crate::ground::{ADMIN, ALL, At, Dump, READ, acl, backed_up, bob, create, dump, noting, path, restored};

/// A tree to be restored, and what it has become: something is missing, has other data, another ACL, both, or is new.
fn changed(own: &Acl, other: &Acl) -> (Ensemble, Vec<Vec<Record>>) {
    let (ensemble, backup) = backed_up(&[
        ("/p", b"1", own.clone()),
        ("/p/a", b"1", own.clone()),
        ("/p/a/x", b"1", own.clone()),
        ("/p/b", b"1", Acl::open()),
        ("/q", b"1", own.clone()),
        ("/q/data", b"1", own.clone()),
        ("/q/data/k", b"1", own.clone()),
        ("/q/acl", b"1", own.clone()),
        ("/q/both", b"1", own.clone()),
        ("/q/both/k", b"1", own.clone()),
    ]);
    ensemble.with_tree(|tree| {
        tree.delete_all(&path("/p"));
        tree.delete_all(&path("/q/both/k"));
        for at in ["/q/data", "/q/both"] {
            let data = b"2".to_vec();
            tree.write(&WriteOp::SetData {
                path: path(at),
                data,
                version: None,
            })
            .unwrap();
        }
        for at in ["/q", "/q/acl", "/q/both"] {
            let acl = other.clone();
            tree.write(&WriteOp::SetAcl {
                path: path(at),
                acl,
                version: None,
            })
            .unwrap();
        }
        for at in ["/new", "/new/a", "/new/a/b", "/new/c"] {
            create(tree, at, b"", Acl::open());
        }
    });
    (ensemble, backup)
}

#[test]
fn whatever_answer_is_lost_each_change_is_counted_once() {
    let anyone = |perms| {
        Acl::new(vec![AclEntry {
            perms,
            scheme: "world".to_owned(),
            id: "anyone".to_owned(),
        }])
    };
    // As bob, whom the live list does not let write; as bob, whose list shows more; without an identity.
    for (us, own, other) in [
        (bob(), acl(READ | ADMIN, ALL), acl(READ | ADMIN, READ)),
        (bob(), acl(ALL, 0), acl(ALL, ALL)),
        (Identity::anyone(), anyone(READ | ADMIN), anyone(ALL)),
    ] {
        for ordered in [true, false] {
            let (ensemble, backup) = changed(&own, &other);
            let all = restored(&ensemble, &us, ordered, &backup, &RestoreOptions::default(), None).1;
            for (request, carried_out) in (0..=all).flat_map(|at| [(at, true), (at, false)]) {
                let (ensemble, backup) = changed(&own, &other);
                let (before, ledger) = (dump(&ensemble), Arc::default());
                let fate = Fate {
                    cut: Some(carried_out),
                    ..Fate::default()
                };
                let at = Some(At(request, fate));
                let ended = restored(&ensemble, &us, ordered, &backup, &noting(&ledger), at).0;
                let report = ended.unwrap().unwrap();
                let after = dump(&ensemble);
                let counts = [
                    report.created,
                    report.data_changed,
                    report.acl_changed,
                    report.deleted,
                ];
                // What is hidden even from us until the end hides what is below it.
                assert!(report.is_complete() || us == Identity::anyone(), "{report:?}");
                assert_eq!(
                    counts,
                    seen(&before, &after),
                    "{us:?} {ordered} {request} {carried_out} {report:?}"
                );
                assert_eq!(ledger.unfinished().unwrap(), []);
            }
        }
    }
}

/// Created, changed in their data, changed in their ACL, and deleted, as it is seen from outside.
fn seen(before: &Dump, after: &Dump) -> [u64; 4] {
    let lacking = |all: &Dump, of: &Dump| all.keys().filter(|path| !of.contains_key(*path)).count() as u64;
    let pairs: Vec<_> = before
        .iter()
        .filter_map(|(path, old)| Some((old, after.get(path)?)))
        .collect();
    let data = pairs.iter().filter(|(old, new)| old.0 != new.0).count() as u64;
    let acls = pairs.iter().filter(|(old, new)| !old.1.same_as(&new.1)).count() as u64;
    [lacking(after, before), data, acls, lacking(before, after)]
}
