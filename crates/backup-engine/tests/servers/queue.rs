//! The jobs of a server: each call is done at one moment, though a thread may wait and try again in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use job_queue::{Counts, Job, JobState, JobStore, Listed, NewJob, Note, ObjectJobs, Outcome, QueueError};
use time::OffsetDateTime;

/// Says how many calls there are now.
pub(crate) struct AtOnce {
    pub(crate) jobs: ObjectJobs,
    pub(crate) calls: Arc<AtomicUsize>,
}

struct Call<'a>(&'a AtomicUsize);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl AtOnce {
    fn call(&self) -> Call<'_> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Call(&self.calls)
    }
}

macro_rules! at_once {
    ($($name:ident($($of:ident: $kind:ty),*) -> $told:ty;)*) => {
        impl JobStore for AtOnce {
            $(fn $name(&self, $($of: $kind),*) -> Result<$told, QueueError> {
                let _call = self.call();
                self.jobs.$name($($of),*)
            })*
        }
    };
}

at_once! {
    enqueue(job: NewJob, now: OffsetDateTime, max_queued: usize) -> Job;
    claim(worker: &str, lane: &str, now: OffsetDateTime) -> Option<Job>;
    renew(id: &str, worker: &str, now: OffsetDateTime) -> Job;
    finish(id: &str, outcome: Outcome, now: OffsetDateTime) -> ();
    cancel(id: &str, now: OffsetDateTime) -> JobState;
    get(id: &str) -> Option<Job>;
    list(offset: usize, limit: usize) -> Listed;
    counts() -> Counts;
    greatest_id(kind: &str) -> Option<String>;
    is_needed(name: &str) -> bool;
    cut_off(worker: &str, lapsed_before: Option<OffsetDateTime>) -> Vec<Job>;
    recover(worker: &str, lapsed_before: Option<OffsetDateTime>, now: OffsetDateTime) -> Vec<Job>;
    unreadable() -> Vec<String>;
    prune(keep: usize) -> usize;
    put_notes(notes: &[Note]) -> ();
    drop_notes(job: &str, keys: &[String]) -> ();
    notes() -> Vec<Note>;
}
