//! What does the jobs of one lane, one after another.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio::sync::{Mutex, Notify, watch};

use crate::{Job, JobStore, Outcome, QueueError};

/// Tells what time it is.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// Does the work of a job.
#[async_trait]
pub trait JobHandler: Send + Sync {
    /// Does it, and says how it ended. A panic is a failure of this job alone.
    async fn run(&self, job: Job) -> Outcome;
}

/// Does the jobs of one lane of a store, one after another.
pub struct Runner {
    steps: Arc<Steps>,
    waker: Waker,
}

struct Steps {
    store: Arc<dyn JobStore>,
    handler: Arc<dyn JobHandler>,
    clock: Clock,
    worker: Arc<str>,
    lane: Arc<str>,
    /// Held while a step is done.
    left: Mutex<Left>,
    /// How many jobs have ended.
    ended: watch::Sender<u64>,
}

/// What a step left to the next one, as the store failed.
#[derive(Default)]
struct Left {
    /// How a job has ended whose outcome could not be stored yet.
    unstored: Option<(String, Outcome, OffsetDateTime)>,
    /// A claim failed: a job may be Processing all the same, and nobody does it.
    claimed: bool,
}

/// Tells a runner that there may be work. Clones wake the same runner.
#[derive(Debug, Clone, Default)]
pub struct Waker(Arc<Notify>);

impl Waker {
    /// Wakes the runner, or makes its next wait end at once.
    pub fn wake(&self) {
        self.0.notify_one();
    }
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
            left: Mutex::default(),
            ended: watch::Sender::new(0),
        };
        Self {
            steps: Arc::new(steps),
            waker: Waker::default(),
        }
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

    /// Does the next job, if there is one, and says whether there was. A step that is dropped is done to its end all the
    /// same, and the next one waits for that.
    ///
    /// # Errors
    /// [`QueueError`] when the store fails. A job whose outcome could not be stored stays Processing until the next call,
    /// which tries again before anything else; one that was claimed though the claim failed is failed by it.
    pub async fn step(&self) -> Result<bool, QueueError> {
        let steps = Arc::clone(&self.steps);
        tokio::spawn(async move { steps.step().await })
            .await
            .unwrap_or_else(|error| Err(QueueError::storage(error)))
    }

    /// Does jobs until `shutdown` is ready; a job that has begun is finished first.
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
                        () = self.waker.0.notified() => {}
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
    async fn step(&self) -> Result<bool, QueueError> {
        let mut left = self.left.lock().await;
        if self.store_outcome(&mut left.unstored).await? {
            return Ok(true);
        }
        let now = (self.clock)();
        if left.claimed {
            let worker = Arc::clone(&self.worker);
            let recover = move |store: &dyn JobStore| store.recover(&worker, None, now);
            for job in self.with_store(recover).await? {
                log::warn!("job {} was claimed without our knowing, and not done", job.id);
            }
        }
        let (worker, lane) = (Arc::clone(&self.worker), Arc::clone(&self.lane));
        let claimed = self
            .with_store(move |store| store.claim(&worker, &lane, now))
            .await;
        left.claimed = claimed.is_err();
        let Some(job) = claimed? else {
            return Ok(false);
        };
        let id = job.id.clone();
        let handler = Arc::clone(&self.handler);
        let outcome = tokio::spawn(async move { handler.run(job).await })
            .await
            .unwrap_or_else(|error| Outcome::failure(format!("the job ended abnormally: {error}")));
        left.unstored = Some((id, outcome, (self.clock)()));
        self.store_outcome(&mut left.unstored).await
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
        tokio::task::spawn_blocking(move || work(&*store))
            .await
            .unwrap_or_else(|error| Err(QueueError::storage(error)))
    }
}
