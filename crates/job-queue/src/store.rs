//! The contract of a place for jobs.

use time::OffsetDateTime;

use crate::{Job, JobState, NewJob, Note, Outcome, QueueError};

/// How many jobs are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Jobs that wait.
    pub queued: usize,
    /// Those of them that the schedule asked for.
    pub queued_by_schedule: usize,
    /// Jobs that are being done.
    pub processing: usize,
    /// When the oldest job that waits was queued.
    pub oldest_queued_at: Option<OffsetDateTime>,
}

/// Some of the jobs of a store.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Listed {
    /// How many jobs the store has, ended ones included.
    pub total: usize,
    /// Those that were asked for, the one that was queued last first.
    pub jobs: Vec<Job>,
}

impl Listed {
    /// These of `total`.
    #[must_use]
    pub const fn new(total: usize, jobs: Vec<Job>) -> Self {
        Self { total, jobs }
    }
}

/// Where jobs are kept. Every call blocks; call it where that is fine. Calls may come from many threads and, where a store
/// can be opened by several processes, from all of them: the rules hold for all together.
///
/// The functions of the module `conformance` (a feature) check these rules:
///
/// - **Whole or not at all.** A call takes effect wholly and, in a durable store, is on disk before it returns; or it
///   returns an error and changes nothing. Only after [`QueueError::Storage`] it may have been done all the same.
/// - **What is told is kept.** A job is returned as it was queued and as it ended; times at least to the millisecond.
/// - **First in, first out.** In each lane, jobs are claimed in the order in which `enqueue` took them, whatever their ids
///   and times.
/// - **Lanes are apart, and each does one job at a time.** While a job of a lane is Processing, whoever has it, no other job
///   of the lane is claimed.
/// - **No two claims get the same job**, now or ever: a job that was cut off is failed, and never queued again.
/// - **Only legal steps.** A job moves as [`JobState::may_become`] says.
/// - **Needs last until the end.** [`is_needed`](Self::is_needed) counts jobs that wait or are being done.
/// - **The bound holds** for the jobs that wait in a lane, whatever waits in others.
/// - **Claims are renewed by who has them**, and by nobody else.
/// - **Recovery fails what was cut off**, and nothing that somebody else does.
/// - **A job that is being done is called off by its worker**: the store only tells it.
/// - **Lists begin with the job that was queued last**, whatever became of it.
/// - **Pruning keeps the newest**, what has not ended, and the greatest id of each kind.
/// - **Notes outlast their jobs**, until they are dropped.
///
/// Ids, kinds, lanes, workers, needs and keys are any text, and are compared byte by byte. Kinds and payloads mean nothing to a
/// store. A **worker** is a name of who does jobs, one at a time; no two that live have the same.
pub trait JobStore: Send + Sync {
    /// Queues a job.
    ///
    /// # Errors
    /// [`QueueError::Duplicate`], also if a job of that id has ended and is still there; [`QueueError::Full`] if
    /// `max_queued` jobs wait in its lane already; [`QueueError::Storage`].
    fn enqueue(&self, job: NewJob, now: OffsetDateTime, max_queued: usize) -> Result<Job, QueueError>;

    /// Takes the job of `lane` that was queued first and makes it Processing, in the hands of `worker`, unless one of the lane
    /// is Processing. A record that cannot be read is failed and passed over.
    ///
    /// # Errors
    /// [`QueueError::Storage`]: the worker may have a job then that it does not know of, and calls
    /// [`recover`](Self::recover) before it claims again.
    fn claim(&self, worker: &str, lane: &str, now: OffsetDateTime) -> Result<Option<Job>, QueueError>;

    /// Says that `worker` is alive and still does the job, and returns the job, whose
    /// [`cancel_requested`](Job::cancel_requested) tells whether it is to stop. To be called now and then where
    /// others may give it up for lost.
    ///
    /// # Errors
    /// [`QueueError::NotFound`]; [`QueueError::NotHeld`] if it is not Processing, or is somebody else's: the work is to stop
    /// then; [`QueueError::Storage`].
    fn renew(&self, id: &str, worker: &str, now: OffsetDateTime) -> Result<Job, QueueError>;

