//! Carrying the plan out: creations and data downwards, then deletions upwards, then what guards the parents.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::StreamExt;

use super::counters::Counters;
use super::plan::{Live, NodePlan, plan};
use super::scope::{Scope, ahead};
use super::write::Writer;
use super::{Change, Policy, RestoreError, RestoreOptions, RestoreReport, Stop};
use crate::{
    Acl, ClientError, History, Kind, Reading, Record, RecordSource, Role, WriteOp, ZnodePath, ZnodeReader,
    ZnodeWriter,
};

/// Records that are compared together, in number and in bytes of data.
const TOGETHER: usize = 4_096;
const BYTES_TOGETHER: usize = 16 << 20;
/// Bytes of data that one read asks for, as far as the backup tells.
const BYTES_READ: usize = 2 << 20;
/// What a znode of unknown size is taken for: a server must not hold too many large answers.
const UNKNOWN: usize = 128 << 10;

/// Makes the live tree what the backup says, writing only what differs.
///
/// The backup is read and checked as a whole before the first write. A child is never written before its
/// parent, a deletion never before its children's. ACLs of znodes with children come last, so that a
/// restrictive one cannot lock the restore out. A restore that was interrupted is finished by running it again.
/// Archive frames are read on threads that may block; call it within a tokio runtime.
///
/// # Errors
/// [`RestoreError`]. Single znodes that could not be written are no error here: see [`RestoreReport::failed`].
pub async fn restore<T: ZnodeReader + ZnodeWriter + ?Sized>(
    source: Arc<dyn RecordSource>,
    live: &T,
    options: &RestoreOptions,
) -> Result<RestoreReport, RestoreError> {
    let (scope, places) = Scope::new(&source, options).await?;
    let mut run = Run {
        live,
        options,
        scope,
        writer: Writer::new(live, options, places),
        counters: Counters::default(),
        working: live.working_acl(),
        extras: Vec::new(),
        later: Vec::new(),
    };
    match run.all(&source).await {
        Ok(()) => Ok(run.writer.report),
        Err(Stop::Archive(cause)) => Err(RestoreError::Archive {
            cause,
            report: Box::new(run.writer.report),
        }),
        Err(Stop::Client(cause)) => Err(RestoreError::Client {
            cause,
            report: Box::new(run.writer.report),
        }),
    }
}

pub(super) struct Run<'a, T: ?Sized> {
    pub(super) live: &'a T,
    pub(super) options: &'a RestoreOptions,
    pub(super) scope: Scope<'a>,
    pub(super) writer: Writer<'a, T>,
    counters: Counters,
    working: Acl,
    /// Live znodes that the backup lacks.
    pub(super) extras: Vec<ZnodePath>,
    later: Vec<WriteOp>,
}

/// A record at its place, and whether that is another than it had.
type Placed = (Record, bool);

/// Whether a server may have deleted it by itself by `now`.
fn has_passed(record: &Record, now: i64) -> bool {
    match record.stat.kind() {
        Kind::Container => true,
        Kind::Ttl(ttl) => i128::from(record.stat.mtime) + ttl.as_millis().cast_signed() <= i128::from(now),
        Kind::Persistent | Kind::Ephemeral => false,
    }
}

