//! Which jobs are to be told of once they have ended, noted with the jobs; and how much is owed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use health_metrics::Webhook;
use job_queue::{Job, JobStore, Note, QueueError};
use time::OffsetDateTime;

use crate::lock::lock;

/// Notes of jobs whose end is to be told.
pub(crate) const JOB: &str = "news";

/// Notes the jobs whose end is to be told, whatever becomes of this process.
pub(crate) struct Owed {
    jobs: Arc<dyn JobStore>,
    /// Whether anybody is to be told.
    keeps: bool,
    /// Those that could not be noted yet.
    unnoted: Mutex<BTreeSet<String>>,
    debt: Mutex<Debt>,
}

/// How much is owed, as far as whoever tells it has looked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Debt {
    pub(crate) events: usize,
    /// Since when the oldest is.
    pub(crate) since: Option<OffsetDateTime>,
}

impl Owed {
    pub(crate) fn new(jobs: Arc<dyn JobStore>, keeps: bool) -> Self {
        Self {
            jobs,
            keeps,
            unnoted: Mutex::default(),
            debt: Mutex::default(),
        }
    }

    pub(crate) fn set_debt(&self, debt: Debt) {
        *lock(&self.debt) = debt;
    }

    /// What is owed at `now`; `None` where nobody is to be told.
    pub(crate) fn debt(&self, now: OffsetDateTime) -> Option<Webhook> {
        let Debt { events, since } = *lock(&self.debt);
        self.keeps.then(|| Webhook {
            owed: events as u64,
            // A clock that was set back makes nothing old.
            oldest: since.map(|since| Duration::try_from(now - since).unwrap_or_default()),
        })
    }

    /// The ends of `jobs` are to be told. Where that cannot be noted it is tried again with the next one, and by [`note`](Self::note).
    pub(crate) fn owe(&self, jobs: impl IntoIterator<Item = String>) -> Result<(), QueueError> {
        if self.keeps {
            lock(&self.unnoted).extend(jobs);
        }
        self.note()
    }

    /// Fails what was cut off, as [`JobStore::recover`] does, and returns it. That it is to be told is noted before: a process that ends in between, or could note
    /// nothing when the job began, costs no event.
    pub(crate) fn recover(
        &self,
        worker: &str,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Vec<Job>, QueueError> {
        let cut = self.jobs.cut_off(worker, lapsed_before)?;
        if cut.is_empty() {
            return Ok(cut);
        }
        self.owe(cut.into_iter().map(|job| job.id))?;
        self.jobs.recover(worker, lapsed_before, now)
    }

    /// Notes what could not be noted before.
    pub(crate) fn note(&self) -> Result<(), QueueError> {
        let unnoted = lock(&self.unnoted).clone();
        if unnoted.is_empty() {
            return Ok(());
        }
        let notes: Vec<_> = unnoted.iter().map(|job| Note::new(job, JOB, "")).collect();
        self.jobs.put_notes(&notes)?;
        lock(&self.unnoted).retain(|job| !unnoted.contains(job));
        Ok(())
    }
}
