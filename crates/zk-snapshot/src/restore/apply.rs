//! Carrying the plan out: creations and data downwards, then deletions upwards, then what guards the parents.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};

use super::plan::{NodePlan, plan};
use super::scope::{PathSet, Scope};
use super::{Change, Difference, Failure, Policy, RestoreError, RestoreOptions, RestoreReport};
use crate::{
    ClientError, Reading, Record, RecordSource, Role, WriteError, WriteOp, ZnodePath, ZnodeReader,
    ZnodeWriter,
};

/// How many failures a report names.
const NAMED: usize = 100;
/// A write whose outcome is unknown is looked at again this often.
const ATTEMPTS: usize = 3;

/// Makes the live tree what the backup says, writing only what differs.
///
/// The backup is read and checked as a whole before the first write. A child is never written before its
/// parent, a deletion never before its children's. ACLs of znodes with children come last, so that a
/// restrictive one cannot lock the restore out. A restore that was interrupted is finished by running it again.
/// Archive frames are read on the calling task.
///
/// # Errors
/// [`RestoreError`]. Single znodes that could not be written are no error here: see [`RestoreReport::failed`].
pub async fn restore<T: ZnodeReader + ZnodeWriter + ?Sized>(
    source: &dyn RecordSource,
    live: &T,
    options: &RestoreOptions,
) -> Result<RestoreReport, RestoreError> {
    let scope = Scope::new(source, options)?;
    let mut run = Run {
        live,
        options,
        scope,
        report: RestoreReport::default(),
        created: PathSet::default(),
        extras: Vec::new(),
        later: Vec::new(),
    };
    match run.all(source).await {
        Ok(()) => Ok(run.report),
        Err(Stop::Archive(error)) => Err(error.into()),
        Err(Stop::Client(cause)) => Err(RestoreError::Client {
            cause,
            report: Box::new(run.report),
        }),
    }
}

enum Stop {
    Archive(crate::ArchiveError),
    Client(ClientError),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

struct Run<'a, T: ?Sized> {
    live: &'a T,
    options: &'a RestoreOptions,
    scope: Scope<'a>,
    report: RestoreReport,
    /// Znodes that were absent, so that nothing below them needs to be read.
    created: PathSet,
    /// Live znodes that the backup lacks.
    extras: Vec<ZnodePath>,
    later: Vec<WriteOp>,
}