impl<T: ZnodeReader + ZnodeWriter + ?Sized> Run<'_, T> {
    async fn all(&mut self, source: &Arc<dyn RecordSource>) -> Result<(), Stop> {
        let mut frames = Box::pin(ahead(source, |source, index| source.frame(index)));
        let (mut together, mut bytes): (Vec<Placed>, usize) = (Vec::new(), 0);
        while let Some(records) = frames.next().await {
            for placed in records?.into_iter().filter_map(|record| self.scope.place(record)) {
                bytes += placed.0.data.len();
                together.push(placed);
            }
            if together.len() >= TOGETHER || bytes >= BYTES_TOGETHER {
                self.compare(std::mem::take(&mut together)).await?;
                bytes = 0;
            }
        }
        self.compare(together).await?;
        self.writer.flush().await?;
        self.delete_extras().await?;
        let counters = std::mem::take(&mut self.counters);
        counters
            .raise(self.live, self.options, &mut self.writer.report)
            .await?;
        for op in std::mem::take(&mut self.later) {
            self.writer.push(op).await?;
        }
        self.writer.flush().await
    }

    async fn compare(&mut self, records: Vec<Placed>) -> Result<(), Stop> {
        let mut levels: BTreeMap<usize, Vec<Placed>> = BTreeMap::new();
        for placed in records {
            levels.entry(placed.0.path.depth()).or_default().push(placed);
        }
        for (_, records) in levels {
            self.level(records).await?;
            if !self.live.keeps_order() {
                self.writer.flush().await?;
            }
        }
        Ok(())
    }

    /// Records of one depth, which cannot depend on each other.
    async fn level(&mut self, records: Vec<Placed>) -> Result<(), Stop> {
        let known_absent = |placed: &Placed| {
            placed
                .0
                .path
                .parent()
                .is_some_and(|p| self.writer.places.is_created(&p))
        };
        let (absent, unknown): (Vec<_>, Vec<_>) = records.into_iter().partition(known_absent);
        for (record, _) in absent {
            self.one(record, &Live::Missing).await?;
        }
        for (record, live) in self.read_live(unknown).await? {
            self.one(record, &live).await?;
        }
        Ok(())
    }

    async fn one(&mut self, record: Record, live: &Live) -> Result<(), Stop> {
        let parent = self.writer.places.children(&record.path) > 0;
        let plan = plan(&record, live, self.options.policy, parent, &self.working);
        self.note(&record, live, &plan);
        for op in plan.now {
            self.writer.push(op).await?;
        }
        self.later.extend(plan.later);
        Ok(())
    }

    fn note(&mut self, record: &Record, live: &Live, plan: &NodePlan) {
        let path = &record.path;
        let (report, shown) = (&mut self.writer.report, self.options.show);
        report.unchanged += u64::from(plan.unchanged);
        if plan.blocked {
            let why = match live {
                Live::Denied => "the live znode, or its ACL, may not be read",
                Live::Undecodable(_) => "the live znode, or its ACL, cannot be understood",
                _ => "a live ephemeral znode stands in its place",
            };
            report.fail(path, why.to_owned());
        }
        let made = matches!(live, Live::Missing) && !plan.now.is_empty();
        if (record.role == Role::Captured || made) && record.acl.is_masked() {
            report.fail(path, "the backup holds its ACL without the digests".to_owned());
        }
        match live {
            Live::Missing if made => {
                report.created_passing += u64::from(has_passed(record, self.options.now));
                self.counters.child_created(path);
                if record.role == Role::Captured {
                    let children = i64::from(self.writer.places.children(path));
                    self.counters.want(path, record.stat.next_sequence(), children, 0);
                }
                self.writer.places.create(path);
                self.writer.report.show(shown, path, Change::Create);
            }
            Live::Found { found, .. } if !plan.blocked => {
                for op in plan.now.iter().chain(&plan.later) {
                    let change = match op {
                        WriteOp::SetAcl { .. } => Change::Acl,
                        _ => Change::Data,
                    };
                    report.show(shown, path, change);
                }
                if record.role == Role::Captured && self.options.policy != Policy::Missing {
                    let (wanted, there) = (record.stat.next_sequence(), found.stat.next_sequence());
                    self.counters.want(path, wanted, there, there);
                }
                if record.role == Role::Captured && self.options.policy == Policy::Replace {
                    let children = found.children.iter().filter_map(|name| path.child(name).ok());
                    self.extras
                        .extend(children.filter(|child| self.scope.may_delete(&self.writer.places, child)));
                }
            }
            _ => {}
        }
    }

    /// What is live in the places of `records`, with the ACLs that may differ from theirs.
    async fn read_live(&mut self, records: Vec<Placed>) -> Result<Vec<(Record, Live)>, ClientError> {
        let mut lives = Vec::with_capacity(records.len());
        let paths: Vec<_> = records.iter().map(|(record, _)| record.path.clone()).collect();
        let sizes: Vec<_> = records.iter().map(|(record, _)| record.data.len()).collect();
        let mut unknown = Vec::new();
        for ((record, renamed), reading) in records.into_iter().zip(self.read_all(&paths, &sizes).await?) {
            let live = match reading {
                Reading::Missing => Live::Missing,
                Reading::Denied => Live::Denied,
                Reading::Undecodable(why) => Live::Undecodable(why),
                Reading::Found(found) => {
                    let compared = record.role == Role::Captured
                        && self.options.policy != Policy::Missing
                        && !found.stat.is_ephemeral()
                        && !record.acl.is_masked();
                    if compared && (renamed || !self.is_guarded_alike(&record, &found.stat)) {
                        unknown.push(lives.len());
                    }
                    Live::Found { found, acl: None }
                }
            };
            lives.push((record, live));
        }
        let asked: Vec<_> = unknown.iter().map(|index| paths[*index].clone()).collect();
        let mut guards = Vec::with_capacity(asked.len());
        for part in asked.chunks(TOGETHER) {
            guards.extend(self.live.read_acls(part).await?);
        }
        for (index, guard) in unknown.into_iter().zip(guards) {
            let live = &mut lives[index].1;
            match (guard, &mut *live) {
                (Reading::Found(guard), Live::Found { acl, .. }) => *acl = Some(guard.acl),
                (Reading::Missing, _) => *live = Live::Missing,
                (Reading::Undecodable(why), _) => *live = Live::Undecodable(why),
                _ => *live = Live::Denied,
            }
        }
        Ok(lives)
    }

    /// Whether a live znode is known to have the ACL of `record`: it is the very znode, with the very list. What every
    /// server begins with has no time of creation, and tells nothing.
    fn is_guarded_alike(&self, record: &Record, live: &crate::Stat) -> bool {
        let then = &record.stat;
        self.options.same_ensemble
            && then.ctime != 0
            && (then.czxid, then.ctime, then.aversion) == (live.czxid, live.ctime, live.aversion)
    }

    /// Reads `paths`, whose data are `sizes` bytes long as far as is known.
    pub(super) async fn read_all(
        &mut self,
        paths: &[ZnodePath],
        sizes: &[usize],
    ) -> Result<Vec<Reading>, ClientError> {
        let mut batches: Vec<&[ZnodePath]> = Vec::new();
        let (mut begin, mut bytes) = (0, 0);
        for end in 0..paths.len() {
            let size = sizes.get(end).copied().unwrap_or(UNKNOWN);
            if end - begin >= self.live.batch_size().max(1) || (bytes + size > BYTES_READ && end > begin) {
                batches.push(&paths[begin..end]);
                (begin, bytes) = (end, 0);
            }
            bytes += size;
        }
        batches.push(&paths[begin..]);
        let calls: Vec<_> = batches
            .into_iter()
            .map(|batch| self.live.read_many(batch, History::Any))
            .collect();
        let mut reads = futures::stream::iter(calls).buffered(self.live.batches_in_flight().max(1));
        let mut readings = Vec::with_capacity(paths.len());
        while let Some(batch) = reads.next().await {
            readings.extend(batch?);
        }
        Ok(readings)
    }
}
