//! Jobs on object storage, which several servers share.

mod archive;
mod document;
mod failures;
mod lease;
mod notes;
#[cfg(test)]
mod simulation;

use std::fmt;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;
use time::OffsetDateTime;
use tokio::runtime::{Builder, Runtime};

use self::archive::{Archive, State};
use self::document::{Change, Document, Random};
pub use self::lease::{Holder, Lease, LeaseTiming, Uptime};
use self::notes::{Chunks, NoteLog};
use crate::millis::whole_millis;
use crate::{Counts, Job, JobState, JobStore, Listed, NewJob, Note, Outcome, QueueError};

/// What has ended, and what was noted earlier, is moved out of the objects that change when it takes more than this, in bytes.
const MOST: usize = 64 << 10;
/// How long a call is tried, if not said.
const PATIENCE: Duration = Duration::from_secs(30);

/// Jobs on object storage, below a prefix of it. Several processes may open the same.
///
/// `<prefix>/jobs/state.json` holds all that has not ended and is replaced by conditional writes: the storage must know
/// `PutMode::Create` and `PutMode::Update`. What a call has done is there before it returns. A call whose answer is lost looks
/// whether it was done; one that does not learn that in time fails with [`QueueError::Storage`].
///
/// It has a thread of its own for its requests, and may be called wherever a thread may wait.
pub struct ObjectJobs {
    shared: Arc<Shared>,
    /// Taken when this is dropped, as a runtime must not be dropped where it may be.
    runtime: Option<Runtime>,
}

fn random() -> Random {
    Arc::new(|| uuid::Uuid::new_v4().as_u128())
}

/// What the calls do, as futures.
struct Shared {
    jobs: Document<State>,
    notes: Document<NoteLog>,
    archive: Archive,
    chunks: Chunks,
}

impl fmt::Debug for ObjectJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectJobs").finish_non_exhaustive()
    }
}

impl ObjectJobs {
    /// Opens the jobs below `prefix` in `store`. There may be none yet. Calls that fail are tried again for 30 seconds.
    ///
    /// # Errors
    /// [`QueueError::Newer`]; [`QueueError::Storage`] where they cannot be read.
    pub fn open(store: &Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, QueueError> {
        Self::open_within(store, prefix, PATIENCE)
    }

    /// As [`open`](Self::open), and calls are tried for as long as `patience`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_within(
        store: &Arc<dyn ObjectStore>,
        prefix: &str,
        patience: Duration,
    ) -> Result<Self, QueueError> {
        let jobs = Self::new(store, prefix, patience)?;
        jobs.wait_for(|shared| async move { shared.jobs.read().await })?;
        Ok(jobs)
    }

    /// As [`open`](Self::open) where nobody is asked yet, so that a storage that is away keeps nobody from beginning. What cannot be read is told by
    /// each call.
    ///
    /// # Errors
    /// [`QueueError::Storage`]: there is no thread for requests.
    pub fn unread(store: &Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, QueueError> {
        Self::new(store, prefix, PATIENCE)
    }

    fn new(store: &Arc<dyn ObjectStore>, prefix: &str, patience: Duration) -> Result<Self, QueueError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("object-jobs")
            .enable_all()
            .build()
            .map_err(QueueError::storage)?;
        Ok(Self {
            shared: Arc::new(Shared::new(store, prefix, patience, MOST, &random())),
            runtime: Some(runtime),
        })
    }

    /// Does `work` on the thread for it, while this one waits.
    fn wait_for<T, F>(&self, work: impl FnOnce(Arc<Shared>) -> F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueueError>> + Send + 'static,
    {
        let ended = || QueueError::storage("the thread for requests has ended");
        let runtime = self.runtime.as_ref().ok_or_else(ended)?;
        let (tell, told) = mpsc::sync_channel(1);
        let work = work(Arc::clone(&self.shared));
        runtime.spawn(async move {
            let _ = tell.send(work.await); // who asked waits
        });
        told.recv().map_err(|_| ended())?
    }
}

impl Drop for ObjectJobs {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn new(
        store: &Arc<dyn ObjectStore>,
        prefix: &str,
        patience: Duration,
        most: usize,
        random: &Random,
    ) -> Self {
        let path = |name: &str| Path::from(prefix).join("jobs").join(name);
        Self {
            jobs: Document::new(
                Arc::clone(store),
                path("state.json"),
                patience,
                Arc::clone(random),
            ),
            notes: Document::new(
                Arc::clone(store),
                path("notes.json"),
                patience,
                Arc::clone(random),
            ),
            archive: Archive::new(most),
            chunks: Chunks::new(most),
        }
    }

