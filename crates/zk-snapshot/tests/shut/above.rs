//! What is created above a place to which something is renamed gets its own list, or is named.

use std::sync::Arc;

use zk_snapshot::archive::Record;
use zk_snapshot::model::{Ensemble, Fate, Meddler, ModelTree};
use zk_snapshot::restore::{Ledger, MemoryLedger, RestoreOptions};
use zk_snapshot::tree::Acl;

use crate::ground::{
    ALL, At, READ, acl, backed_up, backup_of, bob, dump, manner, noting, now, path, restored, set_acl,
};

/// A backup of `/a`, to be restored as `/r/s` where not everybody may create.
fn renamed(ledger: &Arc<MemoryLedger>) -> (Ensemble, Vec<Vec<Record>>, RestoreOptions) {
    let (ensemble, _) = backed_up(&[("/a", b"a", Acl::open()), ("/a/x", b"x", Acl::open())]);
    ensemble.with_tree(|tree| set_acl(tree, "/", acl(ALL, READ)));
    let backup = backup_of(&ensemble);
    let options = RestoreOptions {
        roots: vec![path("/a")],
        renames: [(path("/a"), path("/r/s"))].into(),
        ..noting(ledger)
    };
    (ensemble, backup, options)
}

#[test]
fn whatever_answer_is_lost_what_is_above_a_rename_gets_its_own_list() {
    for ordered in [true, false] {
        let (ensemble, backup, options) = renamed(&Arc::default());
        let (_, all) = restored(&ensemble, &bob(), ordered, &backup, &options, None);
        let expected = dump(&ensemble);
        assert_eq!(expected["/r"].1, acl(ALL, READ));
        for (request, carried_out) in (0..=all).flat_map(|at| [(at, true), (at, false)]) {
            let ledger = Arc::default();
            let (ensemble, backup, options) = renamed(&ledger);
            let fate = Fate {
                cut: Some(carried_out),
                ..Fate::default()
            };
            let at = Some(At(request, fate));
            let ended = restored(&ensemble, &bob(), ordered, &backup, &options, at).0;
            let report = ended.unwrap().unwrap();
            let when = format!("{ordered} {request} {carried_out} {report:?}");
            assert!(report.is_complete() && report.unfinished == 0, "{when}");
            assert_eq!(dump(&ensemble), expected, "{when}");
            assert_eq!(ledger.unfinished().unwrap(), [], "{when}");
        }
    }
}

/// Sets, before each request, the list of `/r` while it is not its own; or takes its own list from everybody's reach.
struct Sets(Acl, usize);

impl Meddler for Sets {
    fn meddle(&mut self, _: u64, tree: &mut ModelTree) -> Fate {
        let is_there = tree.get(&path("/r/s/x")).is_some();
        if is_there && self.1 > 0 {
            self.1 -= 1;
            set_acl(tree, "/r", self.0.clone());
        }
        Fate::default()
    }
}

#[test]
fn a_list_that_somebody_else_sets_above_a_rename_is_his_and_nothing_stays_noted() {
    let his = acl(READ, ALL);
    for ordered in [true, false] {
        let ledger = Arc::<MemoryLedger>::default();
        let (ensemble, backup, options) = renamed(&ledger);
        ensemble.set_meddler(Some(Box::new(Sets(his.clone(), 1))));
        let client = ensemble.client(bob(), manner(ordered));
        let work = zk_snapshot::restore::restore(Arc::new(backup), &client, &options);
        let report = now(work).unwrap();
        ensemble.set_meddler(None);
        assert_eq!(dump(&ensemble)["/r"].1, his, "{report:?}");
        assert_eq!((report.failed, report.unfinished), (0, 0), "{report:?}");
        assert_eq!(ledger.unfinished().unwrap(), []);
    }
}
