//! (b) and (d): what a restore that says it is complete has left, and what one without an adversary does.

use zk_snapshot::archive::Role;
use zk_snapshot::model::{Entry, Identity, ModelTree, Znode};
use zk_snapshot::restore::{Policy, RestoreReport};
use zk_snapshot::tree::{WriteOp, ZnodePath};

use crate::scope::{Scope, known};

/// Whether every look counts. At its end a restore also looks at counters, and at what earlier ones left unfinished; what
/// else that shows is left to the next restore.
const EVERY_LOOK: bool = false;

/// What is compared of a znode by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Data,
    Acl,
}

impl Cell {
    fn is_changed_by(self, op: &WriteOp) -> bool {
        match op {
            WriteOp::Create { .. } | WriteOp::Delete { .. } => true,
            WriteOp::SetData { .. } => self == Self::Data,
            WriteOp::SetAcl { .. } => self == Self::Acl,
        }
    }
}

/// Whether one half of the znode at `path` was after the transaction `zxid` what the restore is to make it.
fn is_right(scope: &Scope, tree: &ModelTree, path: &ZnodePath, cell: Cell, zxid: i64) -> bool {
    let Some(znode) = tree.at(path, zxid) else {
        return false;
    };
    let Some(record) = scope.wanted.get(path) else {
        return true; // it only is above something
    };
    // One that we wrote to was taken for the znode that we had read; `touching` has seen that it could not be told from it.
    let is_taken = |e: &Entry| {
        e.by != 0
            && e.op.path() == path
            && e.before
                .as_ref()
                .is_some_and(|z| z.stat.czxid == znode.stat.czxid)
    };
    if znode.stat.is_ephemeral() && !tree.log().iter().any(is_taken) {
        return false;
    }
    if !scope.is_restored(tree, path, znode) {
        return true;
    }
    match cell {
        Cell::Data => znode.data == record.data,
        // `touching` has seen that we have left alone what is there, and opened what we created.
        Cell::Acl => record.acl.is_unknown() || znode.acl.same_as(&record.acl),
    }
}

fn is_gone_or_kept(tree: &ModelTree, path: &ZnodePath, zxid: i64) -> bool {
    let is_ephemeral = |path: &ZnodePath| tree.at(path, zxid).is_some_and(|z| z.stat.is_ephemeral());
    tree.at(path, zxid).is_none()
        || tree
            .paths()
            .any(|below| below.is_within(path) && is_ephemeral(below))
}

/// (b): each znode was right when we last touched or looked at it, or later.
pub fn check_complete(scope: &Scope, tree: &ModelTree, begin: i64, from: usize) -> Result<(), String> {
    let moments = |since: i64| since..=tree.zxid();
    let end = tree.log().len();
    let touched = |path: &ZnodePath, cell: Cell| {
        let log = tree.log()[from..].iter();
        log.filter(|e| e.by != 0 && e.op.path() == path && cell.is_changed_by(&e.op))
            .map(|entry| entry.zxid)
            .max()
            .unwrap_or(0)
    };
    let wanted = scope
        .wanted
        .iter()
        .filter(|(_, record)| record.role == Role::Captured);
    for path in wanted.map(|(path, _)| path).chain(scope.needed()) {
        for cell in [Cell::Data, Cell::Acl] {
            let looks: &[&str] = match cell {
                Cell::Acl if EVERY_LOOK => &["acl"],
                Cell::Data if EVERY_LOOK => &["data"],
                _ => &[],
            };
            let since = begin.max(known(tree, path, looks, end)).max(touched(path, cell));
            // What others take over before it is finished is theirs, where the policy leaves alone what is theirs.
            let is_taken_over = scope.policy == Policy::Missing && is_changed_by_others(tree, path);
            if !is_taken_over && !moments(since).any(|zxid| is_right(scope, tree, path, cell, zxid)) {
                let now = tree.get(path);
                return Err(format!(
                    "(b) {path}: {cell:?} was never right since {since}: {now:?}"
                ));
            }
        }
    }
    for path in tree
        .paths()
        .filter(|path| scope.is_stranger(path) || scope.is_helper(path))
    {
        let parent = path.parent().unwrap_or_else(ZnodePath::root);
        let since = begin
            .max(known(tree, path, if EVERY_LOOK { &["data"] } else { &[] }, end))
            .max(known(
                tree,
                &parent,
                if EVERY_LOOK { &["children"] } else { &[] },
                end,
            ))
            .max(touched(path, Cell::Data));
        if !moments(since).any(|zxid| is_gone_or_kept(tree, path, zxid)) {
            return Err(format!("(b) {path} is still there, and the backup lacks it"));
        }
    }
    Ok(())
}

