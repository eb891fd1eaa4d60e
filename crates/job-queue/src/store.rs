use time::OffsetDateTime;

use crate::{Job, JobKind, JobState, NewJob, Outcome};

/// Why a store did not do what it was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// As many jobs wait as may.
    #[error("{0} jobs are queued already, and no more may wait")]
    Full(usize),
    /// The id was used before.
    #[error("job {0} exists already")]
    Duplicate(String),
    /// There is no such job.
    #[error("job {0} not found")]
    NotFound(String),
    /// The state the job is in does not allow it.
    #[error("job {id} is {from:?} and cannot become {to:?}")]
    Illegal {
        /// The job.
        id: String,
        /// Its state.
        from: JobState,
        /// The state asked for.
        to: JobState,
    },
    /// The database was written by a newer program.
    #[error("the job database has version {0}, which this program does not know")]
    Newer(i64),
    /// The storage below failed.
    #[error("the job database failed: {0}")]
    Storage(String),
}

/// How many jobs are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// Where jobs are kept. Every call blocks, and is atomic: it takes effect wholly and, in a durable store, is on
/// disk before it returns, or it returns an error and changes nothing. Calls may come from many threads.
///
/// A job moves only along Queued → Processing → Successful, Failed or Canceled, and Queued → Canceled. Times are
/// kept to the millisecond.
pub trait JobStore: Send + Sync {
    /// Queues a job.
    ///
    /// # Errors
    /// [`QueueError::Full`] if `max_queued` jobs wait already, [`QueueError::Duplicate`], [`QueueError::Storage`].
    fn enqueue(&self, job: NewJob, now: OffsetDateTime, max_queued: usize) -> Result<Job, QueueError>;

    /// Takes the job that was queued first and makes it Processing. No two calls get the same one.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn claim(&self, now: OffsetDateTime) -> Result<Option<Job>, QueueError>;

    /// Ends a job that is Processing.
    ///
    /// # Errors
    /// [`QueueError::NotFound`]; [`QueueError::Illegal`], also if the outcome's state is not final;
    /// [`QueueError::Storage`].
    fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError>;

    /// Calls off a job that waits.
    ///
    /// # Errors
    /// [`QueueError::NotFound`], [`QueueError::Illegal`] if it does not wait, [`QueueError::Storage`].
    fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<(), QueueError>;

    /// A job.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn get(&self, id: &str) -> Result<Option<Job>, QueueError>;

    /// How many jobs are where.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn counts(&self) -> Result<Counts, QueueError>;

    /// The greatest id of a kind of job, compared byte by byte.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn greatest_id(&self, kind: JobKind) -> Result<Option<String>, QueueError>;

    /// Whether a restore of `vault` waits or is being done.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn is_to_be_restored(&self, vault: &str) -> Result<bool, QueueError>;

    /// Fails every job that is Processing, with the message "interrupted": to be called before the first
    /// [`claim`](Self::claim) after a start. Returns them.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn recover(&self, now: OffsetDateTime) -> Result<Vec<Job>, QueueError>;

    /// Jobs whose record cannot be read, named, and why: the newest 20. They are Failed.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn unreadable(&self) -> Result<Vec<String>, QueueError>;

    /// Drops the oldest finished jobs beyond the newest `keep`, and returns how many. The job with the greatest
    /// id of its kind stays.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    fn prune(&self, keep: usize) -> Result<usize, QueueError>;
}

pub(crate) const INTERRUPTED: &str = "interrupted";

/// The states that `from` may move to.
pub(crate) fn check(id: &str, from: JobState, to: JobState) -> Result<(), QueueError> {
    let legal = match from {
        JobState::Queued => matches!(to, JobState::Processing | JobState::Canceled),
        JobState::Processing => to.is_final(),
        JobState::Successful | JobState::Failed | JobState::Canceled => false,
    };
    if legal {
        Ok(())
    } else {
        Err(QueueError::Illegal {
            id: id.to_owned(),
            from,
            to,
        })
    }
}
