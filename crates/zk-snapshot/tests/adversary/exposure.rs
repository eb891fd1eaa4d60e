//! (c): no write of ours lets anybody read data of the backup that the backup's own ACL does not let him read, nor what the backup
//! lacks and was hidden from him.

use zk_snapshot::archive::Record;
use zk_snapshot::model::{Identity, ModelTree};
use zk_snapshot::tree::{Acl, WriteOp, ZnodePath};

use crate::acts::{bob, eve};
use crate::scope::{Scope, known};

pub fn check(scope: &Scope, tree: &ModelTree, from: usize, us: &Identity) -> Result<(), String> {
    let readers = [Identity::anyone(), eve(), bob()];
    for (index, entry) in tree.log().iter().enumerate().skip(from) {
        let path = entry.op.path();
        if entry.by != 0 && scope.is_stranger(path) {
            shows_no_stranger(tree, index)?;
        }
        // Where the backup has no ACL they go to whoever may read what is there, and `touching` sees that this is not changed.
        let shows = |record: &&Record| !record.data.is_empty() && !record.acl.is_unknown();
        let Some(record) = scope.wanted.get(path).filter(shows) else {
            continue;
        };
        if entry.by == 0 {
            continue;
        }
        for reader in readers
            .iter()
            .filter(|reader| *reader != us || us == &Identity::anyone())
        {
            let reads = |zxid: i64| {
                let znode = tree.at(path, zxid);
                znode.is_some_and(|znode| znode.data == record.data && reader.may(&znode.acl, 1))
            };
            if reads(entry.zxid) && !reads(entry.zxid - 1) && !reader.may(&record.acl, 1) {
                let is_data = matches!(entry.op, WriteOp::SetData { .. });
                if !(is_data && is_opened_unseen(tree, path, index)) {
                    return Err(format!("(c) {reader:?} can read {path} after {:?}", entry.op));
                }
            }
        }
    }
    Ok(())
}

/// A list that is put back shows what it showed.
fn shows_no_stranger(tree: &ModelTree, index: usize) -> Result<(), String> {
    let entry = &tree.log()[index];
    let (Some(before), Some(after)) = (&entry.before, &entry.after) else {
        return Ok(());
    };
    let had = |acl: &Acl| {
        let of_it = tree.log()[..index]
            .iter()
            .filter(|e| e.op.path() == entry.op.path());
        let lists = of_it.filter_map(|e| e.after.as_ref());
        lists
            .filter(|znode| znode.stat.czxid == after.stat.czxid)
            .any(|znode| znode.acl == *acl)
    };
    for reader in [Identity::anyone(), eve()] {
        let shows = reader.may(&after.acl, 1) && !reader.may(&before.acl, 1);
        if shows && !had(&after.acl) {
            return Err(format!(
                "(c) {reader:?} is shown what was hidden: {:?} on {before:?}",
                entry.op
            ));
        }
    }
    Ok(())
}

/// Whether somebody else has changed the ACL since we last looked at it: a write of data cannot ask for its version.
fn is_opened_unseen(tree: &ModelTree, path: &ZnodePath, index: usize) -> bool {
    let mut guards = tree.log()[..index].iter().filter(|entry| {
        entry.op.path() == path && matches!(entry.op, WriteOp::SetAcl { .. } | WriteOp::Create { .. })
    });
    guards
        .next_back()
        .is_some_and(|last| last.by == 0 && last.zxid > known(tree, path, &["acl"], index))
}
