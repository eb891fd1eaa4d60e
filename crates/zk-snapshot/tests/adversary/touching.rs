//! (a): nothing outside the scope changes, and nothing is overwritten or deleted that the policy does not allow.

use zk_snapshot::archive::Role;
use zk_snapshot::model::{Entry, Identity, ModelTree, Znode};
use zk_snapshot::tree::{Acl, WriteOp, ZnodePath};

use crate::acts::Guard;
use crate::scope::{Scope, known};

pub fn check(scope: &Scope, tree: &ModelTree, from: usize, us: &Identity) -> Result<(), String> {
    for (index, entry) in tree.log().iter().enumerate().skip(from) {
        if entry.by != 0
            && let Err(why) = allowed(scope, tree, index, entry, us)
        {
            let Entry { op, before, .. } = entry;
            return Err(format!("(a) {why}: {op:?} on {before:?}"));
        }
    }
    Ok(())
}

/// What the backup lacks and stays has the list that others gave it last, unless it is `noted` that it has not.
pub fn check_kept(scope: &Scope, tree: &ModelTree, noted: &[ZnodePath]) -> Result<(), String> {
    for path in tree
        .paths()
        .filter(|path| scope.is_stranger(path) && !scope.is_helper(path))
    {
        let Some(znode) = tree.get(path) else { continue };
        let is_of_it = |e: &&Entry| {
            let is_list = matches!(e.op, WriteOp::SetAcl { .. } | WriteOp::Create { .. });
            let after = e.after.as_ref().map(|after| after.stat.czxid);
            is_list && e.op.path() == path && e.by == 0 && after == Some(znode.stat.czxid)
        };
        let last = tree
            .log()
            .iter()
            .rfind(is_of_it)
            .and_then(|entry| entry.after.as_ref());
        if last.is_some_and(|last| last.acl != znode.acl) && !noted.contains(path) {
            return Err(format!(
                "(a) {path} stays and has another list: {znode:?}, not that of {last:?}"
            ));
        }
    }
    Ok(())
}

fn allowed(
    scope: &Scope,
    tree: &ModelTree,
    index: usize,
    entry: &Entry,
    us: &Identity,
) -> Result<(), &'static str> {
    let path = entry.op.path();
    let masked = |acl: &Acl| acl.is_masked();
    let record = scope.wanted.get(path);
    let has_no_acl = record.is_some_and(|record| record.acl.is_unknown());
    let is_wanted =
        record.is_some_and(|record| record.role != Role::Unreadable) || scope.above.contains(path);
    match &entry.op {
        WriteOp::Create { acl, .. } | WriteOp::SetAcl { acl, .. } if masked(acl) => {
            return Err("a masked ACL is written");
        }
        WriteOp::Create { acl, .. } if has_no_acl && !acl.same_as(&Acl::open()) => {
            return Err("it is created under a list that nobody would take from it");
        }
        WriteOp::SetAcl { .. } if has_no_acl => {
            return Err("an ACL is changed that the backup does not have");
        }
        WriteOp::Create { data, .. } => {
            let is_ours = |data: &[u8]| data.is_empty() || record.is_some_and(|record| record.data == data);
            return match (is_wanted, scope.is_helper(path)) {
                (true, _) if scope.above.contains(path) || is_ours(data) => Ok(()),
                (false, true) => counted(scope, tree, index, entry, us),
                _ => Err("something is created that nobody asked for"),
            };
        }
        _ => {}
    }
    let Some(before) = &entry.before else {
        return Err("something is changed that is not there");
    };
    // A znode cannot be told from another one in its place that has the same version. Nothing else is excused.
    let (asked, there) = match &entry.op {
        WriteOp::SetAcl { version, .. } => (*version, before.stat.aversion),
        WriteOp::SetData { version, .. } | WriteOp::Delete { version, .. } => (*version, before.stat.version),
        WriteOp::Create { .. } => (None, 0),
    };
    let is_other = |e: &&Entry| {
        let there = e.before.as_ref().map(|znode| znode.stat.czxid);
        e.by != 0 && e.op.path() == path && there != Some(before.stat.czxid)
    };
    let ours = tree.log()[..index].iter().filter(is_other);
    let touched = ours.map(|entry| entry.zxid).max().unwrap_or(0);
    let last = known(tree, path, &["data", "acl"], index).max(touched);
    if asked == Some(there) && before.stat.czxid > last {
        return Ok(());
    }
    if before.stat.is_ephemeral() {
        return Err("an ephemeral znode is touched");
    }
    match &entry.op {
        WriteOp::SetData { .. } if is_wanted => {}
        WriteOp::SetAcl { .. } if is_wanted => {}
        WriteOp::SetAcl { .. } | WriteOp::Delete { .. } if scope.is_stranger(path) => return Ok(()),
        // What an earlier restore has opened gets its list back, whatever this one is about.
        WriteOp::SetAcl { .. } if is_begun(tree, path, before, index, us) => return Ok(()),
        WriteOp::Delete { .. } if scope.is_helper(path) => return Ok(()),
        _ => return Err("something is changed that nobody asked for"),
    }
    // Nor can one be told from our own creation whose answer was lost, or before which we ended.
    let data = record.map(|record| &record.data[..]).unwrap_or_default();
    let is_as_made = is_working(&before.acl, us) || (has_no_acl && before.acl.same_as(&Acl::open()));
    let looks_ours = is_as_made && (before.data.is_empty() || before.data == data);
    if looks_ours || is_begun(tree, path, before, index, us) || scope.is_restored(tree, path, before) {
        Ok(())
    } else {
        Err("something is overwritten that the policy leaves alone")
    }
}