    /// Ends a job that is Processing. Who does is not asked, as only one ever claimed it.
    ///
    /// # Errors
    /// [`QueueError::NotFound`]; [`QueueError::Illegal`], also if the outcome's state is not final;
    /// [`QueueError::Storage`].
    fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError>;

    /// Calls off a job. One that waits is [Canceled](Outcome::canceled_waiting). One that is Processing stays so, with
    /// [`cancel_requested`](Job::cancel_requested) set; its worker ends it, as Canceled or otherwise. Returns the
    /// state that it then is in.
    ///
    /// # Errors
    /// [`QueueError::NotFound`], [`QueueError::Illegal`] if it has ended, [`QueueError::Storage`].
    fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<JobState, QueueError>;

    /// A job. One whose record cannot be read is Failed, with what can be told of it.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn get(&self, id: &str) -> Result<Option<Job>, QueueError>;

    /// `limit` jobs of all lanes after the first `offset`, from the one that was queued last to the first. Ended ones are among them
    /// as long as they are kept, and those whose records cannot be read, as [`get`](Self::get) tells them.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn list(&self, offset: usize, limit: usize) -> Result<Listed, QueueError>;

    /// How many jobs are where, in all lanes.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn counts(&self) -> Result<Counts, QueueError>;

    /// The greatest id of a kind of job, ended ones included.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn greatest_id(&self, kind: &str) -> Result<Option<String>, QueueError>;

    /// Whether a job that waits or is being done has `name` among its [`needs`](Job::needs).
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn is_needed(&self, name: &str) -> Result<bool, QueueError>;

    /// The jobs that [`recover`](Self::recover) would fail now.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn cut_off(&self, worker: &str, lapsed_before: Option<OffsetDateTime>) -> Result<Vec<Job>, QueueError>;

    /// Fails, with the message [`INTERRUPTED`], every job of any lane that is Processing and that `worker` has, or nobody whose
    /// name is known; and those whose claims were made or renewed last before `lapsed_before`, if that is given.
    /// Returns them. To be called by a worker that does nothing, before its first [`claim`](Self::claim).
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn recover(
        &self,
        worker: &str,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Vec<Job>, QueueError>;

    /// Jobs whose record cannot be read, named, and why: the newest 20. They are Failed.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn unreadable(&self) -> Result<Vec<String>, QueueError>;

    /// Drops the oldest ended jobs beyond the newest `keep`, by the order in which they were queued, and returns how many. The
    /// job with the greatest id of its kind stays.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn prune(&self, keep: usize) -> Result<usize, QueueError>;

    /// Keeps notes, all or none of them, in place of earlier ones with the same job and key. Whether the store has the jobs is
    /// not asked.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn put_notes(&self, notes: &[Note]) -> Result<(), QueueError>;

    /// Drops the notes of a job about `keys`, all or none of them. Those that are not there are of no consequence.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn drop_notes(&self, job: &str, keys: &[String]) -> Result<(), QueueError>;

    /// All notes, by job and key.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn notes(&self) -> Result<Vec<Note>, QueueError>;
}

/// The message of a job that was cut off, as [`JobStore::recover`] fails it.
pub const INTERRUPTED: &str = "interrupted";

/// That a job that is Processing may end so.
pub(crate) fn check_end(id: &str, from: JobState, to: JobState) -> Result<(), QueueError> {
    if from == JobState::Processing && from.may_become(to) {
        return Ok(());
    }
    Err(QueueError::Illegal {
        id: id.to_owned(),
        from,
        to,
    })
}

/// What a job becomes that is called off: it is Canceled, or stays Processing and its worker is told.
pub(crate) fn check_cancel(id: &str, from: JobState) -> Result<JobState, QueueError> {
    match from {
        JobState::Queued => Ok(JobState::Canceled),
        JobState::Processing => Ok(JobState::Processing),
        JobState::Successful | JobState::Failed | JobState::Canceled => Err(QueueError::Illegal {
            id: id.to_owned(),
            from,
            to: JobState::Canceled,
        }),
    }
}
