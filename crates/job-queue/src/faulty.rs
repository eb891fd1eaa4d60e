//! A store that fails when it is told to, for the tests of whoever queues jobs.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use crate::{Counts, Job, JobState, JobStore, Listed, NewJob, Note, Outcome, QueueError};

/// A call to a [`JobStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobCall {
    /// [`JobStore::enqueue`].
    Enqueue,
    /// [`JobStore::claim`].
    Claim,
    /// [`JobStore::renew`].
    Renew,
    /// [`JobStore::finish`].
    Finish,
    /// [`JobStore::cancel`].
    Cancel,
    /// [`JobStore::get`].
    Get,
    /// [`JobStore::list`].
    List,
    /// [`JobStore::counts`].
    Counts,
    /// [`JobStore::greatest_id`].
    GreatestId,
    /// [`JobStore::is_needed`].
    IsNeeded,
    /// [`JobStore::cut_off`].
    CutOff,
    /// [`JobStore::recover`].
    Recover,
    /// [`JobStore::unreadable`].
    Unreadable,
    /// [`JobStore::prune`].
    Prune,
    /// [`JobStore::put_notes`].
    PutNotes,
    /// [`JobStore::drop_notes`].
    DropNotes,
    /// [`JobStore::notes`].
    Notes,
}

/// What becomes of a call.
#[non_exhaustive]
pub enum JobFault {
    /// It fails and does nothing.
    Fail,
    /// It is done, and its caller is told that it failed.
    LoseAnswer,
    /// It is done once this has returned.
    Delay(Box<dyn FnOnce() + Send>),
    /// It is done, and its caller is told once this has returned.
    DelayAnswer(Box<dyn FnOnce() + Send>),
}

impl fmt::Debug for JobFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fail => "Fail",
            Self::LoseAnswer => "LoseAnswer",
            Self::Delay(_) => "Delay(..)",
            Self::DelayAnswer(_) => "DelayAnswer(..)",
        })
    }
}

/// A store of which calls fail that were named beforehand, and the others go through. Clones share everything.
///
/// ```
/// use std::sync::Arc;
/// use job_queue::{FaultyJobs, JobCall, JobFault, JobStore, MemoryJobs};
///
/// let jobs = FaultyJobs::new(Arc::new(MemoryJobs::new()));
/// jobs.plan(JobCall::Counts, 2, JobFault::Fail);
/// assert!(jobs.counts().is_ok() && jobs.counts().is_err() && jobs.counts().is_ok());
/// ```
#[derive(Clone)]
pub struct FaultyJobs {
    store: Arc<dyn JobStore>,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    /// For which calls, how many of them are left until it comes, and what comes then.
    faults: Vec<(Option<JobCall>, usize, JobFault)>,
    cut: bool,
}

impl fmt::Debug for FaultyJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyJobs")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl FaultyJobs {
    /// A store over `store` in which nothing fails yet.
    #[must_use]
    pub fn new(store: Arc<dyn JobStore>) -> Self {
        Self {
            store,
            plan: Arc::default(),
        }
    }

    /// Has the `nth` call of this kind from now on, counted from 1, meet `fault`; without a kind the `nth` of all.
    pub fn plan(&self, call: impl Into<Option<JobCall>>, nth: usize, fault: JobFault) {
        self.lock().faults.push((call.into(), nth, fault));
    }

    /// How many planned faults have not come up yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.lock().faults.len()
    }

    /// Has every call fail from now on, also one that is delayed: whoever makes them does not reach the store any more.
    pub fn cut(&self) {
        self.lock().cut = true;
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first fault of those that are due.
    fn due(&self, call: JobCall) -> Option<JobFault> {
        let mut plan = self.lock();
        let mut due = None;
        for (index, (which, left, _)) in plan.faults.iter_mut().enumerate() {
            if which.is_none_or(|which| which == call) {
                *left = left.saturating_sub(1);
                due = due.or((*left == 0).then_some(index));
            }
        }
        due.map(|index| plan.faults.remove(index).2)
    }

    fn through<T>(
        &self,
        call: JobCall,
        work: impl FnOnce() -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        let planned = || Err(QueueError::storage(format!("{call:?} was to fail")));
        let due = self.due(call);
        let lost = matches!(due, Some(JobFault::LoseAnswer));
        let fails = matches!(due, Some(JobFault::Fail));
        let mut late = None;
        match due {
            Some(JobFault::Delay(wait)) => wait(),
            Some(JobFault::DelayAnswer(wait)) => late = Some(wait),
            _ => {}
        }
        if fails || self.lock().cut {
            return planned();
        }
        let answer = work();
        if let Some(wait) = late {
            wait();
        }
        match answer {
            Ok(_) if lost => planned(),
            answer => answer,
        }
    }
}

impl JobStore for FaultyJobs {
    fn enqueue(&self, job: NewJob, now: OffsetDateTime, max_queued: usize) -> Result<Job, QueueError> {
        self.through(JobCall::Enqueue, || self.store.enqueue(job, now, max_queued))
    }

    fn claim(&self, worker: &str, lane: &str, now: OffsetDateTime) -> Result<Option<Job>, QueueError> {
        self.through(JobCall::Claim, || self.store.claim(worker, lane, now))
    }

    fn renew(&self, id: &str, worker: &str, now: OffsetDateTime) -> Result<Job, QueueError> {
        self.through(JobCall::Renew, || self.store.renew(id, worker, now))
    }

    fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
        self.through(JobCall::Finish, || self.store.finish(id, outcome, now))
    }

    fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<JobState, QueueError> {
        self.through(JobCall::Cancel, || self.store.cancel(id, now))
    }

    fn get(&self, id: &str) -> Result<Option<Job>, QueueError> {
        self.through(JobCall::Get, || self.store.get(id))
    }

    fn list(&self, offset: usize, limit: usize) -> Result<Listed, QueueError> {
        self.through(JobCall::List, || self.store.list(offset, limit))
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        self.through(JobCall::Counts, || self.store.counts())
    }

    fn greatest_id(&self, kind: &str) -> Result<Option<String>, QueueError> {
        self.through(JobCall::GreatestId, || self.store.greatest_id(kind))
    }

    fn is_needed(&self, name: &str) -> Result<bool, QueueError> {
        self.through(JobCall::IsNeeded, || self.store.is_needed(name))
    }

    fn cut_off(&self, worker: &str, lapsed_before: Option<OffsetDateTime>) -> Result<Vec<Job>, QueueError> {
        self.through(JobCall::CutOff, || self.store.cut_off(worker, lapsed_before))
    }

    fn recover(
        &self,
        worker: &str,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Vec<Job>, QueueError> {
        let recover = || self.store.recover(worker, lapsed_before, now);
        self.through(JobCall::Recover, recover)
    }

    fn unreadable(&self) -> Result<Vec<String>, QueueError> {
        self.through(JobCall::Unreadable, || self.store.unreadable())
    }

    fn prune(&self, keep: usize) -> Result<usize, QueueError> {
        self.through(JobCall::Prune, || self.store.prune(keep))
    }

    fn put_notes(&self, notes: &[Note]) -> Result<(), QueueError> {
        self.through(JobCall::PutNotes, || self.store.put_notes(notes))
    }

    fn drop_notes(&self, job: &str, keys: &[String]) -> Result<(), QueueError> {
        self.through(JobCall::DropNotes, || self.store.drop_notes(job, keys))
    }

    fn notes(&self) -> Result<Vec<Note>, QueueError> {
        self.through(JobCall::Notes, || self.store.notes())
    }
}
