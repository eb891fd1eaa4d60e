//! What does the jobs of one lane, one after another.

mod recovery;
mod waker;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use self::waker::Waker;
use crate::stop::Stopper;
use crate::{Job, JobState, JobStore, Outcome, QueueError, Stop, StopReason};

/// How often a claim is renewed, if not said.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// Tells what time it is.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// Does the work of a job.
#[async_trait]
pub trait JobHandler: Send + Sync {
    /// Does it, and says how it ended. A panic is a failure of this job alone. `stop` tells when it is to end early: as
    /// Canceled if it was called off; if the claim was lost, its outcome is not recorded.
    async fn run(&self, job: Job, stop: Stop) -> Outcome;

    /// Jobs that nobody does any more are about to be failed as interrupted. They are not while this fails, and it is called again.
    async fn cut_off(&self, _jobs: &[Job]) -> Result<(), QueueError> {
        Ok(())
    }
}

/// Does the jobs of one lane of a store, one after another.
pub struct Runner {
    steps: Arc<Steps>,
    waker: Waker,
    renewal: Renewal,
}

/// When a claim is renewed, and when it is given up.
#[derive(Debug, Clone, Copy)]
struct Renewal {
    every: Duration,
    lapse: Option<Duration>,
}

struct Steps {
    store: Arc<dyn JobStore>,
    handler: Arc<dyn JobHandler>,
    clock: Clock,
    worker: Arc<str>,
    lane: Arc<str>,
    /// Those that claim jobs in this process too.
    beside: Vec<String>,
    /// Held while a step is done.
    left: Mutex<Left>,
    /// How many jobs have ended.
    ended: watch::Sender<u64>,
    /// The job that is being done.
    current: std::sync::Mutex<Option<(String, Stopper)>>,
    /// How often what was being done was given up.
    given_up: AtomicU64,
    /// The claim is to be renewed now.
    look: Notify,
}

/// What a step left to the next one, as the store failed.
#[derive(Default)]
struct Left {
    /// How a job has ended whose outcome could not be stored yet.
    unstored: Option<(String, Outcome, OffsetDateTime)>,
    /// A claim failed, a job was given up, or an earlier process ended: a job may be Processing all the same, and nobody does it.
    claimed: bool,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("worker", &self.steps.worker)
            .field("lane", &self.steps.lane)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner for the jobs of `lane` in `store`. `worker` is its name there: after a claim that failed it recovers what
    /// that worker has.
    #[must_use]
    pub fn new(
        store: Arc<dyn JobStore>,
        handler: Arc<dyn JobHandler>,
        clock: Clock,
        worker: &str,
        lane: &str,
    ) -> Self {
        let steps = Steps {
            store,
            handler,
            clock,
            worker: Arc::from(worker),
            lane: Arc::from(lane),
            beside: Vec::new(),
            left: Mutex::default(),
            ended: watch::Sender::new(0),
            current: std::sync::Mutex::default(),
            given_up: AtomicU64::new(0),
            look: Notify::new(),
        };
        Self {
            steps: Arc::new(steps),
            waker: Waker::default(),
            renewal: Renewal {
                every: RENEW_EVERY,
                lapse: None,
            },
        }
    }

    /// The same with claims that are renewed `every` so often while their jobs are done; every 10 seconds, if not said.
    ///
    /// A `lapse` is for stores that several processes share. A job is told to stop, as its claim is lost, once no renewal was
    /// answered for so long by this process's own clock, counted from before the last one that was answered went out. Jobs that
    /// others have claimed, and not renewed for half as long again, are failed when there is nothing else to be done; and
    /// [`run`](Self::run) looks for jobs `every` so often without being woken. Without a lapse a claim is lost only when the
    /// store says so.
    #[must_use]
    pub fn renewing(mut self, every: Duration, lapse: Option<Duration>) -> Self {
        self.renewal = Renewal { every, lapse };
        self
    }

    /// The same beside runners of this process that have these names, and renew their claims as it does. What they do is never taken for left: where they seem to have renewed
    /// nothing for so long, the clock was set, and nobody's claim is judged by it.
    #[must_use]
    pub fn beside(mut self, workers: impl IntoIterator<Item = String>) -> Self {
        // Nobody else has it yet.
        if let Some(steps) = Arc::get_mut(&mut self.steps) {
            steps.beside.extend(workers);
        }
        self
    }

    /// The same, which begins with failing what its worker was doing when an earlier process ended: for who could not [recover](JobStore::recover) that before.
    /// While that fails it claims nothing.
    #[must_use]
    pub fn recovering(self) -> Self {
        // Nobody else has it yet.
        if let Ok(mut left) = self.steps.left.try_lock() {
            left.claimed = true;
        }
        self
    }

