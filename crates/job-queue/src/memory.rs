//! Jobs in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use crate::store::{INTERRUPTED, check_cancel, check_end};
use crate::{Counts, Job, JobState, JobStore, Listed, NewJob, Note, Outcome, QueueError};

/// Jobs in memory, for embedding and tests. They end with the store.
#[derive(Debug, Default)]
pub struct MemoryJobs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    jobs: Vec<Job>,
    /// Values by job and key.
    notes: BTreeMap<(String, String), String>,
}

impl MemoryJobs {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&mut self, id: &str) -> Result<&mut Job, QueueError> {
        self.jobs
            .iter_mut()
            .find(|job| job.id == id)
            .ok_or_else(|| QueueError::NotFound(id.to_owned()))
    }

    fn count(&self, state: JobState) -> usize {
        self.jobs.iter().filter(|job| job.state == state).count()
    }
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
        let mut state = self.lock();
        if state.jobs.iter().any(|old| old.id == job.id) {
            return Err(QueueError::Duplicate(job.id));
        }
        let queued = state.count(JobState::Queued);
        if queued >= max_queued {
            return Err(QueueError::Full(queued));
        }
        let job = Job::queued(job, now);
        state.jobs.push(job.clone());
        Ok(job)
    }

    fn claim(&self, worker: &str, lane: &str, now: OffsetDateTime) -> Result<Option<Job>, QueueError> {
        let mut state = self.lock();
        let of_lane = || state.jobs.iter().filter(|job| job.lane == lane);
        if of_lane().any(|job| job.state == JobState::Processing) {
            return Ok(None);
        }
        let first = state
            .jobs
            .iter_mut()
            .find(|job| job.lane == lane && job.state == JobState::Queued);
        Ok(first.map(|job| {
            job.state = JobState::Processing;
            job.worker = Some(worker.to_owned());
            (job.started_at, job.renewed_at) = (Some(now), Some(now));
            job.clone()
        }))
    }

    fn renew(&self, id: &str, worker: &str, now: OffsetDateTime) -> Result<Job, QueueError> {
        let mut state = self.lock();
        let job = state.find(id)?;
        if job.state != JobState::Processing || job.worker.as_deref() != Some(worker) {
            return Err(QueueError::NotHeld {
                id: id.to_owned(),
                worker: worker.to_owned(),
            });
        }
        job.renewed_at = Some(now);
        Ok(job.clone())
    }

    fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
        let mut state = self.lock();
        let job = state.find(id)?;
        check_end(id, job.state, outcome.state)?;
        end(job, outcome, now);
        Ok(())
    }

    fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<JobState, QueueError> {
        let mut state = self.lock();
        let job = state.find(id)?;
        let next = check_cancel(id, job.state)?;
        if next == JobState::Canceled {
            end(job, Outcome::canceled(), now);
        } else {
            job.cancel_requested = true;
        }
        Ok(next)
    }

    fn get(&self, id: &str) -> Result<Option<Job>, QueueError> {
        Ok(self.lock().jobs.iter().find(|job| job.id == id).cloned())
    }

    fn list(&self, offset: usize, limit: usize) -> Result<Listed, QueueError> {
        let state = self.lock();
        let jobs = state.jobs.iter().rev().skip(offset).take(limit).cloned();
        Ok(Listed::new(state.jobs.len(), jobs.collect()))
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        let state = self.lock();
        let queued = || state.jobs.iter().filter(|job| job.state == JobState::Queued);
        Ok(Counts {
            queued: queued().count(),
            queued_by_schedule: queued().filter(|job| job.scheduled).count(),
            processing: state.count(JobState::Processing),
            oldest_queued_at: queued().map(|job| job.created_at).min(),
        })
    }

    fn greatest_id(&self, kind: &str) -> Result<Option<String>, QueueError> {
        let state = self.lock();
        let ids = state.jobs.iter().filter(|job| job.kind == kind);
        Ok(ids.map(|job| job.id.clone()).max())
    }

    fn is_needed(&self, name: &str) -> Result<bool, QueueError> {
        let needs = |job: &Job| !job.state.is_final() && job.needs.iter().any(|need| need == name);
        Ok(self.lock().jobs.iter().any(needs))
    }

    fn recover(
        &self,
        worker: &str,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Vec<Job>, QueueError> {
        let mut state = self.lock();
        let is_cut = |job: &&mut Job| {
            let lapsed = lapsed_before.is_some_and(|before| job.renewed_at.is_some_and(|then| then < before));
            let own = job.worker.as_deref().is_none_or(|whose| whose == worker);
            job.state == JobState::Processing && (own || lapsed)
        };
        let cut = state.jobs.iter_mut().filter(is_cut);
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
        let mut state = self.lock();
        let mut greatest: HashMap<String, String> = HashMap::new();
        for job in &state.jobs {
            let id = greatest.entry(job.kind.clone()).or_default();
            if job.id > *id {
                id.clone_from(&job.id);
            }
        }
        let before = state.jobs.len();
        let finished = state.jobs.iter().filter(|job| job.state.is_final()).count();
        let mut over = finished.saturating_sub(keep);
        state.jobs.retain(|job| {
            let drop = over > 0 && job.state.is_final();
            over -= usize::from(drop);
            !drop || greatest.get(&job.kind) == Some(&job.id)
        });
        Ok(before - state.jobs.len())
    }

    fn put_notes(&self, notes: &[Note]) -> Result<(), QueueError> {
        let with_key = |note: &Note| ((note.job.clone(), note.key.clone()), note.value.clone());
        self.lock().notes.extend(notes.iter().map(with_key));
        Ok(())
    }

    fn drop_notes(&self, job: &str, keys: &[String]) -> Result<(), QueueError> {
        let mut state = self.lock();
        for key in keys {
            state.notes.remove(&(job.to_owned(), key.clone()));
        }
        Ok(())
    }

    fn notes(&self) -> Result<Vec<Note>, QueueError> {
        let note = |((job, key), value): (&(String, String), &String)| Note::new(job, key, value);
        Ok(self.lock().notes.iter().map(note).collect())
    }
}
