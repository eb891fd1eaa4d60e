//! What a killed restore had finished by then belongs to whoever uses it.

use std::sync::Arc;

use zk_snapshot::model::{Fate, Identity};
use zk_snapshot::restore::{Ledger, MemoryLedger, Policy, RestoreOptions};
use zk_snapshot::tree::Acl;

use crate::ground::{
    ALL, At, READ, acl, anyone, backed_up, bob, dump, noting, path, restored, set_acl, set_data,
};

const SECRET: &str = "/app/secret";

#[test]
fn what_was_finished_before_a_restore_was_killed_is_left_to_those_who_write_there() {
    let own = acl(0, ALL);
    let ancestor = RestoreOptions {
        roots: vec![path("/app/secret/x")],
        ..RestoreOptions::default()
    };
    let missing = RestoreOptions {
        policy: Policy::Missing,
        ..RestoreOptions::default()
    };
    for (us, ordered, later) in [
        (Identity::superuser(), true, &missing),
        (Identity::superuser(), false, &missing),
        (Identity::superuser(), true, &ancestor),
        (Identity::superuser(), false, &ancestor),
        (bob(), true, &missing),
    ] {
        let own = if us == bob() { acl(ALL, 0) } else { own.clone() };
        let (mut noted, mut request) = (0, 0);
        loop {
            let (ensemble, backup) = backed_up(&[
                ("/app", b"", Acl::open()),
                (SECRET, b"backup", own.clone()),
                ("/app/secret/x", b"", own.clone()),
                ("/z", b"backup", own.clone()),
                ("/z/x", b"", Acl::open()),
            ]);
            ensemble.with_tree(|tree| {
                for at in [SECRET, "/z"] {
                    set_data(tree, at, b"live");
                    set_acl(tree, at, if us == bob() { acl(ALL, READ) } else { anyone(READ) });
                }
            });
            let ledger = Arc::<MemoryLedger>::default();
            let fate = Fate {
                kill: Some(true),
                ..Fate::default()
            };
            let at = Some(At(request, fate));
            let ended = restored(&ensemble, &us, ordered, &backup, &noting(&ledger), at).0;
            let left = ledger.unfinished().unwrap();
            let is_noted = left.iter().any(|one| one.path == path(SECRET));
            let finished = (b"backup".to_vec(), own.clone());
            let there = dump(&ensemble)[SECRET].clone();
            let sets = ensemble.with_tree(|tree| tree.get(&path(SECRET)).unwrap().stat.aversion);
            // The live one, the working one, and its own, which may look like that.
            let is_finished = there == finished && sets == 3;
            if is_finished {
                noted += usize::from(is_noted);
                ensemble.with_tree(|tree| set_data(tree, SECRET, b"new"));
            }
            let later = RestoreOptions {
                ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
                ..later.clone()
            };
            let report = restored(&ensemble, &us, ordered, &backup, &later, None)
                .0
                .unwrap()
                .unwrap();
            let expected = match is_finished {
                true => (b"new".to_vec(), own.clone()),
                false if is_noted && sets == 2 => finished,
                false => there,
            };
            assert_eq!(dump(&ensemble)[SECRET], expected, "{us:?} {request} {report:?}");
            let is_left = ledger
                .unfinished()
                .unwrap()
                .iter()
                .any(|one| one.path == path(SECRET));
            assert!(!is_left, "{us:?} {request} {report:?}");
            if ended.is_some() {
                break;
            }
            request += 1;
        }
        assert!(noted > 0, "{us:?}: it was never finished and noted");
    }
}