    async fn enqueue(&self, job: NewJob, now: OffsetDateTime, max_queued: usize) -> Result<Job, QueueError> {
        loop {
            let (segments, ended) = self.archive.ended(&self.jobs).await?;
            let is_taken = ended.iter().any(|(ended, _)| ended.id == job.id);
            let queued = self.jobs.change(|state| {
                if state.segments != segments {
                    return Ok(Change::Keep(None)); // among those may be one of that id
                }
                if is_taken {
                    return Err(QueueError::Duplicate(job.id.clone()));
                }
                let job = state.table.enqueue(job.clone(), now, max_queued)?;
                Ok(Change::Write(Some(job)))
            });
            if let Some(job) = queued.await? {
                return Ok(job);
            }
        }
    }

    async fn claim(&self, worker: &str, lane: &str, now: OffsetDateTime) -> Result<Option<Job>, QueueError> {
        self.jobs
            .change(|state| {
                Ok(match state.table.claim(worker, lane, now) {
                    None => Change::Keep(None),
                    claimed => Change::Write(claimed),
                })
            })
            .await
    }

    async fn renew(&self, id: &str, worker: &str, now: OffsetDateTime) -> Result<Job, QueueError> {
        self.unless_ended_long_ago(id, |state| state.table.renew(id, worker, now).map(Change::Write))
            .await?
            .ok_or_else(|| QueueError::NotHeld {
                id: id.to_owned(),
                worker: worker.to_owned(),
            })
    }

    async fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
        let to = outcome.state;
        let finish = |state: &mut State| state.table.finish(id, outcome.clone(), now).map(Change::Write);
        if self.unless_ended_long_ago(id, finish).await?.is_none() {
            return self.is_illegal(id, to).await;
        }
        self.move_ended().await;
        Ok(())
    }

    async fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<JobState, QueueError> {
        let cancel = |state: &mut State| state.table.cancel(id, now).map(Change::Write);
        match self.unless_ended_long_ago(id, cancel).await? {
            Some(state) => {
                self.move_ended().await;
                Ok(state)
            }
            None => self.is_illegal(id, JobState::Canceled).await,
        }
    }

    async fn recover(
        &self,
        worker: &str,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Vec<Job>, QueueError> {
        let recover = |state: &mut State| {
            let cut = state.table.recover(worker, lapsed_before, now);
            Ok(if cut.is_empty() {
                Change::Keep(cut)
            } else {
                Change::Write(cut)
            })
        };
        let cut = self.jobs.change(recover).await?;
        self.move_ended().await;
        Ok(cut)
    }

    async fn get(&self, id: &str) -> Result<Option<Job>, QueueError> {
        let state = self.jobs.read().await?;
        match state.table.find(id) {
            Some(job) => Ok(Some(job.clone())),
            None => self.archive.get(&self.jobs, id).await,
        }
    }

    async fn greatest_id(&self, kind: &str) -> Result<Option<String>, QueueError> {
        let state = self.jobs.read().await?;
        let (_, ended) = self.archive.ended(&self.jobs).await?;
        let ended = ended.into_iter().map(|(ended, _)| ended);
        let ended = ended.filter(|ended| ended.kind == kind).map(|ended| ended.id);
        Ok(ended.max().max(state.table.greatest_id(kind).map(str::to_owned)))
    }

    /// Changes a job; `None` if it has ended and was moved.
    async fn unless_ended_long_ago<R>(
        &self,
        id: &str,
        mut change: impl FnMut(&mut State) -> Result<Change<R>, QueueError>,
    ) -> Result<Option<R>, QueueError> {
        let changed = self.jobs.change(&mut change).await;
        if let Err(QueueError::NotFound(_)) = changed {
            let (_, ended) = self.archive.ended(&self.jobs).await?;
            if ended.iter().any(|(ended, _)| ended.id == id) {
                return Ok(None);
            }
        }
        changed.map(Some)
    }

    async fn is_illegal<R>(&self, id: &str, to: JobState) -> Result<R, QueueError> {
        let job = self.get(id).await?;
        let job = job.ok_or_else(|| QueueError::NotFound(id.to_owned()))?;
        Err(QueueError::Illegal {
            id: id.to_owned(),
            from: job.state,
            to,
        })
    }

    /// What was done stays done where this fails; the next one that ends tries again.
    async fn move_ended(&self) {
        if let Err(error) = self.archive.move_ended(&self.jobs).await {
            log::warn!("ended jobs stay among those that have not: {error}");
        }
    }
}

impl JobStore for ObjectJobs {
    fn enqueue(&self, job: NewJob, now: OffsetDateTime, max_queued: usize) -> Result<Job, QueueError> {
        let now = whole_millis(now);
        self.wait_for(|shared| async move { shared.enqueue(job, now, max_queued).await })
    }

