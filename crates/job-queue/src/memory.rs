//! Jobs in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use crate::table::JobTable;
use crate::{Counts, Job, JobState, JobStore, Listed, NewJob, Note, Outcome, QueueError};

/// Jobs in memory, for embedding and tests. They end with the store.
#[derive(Debug, Default)]
pub struct MemoryJobs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    table: JobTable,
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

impl JobStore for MemoryJobs {
    fn enqueue(&self, job: NewJob, now: OffsetDateTime, max_queued: usize) -> Result<Job, QueueError> {
        self.lock().table.enqueue(job, now, max_queued)
    }

    fn claim(&self, worker: &str, lane: &str, now: OffsetDateTime) -> Result<Option<Job>, QueueError> {
        Ok(self.lock().table.claim(worker, lane, now))
    }

    fn renew(&self, id: &str, worker: &str, now: OffsetDateTime) -> Result<Job, QueueError> {
        self.lock().table.renew(id, worker, now)
    }

    fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
        self.lock().table.finish(id, outcome, now)
    }

    fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<JobState, QueueError> {
        self.lock().table.cancel(id, now)
    }

    fn get(&self, id: &str) -> Result<Option<Job>, QueueError> {
        Ok(self.lock().table.find(id).cloned())
    }

    fn list(&self, offset: usize, limit: usize) -> Result<Listed, QueueError> {
        let state = self.lock();
        let jobs = state.table.jobs.values().rev().skip(offset).take(limit).cloned();
        Ok(Listed::new(state.table.jobs.len(), jobs.collect()))
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        Ok(self.lock().table.counts())
    }

    fn greatest_id(&self, kind: &str) -> Result<Option<String>, QueueError> {
        Ok(self.lock().table.greatest_id(kind).map(str::to_owned))
    }

    fn is_needed(&self, name: &str) -> Result<bool, QueueError> {
        Ok(self.lock().table.is_needed(name))
    }

    fn cut_off(&self, worker: &str, lapsed_before: Option<OffsetDateTime>) -> Result<Vec<Job>, QueueError> {
        Ok(self.lock().table.cut_off(worker, lapsed_before))
    }

    fn recover(
        &self,
        worker: &str,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Vec<Job>, QueueError> {
        Ok(self.lock().table.recover(worker, lapsed_before, now))
    }

    fn unreadable(&self) -> Result<Vec<String>, QueueError> {
        Ok(Vec::new())
    }

    fn prune(&self, keep: usize) -> Result<usize, QueueError> {
        let table = &mut self.lock().table;
        let passing = table.to_prune(&[], keep);
        for place in &passing {
            table.jobs.remove(place);
        }
        Ok(passing.len())
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
