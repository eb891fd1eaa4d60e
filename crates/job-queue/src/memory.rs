use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use crate::store::{INTERRUPTED, check};
use crate::{Counts, Job, JobKind, JobState, JobStore, NewJob, Outcome, QueueError};

/// Jobs in memory, for embedding and tests. They end with the store.
#[derive(Debug, Default)]
pub struct MemoryJobs(Mutex<Vec<Job>>);

impl MemoryJobs {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find<'a>(jobs: &'a mut [Job], id: &str) -> Result<&'a mut Job, QueueError> {
    jobs.iter_mut()
        .find(|job| job.id == id)
        .ok_or_else(|| QueueError::NotFound(id.to_owned()))
}

fn end(job: &mut Job, outcome: Outcome, now: OffsetDateTime) {
    job.state = outcome.state;
    job.message = outcome.message;
    job.log_tail = outcome.log_tail;
    job.result = outcome.result;
    job.finished_at = Some(now);
}

impl JobStore for MemoryJobs {
    fn enqueue(&self, job: NewJob, now: OffsetDateTime, max_queued: usize) -> Result<Job, QueueError> {
        let mut jobs = self.lock();
        if jobs.iter().any(|old| old.id == job.id) {
            return Err(QueueError::Duplicate(job.id));
        }
        let queued = jobs.iter().filter(|job| job.state == JobState::Queued).count();
        if queued >= max_queued {
            return Err(QueueError::Full(queued));
        }
        let job = Job::queued(job, now);
        jobs.push(job.clone());
        Ok(job)
    }

    fn claim(&self, now: OffsetDateTime) -> Result<Option<Job>, QueueError> {
        let mut jobs = self.lock();
        Ok(jobs
            .iter_mut()
            .find(|job| job.state == JobState::Queued)
            .map(|job| {
                job.state = JobState::Processing;
                job.started_at = Some(now);
                job.clone()
            }))
    }

    fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
        let mut jobs = self.lock();
        let job = find(&mut jobs, id)?;
        if job.state != JobState::Processing {
            return Err(QueueError::Illegal {
                id: id.to_owned(),
                from: job.state,
                to: outcome.state,
            });
        }
        check(id, job.state, outcome.state)?;
        end(job, outcome, now);
        Ok(())
    }

    fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<(), QueueError> {
        let mut jobs = self.lock();
        let job = find(&mut jobs, id)?;
        if job.state != JobState::Queued {
            return Err(QueueError::Illegal {
                id: id.to_owned(),
                from: job.state,
                to: JobState::Canceled,
            });
        }
        job.state = JobState::Canceled;
        job.finished_at = Some(now);
        Ok(())
    }

    fn get(&self, id: &str) -> Result<Option<Job>, QueueError> {
        Ok(self.lock().iter().find(|job| job.id == id).cloned())
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        let jobs = self.lock();
        let queued = || jobs.iter().filter(|job| job.state == JobState::Queued);
        Ok(Counts {
            queued: queued().count(),
            queued_by_schedule: queued().filter(|job| job.scheduled).count(),
            processing: jobs
                .iter()
                .filter(|job| job.state == JobState::Processing)
                .count(),
            oldest_queued_at: queued().map(|job| job.created_at).min(),
        })
    }

    fn greatest_id(&self, kind: JobKind) -> Result<Option<String>, QueueError> {
        Ok(self
            .lock()
            .iter()
            .filter(|job| job.kind == kind)
            .map(|job| job.id.clone())
            .max())
    }

    fn is_to_be_restored(&self, vault: &str) -> Result<bool, QueueError> {
        let restores =
            |job: &Job| job.kind == JobKind::Restore && job.vault == vault && !job.state.is_final();
        Ok(self.lock().iter().any(restores))
    }

    fn recover(&self, now: OffsetDateTime) -> Result<Vec<Job>, QueueError> {
        let mut jobs = self.lock();
        let cut = jobs.iter_mut().filter(|job| job.state == JobState::Processing);
        Ok(cut
            .map(|job| {
                end(job, Outcome::failure(INTERRUPTED), now);
                job.clone()
            })
            .collect())
    }

    fn unreadable(&self) -> Result<Vec<String>, QueueError> {
        Ok(Vec::new())
    }

    fn prune(&self, keep: usize) -> Result<usize, QueueError> {
        let greatest = [
            self.greatest_id(JobKind::Backup)?,
            self.greatest_id(JobKind::Restore)?,
        ];
        let mut jobs = self.lock();
        let before = jobs.len();
        let finished = jobs.iter().filter(|job| job.state.is_final()).count();
        let mut over = finished.saturating_sub(keep);
        jobs.retain(|job| {
            let drop = over > 0 && job.state.is_final();
            over -= usize::from(drop);
            !drop || greatest.iter().flatten().any(|id| *id == job.id)
        });
        Ok(before - jobs.len())
    }
}