    fn claim(&self, worker: &str, lane: &str, now: OffsetDateTime) -> Result<Option<Job>, QueueError> {
        let (worker, lane, now) = (worker.to_owned(), lane.to_owned(), whole_millis(now));
        self.wait_for(|shared| async move { shared.claim(&worker, &lane, now).await })
    }

    fn renew(&self, id: &str, worker: &str, now: OffsetDateTime) -> Result<Job, QueueError> {
        let (id, worker, now) = (id.to_owned(), worker.to_owned(), whole_millis(now));
        self.wait_for(|shared| async move { shared.renew(&id, &worker, now).await })
    }

    fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
        let (id, now) = (id.to_owned(), whole_millis(now));
        self.wait_for(|shared| async move { shared.finish(&id, outcome, now).await })
    }

    fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<JobState, QueueError> {
        let (id, now) = (id.to_owned(), whole_millis(now));
        self.wait_for(|shared| async move { shared.cancel(&id, now).await })
    }

    fn get(&self, id: &str) -> Result<Option<Job>, QueueError> {
        let id = id.to_owned();
        self.wait_for(|shared| async move { shared.get(&id).await })
    }

    fn list(&self, offset: usize, limit: usize) -> Result<Listed, QueueError> {
        self.wait_for(move |shared| async move { shared.archive.list(&shared.jobs, offset, limit).await })
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        self.wait_for(|shared| async move { Ok(shared.jobs.read().await?.table.counts()) })
    }

    fn greatest_id(&self, kind: &str) -> Result<Option<String>, QueueError> {
        let kind = kind.to_owned();
        self.wait_for(|shared| async move { shared.greatest_id(&kind).await })
    }

    fn is_needed(&self, name: &str) -> Result<bool, QueueError> {
        let name = name.to_owned();
        self.wait_for(|shared| async move { Ok(shared.jobs.read().await?.table.is_needed(&name)) })
    }

    fn cut_off(&self, worker: &str, lapsed_before: Option<OffsetDateTime>) -> Result<Vec<Job>, QueueError> {
        let worker = worker.to_owned();
        self.wait_for(move |shared| async move {
            Ok(shared.jobs.read().await?.table.cut_off(&worker, lapsed_before))
        })
    }

    fn recover(
        &self,
        worker: &str,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Vec<Job>, QueueError> {
        let (worker, now) = (worker.to_owned(), whole_millis(now));
        self.wait_for(|shared| async move { shared.recover(&worker, lapsed_before, now).await })
    }

    fn unreadable(&self) -> Result<Vec<String>, QueueError> {
        Ok(Vec::new()) // all are read together, or none
    }

    fn prune(&self, keep: usize) -> Result<usize, QueueError> {
        self.wait_for(|shared| async move { shared.archive.prune(&shared.jobs, keep).await })
    }

    fn put_notes(&self, notes: &[Note]) -> Result<(), QueueError> {
        let notes = notes.to_vec();
        self.wait_for(|shared| async move { shared.chunks.put(&shared.notes, &notes).await })
    }

    fn drop_notes(&self, job: &str, keys: &[String]) -> Result<(), QueueError> {
        let (job, keys) = (job.to_owned(), keys.to_vec());
        self.wait_for(|shared| async move { shared.chunks.drop(&shared.notes, &job, &keys).await })
    }

    fn notes(&self) -> Result<Vec<Note>, QueueError> {
        self.wait_for(|shared| async move { shared.chunks.all(&shared.notes).await })
    }
}