    /// What wakes it.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Changes each time when the end of a job has been stored.
    #[must_use]
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.steps.ended.subscribe()
    }

    /// Calls a job off, as [`JobStore::cancel`] does, and tells the work on it at once if this runner does it: also where the store cannot note that.
    ///
    /// # Errors
    /// As [`JobStore::cancel`].
    pub async fn cancel(&self, id: &str) -> Result<JobState, QueueError> {
        let (id, told, now) = (id.to_owned(), id.to_owned(), (self.steps.clock)());
        let noted = self.steps.with_store(move |store| store.cancel(&id, now)).await;
        match noted {
            Ok(state) if state.is_final() => {
                self.steps.ended.send_modify(|ended| *ended += 1);
                Ok(state)
            }
            Ok(state) => {
                if !self.steps.call_off(&told) {
                    // It is somebody else's, or is just being claimed.
                    self.steps.look.notify_one();
                }
                Ok(state)
            }
            // The work does not outlast this process, and need not find it in the store.
            Err(error) if error.may_pass() && self.steps.call_off(&told) => {
                log::warn!("that job {told} is called off could not be noted: {error}");
                Ok(JobState::Processing)
            }
            Err(error) => Err(error),
        }
    }

    /// Tells the work on the job that is being done, or just being claimed, that its claim is lost, whatever the store says. Its outcome is not
    /// recorded: somebody else ends it, or the next step, which fails it as interrupted.
    pub fn give_up(&self) {
        self.steps.given_up.fetch_add(1, Ordering::SeqCst);
        if let Some((_, stopper)) = &*self.steps.current() {
            stopper.tell(StopReason::Lost);
        }
        // A step that waited does nothing then, though there may be something to do.
        self.waker.wake();
    }

    /// Does the next job, if there is one, and says whether there was. A step that is dropped is done to its end all the
    /// same, unless it is [given up](Self::give_up), and the next one waits for that.
    ///
    /// # Errors
    /// [`QueueError`] when the store fails. A job whose outcome could not be stored stays Processing until the next call,
    /// which tries again before anything else; one that was claimed though the claim failed is failed by it.
    pub async fn step(&self) -> Result<bool, QueueError> {
        let (steps, renewal) = (Arc::clone(&self.steps), self.renewal);
        let given_up = steps.given_up.load(Ordering::SeqCst);
        tokio::spawn(async move { steps.step(renewal, given_up).await })
            .await
            .unwrap_or_else(|error| Err(QueueError::storage(error)))
    }

    /// Others may queue jobs where the store is shared.
    async fn poll(&self) {
        match self.renewal.lapse {
            Some(_) => tokio::time::sleep(self.renewal.every).await,
            None => std::future::pending().await,
        }
    }

    /// Does jobs until `shutdown` is ready; a job that has begun is finished first, also where this is dropped, unless it is
    /// [given up](Self::give_up).
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut pause = Duration::ZERO;
        loop {
            // Between two jobs only: `step` is not dropped halfway.
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = tokio::time::sleep(pause) => {}
            }
            match self.step().await {
                Ok(true) => pause = Duration::ZERO,
                Ok(false) => {
                    pause = Duration::ZERO;
                    tokio::select! {
                        () = &mut shutdown => return,
                        () = self.waker.woken() => {}
                        () = self.poll() => {}
                    }
                }
                Err(error) => {
                    log::error!("the job queue cannot go on: {error}");
                    pause = (pause * 2).clamp(Duration::from_secs(1), Duration::from_mins(1));
                }
            }
        }
    }
}

