//! Deleting what the backup lacks.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt};

use super::Change;
use super::error::Stop;
use super::ledger::Opened;
use super::noted::Begins;
use super::replan::TRIES;
use super::state::RestoreState;
use super::step::Step;
use super::writer::Opening;
use crate::archive::RecordSource;
use crate::tree::access::calls_with_restraint;
use crate::tree::reserved::is_keepers;
use crate::tree::{AclFound, History, Reading, Served, Stat, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

/// Znodes in one read. Nothing tells how large they are.
const AT_ONCE: usize = 16;
/// ACLs in one call.
const ACLS_AT_ONCE: usize = 256;

/// What is known of a znode that the backup lacks.
enum Extra {
    Gone,
    Kept,
    /// It may not be read.
    Denied,
    /// Nor may its ACL, or that cannot be understood.
    Shut,
    Doomed(Stat, Vec<ZnodePath>),
    /// It may not be read, and has children; this is its list.
    Closed(AclFound),
}

/// What is to be done about the subtrees that the backup lacks.
#[derive(Default)]
struct Fates {
    /// By depth, with their versions.
    doomed: BTreeMap<usize, Vec<(ZnodePath, i32)>>,
    /// Above what stays.
    kept: HashSet<ZnodePath>,
    /// What is to be opened to us first, and what is above it.
    waiting: HashSet<ZnodePath>,
}

impl<T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'_, T> {
    /// Deletes the subtrees that the backup lacks, deepest first, but for live ephemerals and their parents. What had to be
    /// opened for that and stays gets its ACL back.
    pub(super) async fn delete_extras(&mut self, source: &Arc<dyn RecordSource>) -> Result<(), Stop> {
        let mut level = std::mem::take(&mut self.extras);
        while !level.is_empty() {
            level.sort();
            self.delete(level).await?;
            self.open_extras().await?;
            // Parents that did not let us; they may name extras of their own once more.
            self.plan_again(source).await?;
            // Each of them gives up after a few tries.
            level = self.writer.undeleted.drain().collect();
        }
        self.put_back_opened().await; // what is left is tried again at last
        Ok(())
    }

    async fn delete(&mut self, roots: Vec<ZnodePath>) -> Result<(), Stop> {
        let Fates {
            doomed,
            mut kept,
            waiting,
        } = self.find_fates(roots.clone()).await?;
        for (depth, paths) in doomed.into_iter().rev() {
            for (path, version) in paths {
                if waiting.contains(&path) {
                    continue;
                }
                if kept.contains(&path) {
                    self.leave_alone(path);
                    continue;
                }
                let delete = Step {
                    op: WriteOp::Delete {
                        path,
                        version: Some(version),
                    },
                    counts: Some(Change::Delete),
                    begins: None,
                    ends: false,
                };
                self.writer.push(vec![delete]).await?;
            }
            if self.options.dry_run {
                self.writer.weigh().await?;
                let stuck = self.writer.stuck.iter().filter(|path| path.depth() == depth);
                kept.extend(stuck.flat_map(ZnodePath::ancestors));
            } else if !self.live.keeps_order() {
                self.writer.drain().await?;
            }
        }
        // What is opened to us is looked at again, and what lies above it with it.
        let again = roots.into_iter().filter(|path| waiting.contains(path));
        self.writer.undeleted.extend(again);
        self.writer.drain().await
    }

    /// Looks at all of the subtrees before anything of them is deleted.
    async fn find_fates(&mut self, mut level: Vec<ZnodePath>) -> Result<Fates, Stop> {
        let mut fates = Fates::default();
        // One that is looked at again may be named by itself, and by its parent.
        let mut looked = HashSet::new();
        while !level.is_empty() {
            let (mut next, mut denied) = (Vec::new(), Vec::new());
            let live = self.live;
            level.retain(|path| looked.insert(path.clone()));
            // Members list children each in an order of its own, and what differs is told in pages.
            level.sort_unstable();
            for path in self.take_what_no_backup_has(&mut level).await? {
                fates.kept.extend(path.ancestors());
                self.leave_alone(path);
            }
            for path in level.extract_if(.., |path| self.writer.stuck.contains(path)) {
                fates.kept.extend(path.ancestors());
            }
            let calls: Vec<_> = level.chunks(AT_ONCE).map(|paths| look(live, paths)).collect();
            let mut looks = stream::iter(calls).buffered(calls_with_restraint(live));
            while let Some(extras) = looks.next().await {
                for (path, extra) in extras? {
                    match extra {
                        Extra::Denied => denied.push(path),
                        other => self.decide_extra(path, other, &mut fates, &mut next),
                    }
                }
            }
            drop(looks);
            for paths in denied.chunks(ACLS_AT_ONCE) {
                let guards = live.read_acls(paths).await?;
                for (path, guard) in paths.iter().zip(guards) {
                    self.decide_extra(path.clone(), of_guard(guard), &mut fates, &mut next);
                }
            }
            level = next;
        }
        Ok(fates)
    }

    fn decide_extra(&mut self, path: ZnodePath, extra: Extra, fates: &mut Fates, below: &mut Vec<ZnodePath>) {
        let mut doom = |path: ZnodePath, stat: Stat| {
            let depth = path.depth();
            fates.doomed.entry(depth).or_default().push((path, stat.version));
        };
        match extra {
            Extra::Gone => self.writer.gone(&path),
            Extra::Kept => {
                fates.kept.extend(path.ancestors());
                self.leave_alone(path);
            }
            Extra::Doomed(stat, children) => {
                below.extend(children);
                doom(path, stat);
            }
            Extra::Closed(guard) if self.may_open(&path, &guard) => {
                if self.options.dry_run {
                    self.writer.report.unseen += 1;
                    return doom(path, guard.stat);
                }
                fates.waiting.extend(path.ancestors());
                fates.waiting.insert(path.clone());
                self.writer.shut_extras.insert(path, Some(guard));
            }
            Extra::Closed(_) | Extra::Shut | Extra::Denied => {
                fates.kept.extend(path.ancestors());
                if self.reported_extras.insert(path.clone()) {
                    self.writer.report.left_alone += 1;
                    let why = "it is not in the backup, and may not be read";
                    self.writer.fail_once(&path, why.to_owned());
                }
            }
        }
    }

    fn leave_alone(&mut self, path: ZnodePath) {
        self.writer.report.left_alone += u64::from(self.reported_extras.insert(path));
    }

    /// Those of `level` that are in no backup though they were there: what is out of a capture's reach, and what ClickHouse
    /// Keeper keeps for itself. An earlier version has not noted the former.
    async fn take_what_no_backup_has(&mut self, level: &mut Vec<ZnodePath>) -> Result<Vec<ZnodePath>, Stop> {
        let is_keepers = |path: &ZnodePath| is_keepers(&ZnodePath::root(), path.name()) && path.depth() == 1;
        let keeper = level.iter().any(is_keepers)
            && self.live.served().await? == (Served::ByKeeper { shows_own: true });
        Ok(level
            .extract_if(.., |path| !path.is_in_reach() || (keeper && is_keepers(path)))
            .collect())
    }

    /// Whether we may take the place of the list of a znode that the backup lacks by one under which we may do everything. It must be
    /// possible to put it back, and without an identity our list is everybody's: that shows nobody anything only where everybody may
    /// read it as it is.
    fn may_open(&self, path: &ZnodePath, guard: &AclFound) -> bool {
        let known = self.writer.surprises.get(path);
        known.is_none_or(|known| known.opened < TRIES && !known.hint.no_admin)
            && (self.guards.hides() || guard.acl.lets_anyone_read())
            && !guard.acl.is_masked()
            && !guard.stat.is_ephemeral()
    }

    /// Lets us look at what the backup lacks, and delete what is below it.
    async fn open_extras(&mut self) -> Result<(), Stop> {
        let mut shut = std::mem::take(&mut self.writer.shut_extras);
        let unread: Vec<_> = shut.extract_if(.., |_, guard| guard.is_none()).collect();
        let unread: Vec<_> = unread.into_iter().map(|(path, _)| path).collect();
        for paths in unread.chunks(ACLS_AT_ONCE) {
            for (path, guard) in paths.iter().zip(self.live.read_acls(paths).await?) {
                let guard = match guard {
                    Reading::Found(guard) => Some(guard),
                    _ => None,
                };
                shut.insert(path.clone(), guard);
            }
        }
        for (path, guard) in shut {
            if self.writer.opened.get(&path) == Some(&Opening::Done) {
                continue; // since what is below it was refused
            }
            let Some(guard) = guard.filter(|guard| self.may_open(&path, guard)) else {
                self.writer.surprises.entry(path).or_default().hint.no_admin = true;
                continue;
            };
            self.writer.surprises.entry(path.clone()).or_default().opened += 1;
            let AclFound { acl, stat } = guard;
            let before = self.writer.unfinished.get(&path);
            let first = before
                .filter(|before| before.czxid == Some(stat.czxid) && self.guards.is_just_ours(&acl))
                .and_then(|before| before.opened.as_ref());
            let was = Opened {
                acl: first.map_or(acl, |first| first.acl.clone()),
                aversion: stat.aversion,
            };
            let open = Step {
                op: WriteOp::SetAcl {
                    path,
                    acl: self.guards.working.clone(),
                    version: Some(stat.aversion),
                },
                counts: None,
                begins: Some(Begins::Opened {
                    czxid: stat.czxid,
                    was,
                }),
                ends: false,
            };
            self.writer.push(vec![open]).await?;
        }
        self.writer.drain().await
    }
}