/// Whether it stands under a working ACL that a restore of ours has put on it, and nobody has set another since.
fn is_begun(tree: &ModelTree, path: &ZnodePath, znode: &Znode, index: usize, us: &Identity) -> bool {
    let sets = |e: &&Entry| {
        let is_list = matches!(e.op, WriteOp::SetAcl { .. } | WriteOp::Create { .. });
        let of = e.after.as_ref().map(|after| after.stat.czxid);
        is_list && e.op.path() == path && of == Some(znode.stat.czxid)
    };
    tree.log()[..index]
        .iter()
        .rfind(sets)
        .is_some_and(|e| match &e.op {
            WriteOp::SetAcl { acl, .. } | WriteOp::Create { acl, .. } => {
                let is_narrow = *us == Identity::anyone() && *acl == Guard::Unread.acl();
                e.by != 0 && (*acl == us.working_acl() || is_narrow)
            }
            _ => false,
        })
}

/// Whether it is as it would be had we created it whole.
fn is_as_created(scope: &Scope, path: &ZnodePath, znode: &Znode) -> bool {
    let record = scope.wanted.get(path).or(scope.ancestors.get(path));
    record.is_some_and(|record| {
        let is_its_own =
            record.acl.same_as(&znode.acl) || (record.acl.is_unknown() && znode.acl.same_as(&Acl::open()));
        (znode.stat.version, znode.stat.aversion) == (0, 0) && znode.data == record.data && is_its_own
    })
}

/// Whether it is what the working ACL of our connection becomes.
fn is_working(acl: &Acl, us: &Identity) -> bool {
    let without_read = Guard::Unread.acl();
    *acl == us.only() || (*us == Identity::anyone() && *acl == without_read)
}

/// A counter is raised only where the znode itself may be changed.
fn counted(
    scope: &Scope,
    tree: &ModelTree,
    index: usize,
    entry: &Entry,
    us: &Identity,
) -> Result<(), &'static str> {
    let Some(path) = entry.op.path().parent() else {
        return Ok(());
    };
    let Some(parent) = tree.at(&path, entry.zxid) else {
        return Ok(());
    };
    let is_known = parent.stat.czxid <= known(tree, &path, &["data", "acl"], index);
    if is_known
        && !is_working(&parent.acl, us)
        && !is_as_created(scope, &path, parent)
        && !scope.is_restored(tree, &path, parent)
    {
        return Err("a counter is raised that the policy leaves alone");
    }
    Ok(())
}
