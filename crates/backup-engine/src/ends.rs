//! How jobs have ended, while the store cannot note it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use job_queue::{Counts, Job, JobState, JobStore, Listed, NewJob, Note, Outcome, QueueError};
use time::OffsetDateTime;

use crate::lock::lock;

/// A store of jobs around another one, which tells of a job that has ended also while that could not be noted: on a full disk it would seem to be done for ever.
pub(crate) struct KnownEnds {
    store: Arc<dyn JobStore>,
    /// Those of jobs that the store has as being done.
    unnoted: Mutex<BTreeMap<String, End>>,
}

#[derive(Clone)]
struct End {
    outcome: Outcome,
    at: OffsetDateTime,
    /// Why it is not noted.
    why: String,
}

impl KnownEnds {
    pub(crate) fn new(store: Arc<dyn JobStore>) -> Self {
        Self {
            store,
            unnoted: Mutex::default(),
        }
    }

    /// These jobs have ended so, and it could not be noted.
    pub(crate) fn assume(&self, jobs: &[Job], outcome: &Outcome, at: OffsetDateTime, why: &QueueError) {
        let end = End {
            outcome: outcome.clone(),
            at,
            why: why.to_string(),
        };
        let ended = jobs.iter().map(|job| (job.id.clone(), end.clone()));
        lock(&self.unnoted).extend(ended);
    }

    /// Whether it is not noted yet how a job has ended.
    pub(crate) fn is_unnoted(&self, id: &str) -> bool {
        lock(&self.unnoted).contains_key(id)
    }

    /// The jobs of which it is not noted yet how they have ended, as far as is known.
    pub(crate) fn ids(&self) -> Vec<String> {
        lock(&self.unnoted).keys().cloned().collect()
    }

    /// Why it is not noted how a job has ended, of each.
    pub(crate) fn unnoted(&self) -> Vec<String> {
        let unnoted = lock(&self.unnoted);
        let told =
            |(id, end): (&String, &End)| format!("that job {id} has ended cannot be noted: {}", end.why);
        unnoted.iter().map(told).collect()
    }

    /// A job as it is, whatever the store has noted of it.
    fn known(&self, mut job: Job) -> Job {
        let mut unnoted = lock(&self.unnoted);
        if job.state != JobState::Processing {
            unnoted.remove(&job.id); // somebody has noted it
            return job;
        }
        if let Some(End { outcome, at, why }) = unnoted.get(&job.id).cloned() {
            let late = format!("that it has ended is not noted yet: {why}");
            job.state = outcome.state;
            job.message = Some(match outcome.message {
                None => late,
                Some(message) => format!("{message}; {late}"),
            });
            (job.log_tail, job.result) = (outcome.log_tail, outcome.result);
            job.finished_at = Some(at);
        }
        job
    }
}

impl JobStore for KnownEnds {
    fn enqueue(&self, job: NewJob, now: OffsetDateTime, max_queued: usize) -> Result<Job, QueueError> {
        self.store.enqueue(job, now, max_queued)
    }

    fn claim(&self, worker: &str, lane: &str, now: OffsetDateTime) -> Result<Option<Job>, QueueError> {
        self.store.claim(worker, lane, now)
    }

    fn renew(&self, id: &str, worker: &str, now: OffsetDateTime) -> Result<Job, QueueError> {
        self.store.renew(id, worker, now)
    }

    fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
        let noted = self.store.finish(id, outcome.clone(), now);
        let mut unnoted = lock(&self.unnoted);
        match &noted {
            Err(error) if error.may_pass() => {
                let end = End {
                    outcome,
                    at: now,
                    why: error.to_string(),
                };
                unnoted.insert(id.to_owned(), end);
            }
            _ => drop(unnoted.remove(id)),
        }
        drop(unnoted);
        noted
    }

    fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<JobState, QueueError> {
        match self.is_unnoted(id).then(|| self.get(id)).transpose()?.flatten() {
            Some(job) if job.state.is_final() => Err(QueueError::Illegal {
                id: job.id,
                from: job.state,
                to: JobState::Canceled,
            }),
            _ => self.store.cancel(id, now),
        }
    }

    fn get(&self, id: &str) -> Result<Option<Job>, QueueError> {
        Ok(self.store.get(id)?.map(|job| self.known(job)))
    }

    fn list(&self, offset: usize, limit: usize) -> Result<Listed, QueueError> {
        let mut listed = self.store.list(offset, limit)?;
        listed.jobs = listed.jobs.into_iter().map(|job| self.known(job)).collect();
        Ok(listed)
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        self.store.counts()
    }

    fn greatest_id(&self, kind: &str) -> Result<Option<String>, QueueError> {
        self.store.greatest_id(kind)
    }

    fn is_needed(&self, name: &str) -> Result<bool, QueueError> {
        let is_needed = self.store.is_needed(name)?;
        if !is_needed || lock(&self.unnoted).is_empty() {
            return Ok(is_needed);
        }
        // What a job needed that has ended may go.
        let jobs = self.list(0, usize::MAX)?.jobs;
        let needs = |job: &Job| !job.state.is_final() && job.needs.iter().any(|need| need == name);
        Ok(jobs.iter().any(needs))
    }

    fn cut_off(&self, worker: &str, lapsed_before: Option<OffsetDateTime>) -> Result<Vec<Job>, QueueError> {
        self.store.cut_off(worker, lapsed_before)
    }

    fn recover(
        &self,
        worker: &str,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Vec<Job>, QueueError> {
        let failed = self.store.recover(worker, lapsed_before, now)?;
        let mut unnoted = lock(&self.unnoted);
        for job in &failed {
            unnoted.remove(&job.id);
        }
        drop(unnoted);
        Ok(failed)
    }

    fn unreadable(&self) -> Result<Vec<String>, QueueError> {
        self.store.unreadable()
    }

    fn prune(&self, keep: usize) -> Result<usize, QueueError> {
        self.store.prune(keep)
    }

    fn put_notes(&self, notes: &[Note]) -> Result<(), QueueError> {
        self.store.put_notes(notes)
    }

    fn drop_notes(&self, job: &str, keys: &[String]) -> Result<(), QueueError> {
        self.store.drop_notes(job, keys)
    }

    fn notes(&self) -> Result<Vec<Note>, QueueError> {
        self.store.notes()
    }
}
