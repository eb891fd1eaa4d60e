//! Jobs in the order in which they were queued, and what the calls of a store do to them. No I/O.

use std::collections::{BTreeMap, HashMap};

use time::OffsetDateTime;

use crate::store::{INTERRUPTED, check_cancel, check_end};
use crate::{Counts, Job, JobState, NewJob, Outcome, QueueError};

/// All jobs, by the order in which they were queued.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct JobTable {
    /// The place of the next one.
    pub(crate) next: u64,
    pub(crate) jobs: BTreeMap<u64, Job>,
}

/// A job that has ended, as far as pruning asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) place: u64,
    pub(crate) id: String,
    pub(crate) kind: String,
}

impl JobTable {
    pub(crate) fn find(&self, id: &str) -> Option<&Job> {
        self.jobs.values().find(|job| job.id == id)
    }

    fn find_mut(&mut self, id: &str) -> Result<&mut Job, QueueError> {
        let found = self.jobs.values_mut().find(|job| job.id == id);
        found.ok_or_else(|| QueueError::NotFound(id.to_owned()))
    }

    fn in_state(&self, state: JobState) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(move |job| job.state == state)
    }

    pub(crate) fn enqueue(
        &mut self,
        job: NewJob,
        now: OffsetDateTime,
        max_queued: usize,
    ) -> Result<Job, QueueError> {
        if self.find(&job.id).is_some() {
            return Err(QueueError::Duplicate(job.id));
        }
        let queued = self.in_state(JobState::Queued);
        let queued = queued.filter(|queued| queued.lane == job.lane).count();
        if queued >= max_queued {
            return Err(QueueError::Full(queued));
        }
        let job = Job::queued(job, now);
        self.jobs.insert(self.next, job.clone());
        self.next += 1;
        Ok(job)
    }

    pub(crate) fn claim(&mut self, worker: &str, lane: &str, now: OffsetDateTime) -> Option<Job> {
        if self.in_state(JobState::Processing).any(|job| job.lane == lane) {
            return None;
        }
        let mut jobs = self.jobs.values_mut();
        let job = jobs.find(|job| job.lane == lane && job.state == JobState::Queued)?;
        job.state = JobState::Processing;
        job.worker = Some(worker.to_owned());
        (job.started_at, job.renewed_at) = (Some(now), Some(now));
        Some(job.clone())
    }

    pub(crate) fn renew(&mut self, id: &str, worker: &str, now: OffsetDateTime) -> Result<Job, QueueError> {
        let job = self.find_mut(id)?;
        if job.state != JobState::Processing || job.worker.as_deref() != Some(worker) {
            return Err(QueueError::NotHeld {
                id: id.to_owned(),
                worker: worker.to_owned(),
            });
        }
        job.renewed_at = Some(now);
        Ok(job.clone())
    }

    pub(crate) fn finish(
        &mut self,
        id: &str,
        outcome: Outcome,
        now: OffsetDateTime,
    ) -> Result<(), QueueError> {
        let job = self.find_mut(id)?;
        check_end(id, job.state, outcome.state)?;
        end(job, outcome, now);
        Ok(())
    }

    pub(crate) fn cancel(&mut self, id: &str, now: OffsetDateTime) -> Result<JobState, QueueError> {
        let job = self.find_mut(id)?;
        let next = check_cancel(id, job.state)?;
        if next == JobState::Canceled {
            end(job, Outcome::canceled_waiting(), now);
        } else {
            job.cancel_requested = true;
        }
        Ok(next)
    }

    pub(crate) fn counts(&self) -> Counts {
        let queued = || self.in_state(JobState::Queued);
        Counts {
            queued: queued().count(),
            queued_by_schedule: queued().filter(|job| job.scheduled).count(),
            processing: self.in_state(JobState::Processing).count(),
            oldest_queued_at: queued().map(|job| job.created_at).min(),
        }
    }

    pub(crate) fn greatest_id(&self, kind: &str) -> Option<&str> {
        let ids = self.jobs.values().filter(|job| job.kind == kind);
        ids.map(|job| &*job.id).max()
    }

    pub(crate) fn is_needed(&self, name: &str) -> bool {
        let needs = |job: &Job| !job.state.is_final() && job.needs.iter().any(|need| need == name);
        self.jobs.values().any(needs)
    }

    pub(crate) fn cut_off(&self, worker: &str, lapsed_before: Option<OffsetDateTime>) -> Vec<Job> {
        let jobs = self.jobs.values();
        let cut = jobs.filter(|job| is_cut(job, worker, lapsed_before));
        cut.cloned().collect()
    }

    pub(crate) fn recover(
        &mut self,
        worker: &str,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Vec<Job> {
        let jobs = self.jobs.values_mut();
        let cut = jobs.filter(|job| is_cut(job, worker, lapsed_before));
        cut.map(|job| {
            end(job, Outcome::failure(INTERRUPTED), now);
            job.clone()
        })
        .collect()
    }

    /// The places of the oldest ended jobs beyond the newest `keep`, but for the greatest id of each kind. `elsewhere` are those
    /// that have ended and are kept elsewhere.
    pub(crate) fn to_prune(&self, elsewhere: &[Ended], keep: usize) -> Vec<u64> {
        let here = self
            .jobs
            .iter()
            .map(|(place, job)| (*place, &*job.kind, &*job.id, job.state.is_final()));
        let there = elsewhere
            .iter()
            .map(|ended| (ended.place, &*ended.kind, &*ended.id, true));
        let mut all: Vec<_> = here.chain(there).collect();
        all.sort_unstable();
        let mut greatest: HashMap<&str, &str> = HashMap::new();
        for (_, kind, id, _) in &all {
            let known = greatest.entry(kind).or_default();
            *known = (*known).max(id);
        }
        all.retain(|(.., ended)| *ended);
        all.truncate(all.len().saturating_sub(keep));
        let passing = all
            .iter()
            .filter(|(_, kind, id, _)| greatest.get(kind) != Some(id));
        passing.map(|(place, ..)| *place).collect()
    }
}

/// Whether nobody does it any more, as far as `worker` can tell.
fn is_cut(job: &Job, worker: &str, lapsed_before: Option<OffsetDateTime>) -> bool {
    let lapsed = lapsed_before.is_some_and(|before| job.renewed_at.is_some_and(|then| then < before));
    let own = job.worker.as_deref().is_none_or(|whose| whose == worker);
    job.state == JobState::Processing && (own || lapsed)
}

fn end(job: &mut Job, outcome: Outcome, now: OffsetDateTime) {
    job.state = outcome.state;
    job.message = outcome.message;
    job.log_tail = outcome.log_tail;
    job.result = outcome.result;
    job.finished_at = Some(now);
}