/// (d): nobody interfered, so all is right now; where it is not, that is named and could not be helped.
pub fn check_second(
    scope: &Scope,
    tree: &ModelTree,
    begin: i64,
    us: &Identity,
    max_request: usize,
    report: &RestoreReport,
) -> Result<(), String> {
    let end = tree.zxid();
    let mut wrong: Vec<&ZnodePath> = Vec::new();
    for (path, record) in &scope.wanted {
        let is_right = |cell| {
            is_right(scope, tree, path, cell, end)
                || (scope.policy == Policy::Missing && is_changed_by_others(tree, path))
        };
        if record.role == Role::Captured && !(is_right(Cell::Data) && is_right(Cell::Acl)) {
            wrong.push(path);
        }
    }
    wrong.extend(scope.needed().filter(|path| tree.get(path).is_none()));
    let is_extra = |path: &&ZnodePath| scope.is_stranger(path) || scope.is_helper(path);
    let strangers = tree.paths().filter(is_extra);
    wrong.extend(strangers.filter(|path| tree.get(path).is_some()));
    // A stranger also stays where one below it does, and what only is above something is named by that.
    let is_named = |path: &ZnodePath| {
        report.failures.iter().any(|failure| {
            let is_kind = scope.is_stranger(path) || scope.above.contains(path);
            let keeps = is_kind && failure.path.is_within(path);
            keeps || path.is_within(&failure.path)
        })
    };
    if let Some(path) = wrong.iter().find(|path| !is_named(path)) {
        let now = tree.get(path);
        return Err(format!(
            "(d) {path} is not as it should be, and not named: {now:?} {report:?}"
        ));
    }
    if report.is_complete() && !report.unfinished_paths.is_empty() {
        return Err(format!("(d) complete, and unfinished: {report:?}"));
    }
    check_counters(scope, tree, report, |_, _| true)?;
    // Where we may set the ACL we may do everything, but outside the scope no ACL is ours to set.
    let admits = |path: &ZnodePath| {
        let wanted = scope.wanted.get(path);
        let has_no_acl = wanted.is_some_and(|record| record.acl.is_unknown());
        let is_wanted = wanted.is_some() && !has_no_acl && scope.policy != Policy::Missing;
        let is_inside = scope.is_stranger(path) || is_wanted;
        // Without an identity, opening what we may not read would open it to everybody.
        let needed: &[u32] = match (is_inside, us.working_acl().lets_anyone_read()) {
            (true, false) => &[16],
            (true, true) => &[1, 16],
            (false, _) if has_no_acl => &[1, 2, 4, 8, 16],
            (false, _) => &[1, 4, 8, 16],
        };
        tree.at(path, begin)
            .is_none_or(|znode| needed.iter().all(|permission| us.may(&znode.acl, *permission)))
    };
    // What others have written to it since it was created is theirs, and its list is still ours: it is left alone, and named.
    let is_taken = |path: &ZnodePath| {
        let wanted = scope.wanted.get(path);
        let is_captured = wanted.is_some_and(|record| record.role == Role::Captured);
        (!is_captured || scope.policy == Policy::Missing) && is_changed_by_others(tree, path)
    };
    let is_all_taken = report.failures.iter().all(|failure| is_taken(&failure.path));
    let is_helped = report.is_complete() || (is_all_taken && !report.failures.is_empty());
    if !is_helped && scope.is_possible(max_request) && tree.paths().all(admits) {
        return Err(format!(
            "(d) not complete, though nothing is in the way: {:?}",
            report.failures
        ));
    }
    Ok(())
}

/// (d): the counters of what is `meant` are as in the backup, or the restore says that some are not.
pub fn check_counters(
    scope: &Scope,
    tree: &ModelTree,
    report: &RestoreReport,
    meant: impl Fn(&ZnodePath, &Znode) -> bool,
) -> Result<(), String> {
    if !report.is_complete() || report.counters_left > 0 {
        return Ok(());
    }
    for (path, record) in scope.wanted.iter().chain(&scope.ancestors) {
        if let Some(znode) = tree.get(path)
            && meant(path, znode)
            && znode.stat.next_sequence() < record.stat.next_sequence()
        {
            return Err(format!("(d) the counter of {path} is too low: {report:?}"));
        }
    }
    Ok(())
}

/// Whether the adversary has changed what we created.
fn is_changed_by_others(tree: &ModelTree, path: &ZnodePath) -> bool {
    let ours = tree
        .log()
        .iter()
        .rposition(|e| e.by != 0 && e.op.path() == path && e.before.is_none());
    ours.is_some_and(|at| tree.log()[at..].iter().any(|e| e.by == 0 && e.op.path() == path))
}
