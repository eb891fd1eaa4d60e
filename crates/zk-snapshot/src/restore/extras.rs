//! Deleting what the backup lacks.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt};

use super::Change;
use super::error::Stop;
use super::plan::Step;
use super::state::RestoreState;
use crate::archive::RecordSource;
use crate::capture::is_keeper;
use crate::tree::reserved::is_keepers;
use crate::tree::{History, Reading, Stat, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

/// Znodes in one read. Nothing tells how large they are.
const AT_ONCE: usize = 16;

/// What is known of a znode that the backup lacks.
enum Extra {
    Gone,
    Kept,
    Denied,
    Doomed(Stat, Vec<ZnodePath>),
}

impl<T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'_, T> {
    /// Deletes the subtrees that the backup lacks, deepest first, but for live ephemerals and their parents.
    pub(super) async fn delete_extras(&mut self, source: &Arc<dyn RecordSource>) -> Result<(), Stop> {
        let mut level = std::mem::take(&mut self.extras);
        while !level.is_empty() {
            level.sort();
            level.dedup();
            self.delete(level).await?;
            self.admit_to_extras().await?;
            // Parents that did not let us; they may name extras of their own once more.
            self.plan_again(source).await?;
            // Each of them gives up after a few tries.
            level = self.writer.undeleted.drain().collect();
        }
        Ok(())
    }

    async fn delete(&mut self, mut level: Vec<ZnodePath>) -> Result<(), Stop> {
        let mut doomed: BTreeMap<usize, Vec<(ZnodePath, i32)>> = BTreeMap::new();
        let (mut kept, mut waiting) = (HashSet::new(), HashSet::new());
        let roots = level.clone();
        while !level.is_empty() {
            let (mut next, mut denied) = (Vec::new(), Vec::new());
            let live = self.live;
            for path in self.take_what_no_backup_has(&mut level).await? {
                kept.extend(path.ancestors());
                self.writer.report.left_alone += u64::from(self.reported_extras.insert(path));
            }
            let calls: Vec<_> = level.chunks(AT_ONCE).map(|paths| look(live, paths)).collect();
            let mut looks = stream::iter(calls).buffered(live.batches_in_flight().max(1));
            while let Some(extras) = looks.next().await {
                for (path, extra) in extras? {
                    match extra {
                        Extra::Gone => self.writer.gone(&path),
                        Extra::Kept => {
                            self.writer.report.left_alone +=
                                u64::from(self.reported_extras.insert(path.clone()));
                            kept.extend(path.ancestors());
                        }
                        Extra::Denied => denied.push(path),
                        Extra::Doomed(stat, children) => {
                            next.extend(children);
                            doomed.entry(path.depth()).or_default().push((path, stat.version));
                        }
                    }
                }
            }
            drop(looks);
            for path in denied {
                if self.may_open(&path).await? {
                    waiting.extend(path.ancestors());
                    waiting.insert(path);
                    continue;
                }
                kept.extend(path.ancestors());
                if self.reported_extras.insert(path.clone()) {
                    self.writer.report.left_alone += 1;
                    let why = "it is not in the backup, and may not be read";
                    self.writer.report.fail(&path, why.to_owned());
                }
            }
            level = next;
        }
        for (_, paths) in doomed.into_iter().rev() {
            for (path, version) in paths {
                if waiting.contains(&path) {
                    continue;
                }
                if kept.contains(&path) {
                    self.writer.report.left_alone += u64::from(self.reported_extras.insert(path));
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
            if !self.live.keeps_order() {
                self.writer.drain().await?;
            }
        }
        // What was opened to us is looked at again, and what lies above it with it.
        let again = roots.into_iter().filter(|path| waiting.contains(path));
        self.writer.undeleted.extend(again);
        self.writer.drain().await
    }

    /// Those of `level` that are in no backup though they were there: what is out of a capture's reach, and what ClickHouse
    /// Keeper keeps for itself. An earlier version has not noted the former.
    async fn take_what_no_backup_has(&mut self, level: &mut Vec<ZnodePath>) -> Result<Vec<ZnodePath>, Stop> {
        let is_keepers = |path: &ZnodePath| is_keepers(&ZnodePath::root(), path.name()) && path.depth() == 1;
        let keeper = level.iter().any(is_keepers) && is_keeper(self.live).await?;
        Ok(level
            .extract_if(.., |path| !path.is_in_reach() || (keeper && is_keepers(path)))
            .collect())
    }

    /// Whether a znode that we may not read lets us change that. Without an identity we would show it to everybody.
    async fn may_open(&mut self, path: &ZnodePath) -> Result<bool, Stop> {
        if self.options.dry_run || !self.guards.hides() || self.writer.is_tried(path) {
            return Ok(false);
        }
        let mut guards = self.live.read_acls(std::slice::from_ref(path)).await?;
        let Some(Reading::Found(guard)) = guards.pop() else {
            return Ok(false);
        };
        let may = !guard.acl.is_masked() && !guard.stat.is_ephemeral();
        if may {
            self.writer.surprises.entry(path.clone()).or_default().hint.admit = true;
            self.writer
                .shut_extras
                .insert(path.clone(), Some(guard.stat.aversion));
        }
        Ok(may)
    }

    /// Lets us delete below what is to be deleted itself.
    async fn admit_to_extras(&mut self) -> Result<(), Stop> {
        for (path, version) in std::mem::take(&mut self.writer.shut_extras) {
            let admit = Step {
                op: WriteOp::SetAcl {
                    path,
                    acl: self.guards.working.clone(),
                    version,
                },
                counts: None,
                begins: None,
                ends: false,
            };
            self.writer.push(vec![admit]).await?;
        }
        self.writer.drain().await
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
            Reading::Denied | Reading::Undecodable(_) => Extra::Denied,
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
