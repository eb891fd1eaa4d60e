use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::{Job, JobStore, Outcome, QueueError};

/// Tells what time it is.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// Does the work of a job.
#[async_trait]
pub trait JobHandler: Send + Sync {
    /// Does it, and says how it ended. A panic is a failure of this job alone.
    async fn run(&self, job: Job) -> Outcome;
}

/// Does the jobs of a store, one after another: a backup and a restore never run together.
pub struct Runner {
    store: Arc<dyn JobStore>,
    handler: Arc<dyn JobHandler>,
    clock: Clock,
    waker: Waker,
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

impl Runner {
    /// A runner for the jobs in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn JobStore>, handler: Arc<dyn JobHandler>, clock: Clock) -> Self {
        Self {
            store,
            handler,
            clock,
            waker: Waker::default(),
        }
    }

    /// What wakes it.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Does the next job, if there is one, and says whether there was.
    ///
    /// # Errors
    /// [`QueueError`] when the store fails. A job whose outcome could not be stored stays Processing, until
    /// [`JobStore::recover`].
    pub async fn step(&self) -> Result<bool, QueueError> {
        let now = (self.clock)();
        let Some(job) = self.with_store(move |store| store.claim(now)).await? else {
            return Ok(false);
        };
        let id = job.id.clone();
        let handler = Arc::clone(&self.handler);
        let outcome = tokio::spawn(async move { handler.run(job).await })
            .await
            .unwrap_or_else(|error| Outcome::failure(format!("the job ended abnormally: {error}")));
        let now = (self.clock)();
        self.with_store(move |store| store.finish(&id, outcome, now))
            .await?;
        Ok(true)
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

    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn JobStore) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || work(&*store))
            .await
            .unwrap_or_else(|error| Err(QueueError::Storage(error.to_string())))
    }
}