impl Steps {
    /// What was given up more often than `given_up` is not begun, and not done to its end.
    async fn step(&self, renewal: Renewal, given_up: u64) -> Result<bool, QueueError> {
        let is_given_up = || self.given_up.load(Ordering::SeqCst) != given_up;
        let mut left = self.left.lock().await;
        if self.store_outcome(&mut left.unstored).await? {
            return Ok(true);
        }
        if is_given_up() {
            return Ok(false); // it waited for the step before
        }
        let now = (self.clock)();
        if left.claimed {
            for job in self.recover(None, now).await? {
                log::warn!("job {} was interrupted: nobody does it", job.id);
                self.ended.send_modify(|ended| *ended += 1);
            }
        }
        let asked = Instant::now();
        let mut claimed = self.claim(now).await;
        if matches!(claimed, Ok(None)) && self.recover_lapsed(renewal, now).await? {
            claimed = self.claim(now).await;
        }
        left.claimed = claimed.is_err();
        let Some(job) = claimed? else {
            return Ok(false);
        };
        let id = job.id.clone();
        let (stopper, stop) = Stopper::new();
        *self.current() = Some((id.clone(), stopper.clone()));
        if is_given_up() {
            stopper.tell(StopReason::Lost); // while it was being claimed
        }
        let (handler, told) = (Arc::clone(&self.handler), stop.clone());
        let work = tokio::spawn(async move { handler.run(job, told).await });
        let done = tokio::select! {
            done = work => done,
            never = self.keep(&id, &stopper, asked, renewal) => match never {},
        };
        *self.current() = None;
        if stop.reason() == Some(StopReason::Lost) {
            log::warn!(
                "job {id} was given up, or was somebody else's to end: its outcome here is not recorded"
            );
            left.claimed = true;
            self.ended.send_modify(|ended| *ended += 1);
            return Ok(true);
        }
        left.unstored = Some((id, outcome(done), (self.clock)()));
        self.store_outcome(&mut left.unstored).await
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<(String, Stopper)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the work on a job, if this runner does it, to stop. Whether it does.
    fn call_off(&self, id: &str) -> bool {
        match &*self.current() {
            Some((current, stopper)) if current == id => {
                stopper.tell(StopReason::Canceled);
                true
            }
            _ => false,
        }
    }

    async fn claim(&self, now: OffsetDateTime) -> Result<Option<Job>, QueueError> {
        let (worker, lane) = (Arc::clone(&self.worker), Arc::clone(&self.lane));
        self.with_store(move |store| store.claim(&worker, &lane, now))
            .await
    }

    /// Keeps a claim, and tells the work when it is to stop.
    async fn keep(&self, id: &str, stopper: &Stopper, mut heard: Instant, renewal: Renewal) -> Infallible {
        let mut next = heard + renewal.every;
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.look.notified() => {}
            }
            let asked = Instant::now();
            next = asked + renewal.every;
            let (of, worker, now) = (id.to_owned(), Arc::clone(&self.worker), (self.clock)());
            let renewing = self.with_store(move |store| store.renew(&of, &worker, now));
            let lapses = renewal.lapse.map(|lapse| heard + lapse);
            let renewed = match lapses {
                None => Ok(renewing.await),
                Some(lapses) => timeout_at(lapses, renewing).await,
            };
            match renewed {
                Ok(Ok(job)) => {
                    heard = asked;
                    if job.cancel_requested {
                        stopper.tell(StopReason::Canceled);
                    }
                }
                Ok(Err(QueueError::NotHeld { .. } | QueueError::NotFound(_))) | Err(_) => {
                    log::error!("the claim of job {id} is lost: it is told to stop");
                    stopper.tell(StopReason::Lost);
                    return std::future::pending().await;
                }
                Ok(Err(error)) => {
                    log::warn!("the claim of job {id} could not be renewed: {error}");
                    // Soon again, as long as it has not lapsed.
                    next = asked + renewal.every.min(renewal.lapse.unwrap_or(renewal.every) / 10);
                }
            }
        }
    }

    /// Stores how the last job has ended, and says whether there was anything to store.
    async fn store_outcome(
        &self,
        unstored: &mut Option<(String, Outcome, OffsetDateTime)>,
    ) -> Result<bool, QueueError> {
        let Some((id, outcome, ended)) = unstored.clone() else {
            return Ok(false);
        };
        let stored = self
            .with_store(move |store| store.finish(&id, outcome, ended))
            .await;
        if !stored.as_ref().is_err_and(QueueError::may_pass) {
            *unstored = None;
        }
        self.ended.send_modify(|ended| *ended += 1);
        stored.map(|()| true)
    }

    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn JobStore) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let store = Arc::clone(&self.store);
        let none = || QueueError::storage(io::Error::other("no thread can be started"));
        let given_up = Arc::new(AtomicBool::new(false));
        let is_given_up = Arc::clone(&given_up);
        let unless_given_up = move || match is_given_up.load(Ordering::SeqCst) {
            true => Err(none()),
            false => work(&*store),
        };
        // It panics where there is no thread, and none can be started. The work waits for one all the same.
        let begun = catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_blocking(unless_given_up)));
        let Ok(begun) = begun else {
            given_up.store(true, Ordering::SeqCst);
            return Err(none());
        };
        begun
            .await
            .unwrap_or_else(|error| Err(QueueError::storage(error)))
    }
}

fn outcome(done: Result<Outcome, JoinError>) -> Outcome {
    done.unwrap_or_else(|error| Outcome::failure(format!("the job ended abnormally: {error}")))
}