impl<T: ZnodeReader + ZnodeWriter + ?Sized> Run<'_, T> {
    async fn all(&mut self, source: &dyn RecordSource) -> Result<(), Stop> {
        for index in 0..source.frames() {
            let records = source.frame(index).map_err(Stop::Archive)?;
            let mut levels: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
            for record in records.into_iter().filter_map(|record| self.scope.place(record)) {
                levels.entry(record.path.depth()).or_default().push(record);
            }
            for (_, records) in levels {
                self.level(records).await?;
            }
        }
        self.delete_extras().await?;
        let later = std::mem::take(&mut self.later);
        self.write(later).await
    }

    /// Records of one depth, which cannot depend on each other.
    async fn level(&mut self, records: Vec<Record>) -> Result<(), Stop> {
        let known_absent = |record: &Record| record.path.parent().is_some_and(|p| self.created.contains(&p));
        let (absent, unknown): (Vec<_>, Vec<_>) = records.into_iter().partition(known_absent);
        let mut read: Vec<_> = absent
            .into_iter()
            .map(|record| (record, Reading::Missing))
            .collect();
        read.extend(self.read_all(unknown, |record| &record.path).await?);
        let working = self.live.working_acl();
        let mut ops = Vec::new();
        for (record, reading) in read {
            let parent = self.scope.parents.contains(&record.path);
            let plan = plan(&record, &reading, self.options.policy, parent, &working);
            self.note(&record, &reading, &plan);
            ops.extend(plan.now);
            self.later.extend(plan.later);
        }
        self.write(ops).await
    }

    fn note(&mut self, record: &Record, reading: &Reading, plan: &NodePlan) {
        let path = &record.path;
        self.report.unchanged += u64::from(plan.unchanged);
        if plan.blocked {
            let why = match reading {
                Reading::Denied => "the live znode may not be read",
                _ => "a live ephemeral znode stands in its place",
            };
            self.fail(path, why.to_owned());
        }
        if record.role == Role::Captured && record.acl.is_masked() {
            self.fail(path, "the backup holds its ACL without the digests".to_owned());
        }
        match reading {
            Reading::Missing => {
                if !plan.now.is_empty() {
                    self.created.insert(path);
                    self.show(path, Change::Create);
                }
            }
            Reading::Found(found) => {
                for op in plan.now.iter().chain(&plan.later) {
                    self.show(
                        path,
                        if matches!(op, WriteOp::SetAcl { .. }) {
                            Change::Acl
                        } else {
                            Change::Data
                        },
                    );
                }
                if record.role == Role::Captured && self.options.policy == Policy::Replace {
                    let children = found.children.iter().filter_map(|name| path.child(name).ok());
                    self.extras
                        .extend(children.filter(|child| self.scope.may_delete(child)));
                }
            }
            Reading::Denied => {}
        }
    }

    /// Deletes the subtrees that the backup lacks, deepest first, but for live ephemerals and their parents.
    async fn delete_extras(&mut self) -> Result<(), Stop> {
        let mut doomed: BTreeMap<usize, Vec<ZnodePath>> = BTreeMap::new();
        let mut kept = PathSet::default();
        let mut level = std::mem::take(&mut self.extras);
        while !level.is_empty() {
            let mut next = Vec::new();
            for (path, reading) in self.read_all(level, |path| path).await? {
                match reading {
                    Reading::Missing => {}
                    Reading::Found(found) if found.stat.is_ephemeral() => {
                        self.keep(&path, &mut kept);
                    }
                    Reading::Denied => {
                        self.fail(&path, "it is not in the backup, and may not be read".to_owned());
                        self.keep(&path, &mut kept);
                    }
                    Reading::Found(found) => {
                        next.extend(found.children.iter().filter_map(|name| path.child(name).ok()));
                        doomed.entry(path.depth()).or_default().push(path);
                    }
                }
            }
            level = next;
        }
        for (_, paths) in doomed.into_iter().rev() {
            let (keep, delete): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| kept.contains(path));
            self.report.left_alone += keep.len() as u64;
            delete.iter().for_each(|path| self.show(path, Change::Delete));
            self.write(delete.into_iter().map(|path| WriteOp::Delete { path }).collect())
                .await?;
        }
        Ok(())
    }

    fn keep(&mut self, path: &ZnodePath, kept: &mut PathSet) {
        self.report.left_alone += 1;
        for ancestor in path.ancestors() {
            kept.insert(&ancestor);
        }
    }

    async fn read_all<I>(
        &self,
        items: Vec<I>,
        path: impl Fn(&I) -> &ZnodePath,
    ) -> Result<Vec<(I, Reading)>, ClientError> {
        let paths: Vec<_> = items.iter().map(|item| path(item).clone()).collect();
        let batches: Vec<_> = paths
            .chunks(self.live.batch_size().max(1))
            .map(<[_]>::to_vec)
            .collect();
        let mut reads = stream::iter(batches)
            .map(|batch| async move { self.live.read_many(&batch).await })
            .buffered(self.live.batches_in_flight().max(1));
        let mut readings = Vec::with_capacity(items.len());
        while let Some(batch) = reads.next().await {
            readings.extend(batch?);
        }
        Ok(items.into_iter().zip(readings).collect())
    }

    /// Writes independent operations and counts their outcomes.
    async fn write(&mut self, mut ops: Vec<WriteOp>) -> Result<(), Stop> {
        if self.options.dry_run {
            ops.iter().for_each(|op| self.count(op));
            return Ok(());
        }
        for attempt in 1..=ATTEMPTS {
            let mut again = Vec::new();
            for (op, outcome) in self.write_all(std::mem::take(&mut ops)).await {
                match outcome {
                    Ok(()) => self.count(&op),
                    Err(WriteError::NoNode) if matches!(op, WriteOp::Delete { .. }) => self.count(&op),
                    Err(WriteError::Unknown(error)) if attempt == ATTEMPTS => return Err(error.into()),
                    Err(WriteError::NodeExists | WriteError::Unknown(_)) if attempt < ATTEMPTS => {
                        again.extend(self.reconsider(op).await?);
                    }
                    Err(error) => self.fail(op.path(), error.to_string()),
                }
            }
            if again.is_empty() {
                break;
            }
            ops = again;
        }
        Ok(())
    }

    /// Reads again what an unknown or surprising outcome left, and says what is still to be done.
    async fn reconsider(&mut self, op: WriteOp) -> Result<Vec<WriteOp>, Stop> {
        let mut readings = self.live.read_many(std::slice::from_ref(op.path())).await?;
        let Some(Reading::Found(found)) = readings.pop() else {
            return Ok(vec![op]);
        };
        let left = match &op {
            WriteOp::Create { path, data, acl } => {
                let mut left = Vec::new();
                if found.data != *data {
                    left.push(WriteOp::SetData {
                        path: path.clone(),
                        data: data.clone(),
                    });
                }
                if !found.acl.same_as(acl) {
                    left.push(WriteOp::SetAcl {
                        path: path.clone(),
                        acl: acl.clone(),
                    });
                }
                left
            }
            WriteOp::SetData { data, .. } if found.data == *data => Vec::new(),
            WriteOp::SetAcl { acl, .. } if found.acl.same_as(acl) => Vec::new(),
            _ => vec![op.clone()],
        };
        if left.is_empty() {
            self.count(&op);
        }
        Ok(left)
    }

    async fn write_all(&self, ops: Vec<WriteOp>) -> Vec<(WriteOp, Result<(), WriteError>)> {
        let size = self.live.batch_size().max(1);
        let batches: Vec<_> = ops.chunks(size).map(<[_]>::to_vec).collect();
        let outcomes: Vec<_> = stream::iter(batches)
            .map(|batch| self.live.write_many(batch))
            .buffered(self.live.batches_in_flight().max(1))
            .collect()
            .await;
        ops.into_iter().zip(outcomes.into_iter().flatten()).collect()
    }

    fn count(&mut self, op: &WriteOp) {
        match op {
            WriteOp::Create { .. } => self.report.created += 1,
            WriteOp::Delete { .. } => self.report.deleted += 1,
            // What completes a creation is part of it.
            WriteOp::SetData { path, .. } | WriteOp::SetAcl { path, .. } if self.created.contains(path) => {}
            WriteOp::SetData { .. } => self.report.data_changed += 1,
            WriteOp::SetAcl { .. } => self.report.acl_changed += 1,
        }
    }

    fn show(&mut self, path: &ZnodePath, change: Change) {
        if self.report.differences.len() < self.options.show {
            self.report.differences.push(Difference {
                path: path.clone(),
                change,
            });
        }
    }

    fn fail(&mut self, path: &ZnodePath, why: String) {
        self.report.failed += 1;
        if self.report.failures.len() < NAMED {
            self.report.failures.push(Failure {
                path: path.clone(),
                why,
            });
        }
    }
}