/// What the list of a znode shows of it that we may not read. One without children needs no look.
fn of_guard(guard: Reading<AclFound>) -> Extra {
    match guard {
        Reading::Missing => Extra::Gone,
        Reading::Denied | Reading::Undecodable(_) => Extra::Shut,
        Reading::Found(guard) if guard.stat.is_ephemeral() => Extra::Kept,
        Reading::Found(guard) if guard.stat.num_children == 0 => Extra::Doomed(guard.stat, Vec::new()),
        Reading::Found(guard) => Extra::Closed(guard),
    }
}

/// Looks at a few znodes, and lets their data go.
async fn look<T: ZnodeReader + ?Sized>(
    live: &T,
    paths: &[ZnodePath],
) -> Result<Vec<(ZnodePath, Extra)>, crate::tree::ClientError> {
    let judge = |(path, reading): (&ZnodePath, Reading)| {
        let extra = match reading {
            Reading::Missing => Extra::Gone,
            Reading::Denied => Extra::Denied,
            Reading::Undecodable(_) => Extra::Shut,
            Reading::Found(found) if found.stat.is_ephemeral() => Extra::Kept,
            Reading::Found(found) => {
                let children = found.children.iter().filter_map(|name| path.child(name).ok());
                Extra::Doomed(found.stat, children.collect())
            }
        };
        (path.clone(), extra)
    };
    let readings = live.read_many(paths, History::Any).await?;
    Ok(paths.iter().zip(readings).map(judge).collect())
}
