//! Why a store did not do what it was asked.

use std::error::Error;

use crate::JobState;

/// Why a store did not do what it was asked. Nothing was changed, but for [`Storage`](Self::Storage).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// As many jobs of a lane wait as may. One will have ended later.
    #[error("{0} jobs are queued already, and no more may wait")]
    Full(usize),
    /// The id was used before, perhaps by the same call, if its answer was lost.
    #[error("job {0} exists already")]
    Duplicate(String),
    /// There is no such job.
    #[error("job {0} not found")]
    NotFound(String),
    /// The state the job is in does not allow it.
    #[error("job {id} is {from} and cannot become {to}")]
    Illegal {
        /// The job.
        id: String,
        /// Its state.
        from: JobState,
        /// The state asked for.
        to: JobState,
    },
    /// The worker has not claimed the job, or has lost it: it ended, or was given up for lost.
    #[error("job {id} is not being done by {worker}")]
    NotHeld {
        /// The job.
        id: String,
        /// Who asked.
        worker: String,
    },
    /// What is stored was written by a newer program.
    #[error("the job database has version {0}, which this program does not know")]
    Newer(i64),
    /// The storage below failed; the cause is the source. Whether the call was done is not known: its answer may have
    /// been lost. The message tells the cause as well.
    #[error("the job database failed: {0}")]
    Storage(#[source] Box<dyn Error + Send + Sync>),
}

impl QueueError {
    /// A [`Storage`](Self::Storage) error with its cause: an error, or a text.
    #[must_use]
    pub fn storage(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Storage(cause.into())
    }

    /// Whether the same call may be done later with nothing else done about it: once another job has ended, or the storage
    /// is back.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Full(_) | Self::Storage(_) => true,
            Self::Duplicate(_)
            | Self::NotFound(_)
            | Self::Illegal { .. }
            | Self::NotHeld { .. }
            | Self::Newer(_) => false,
        }
    }
}
