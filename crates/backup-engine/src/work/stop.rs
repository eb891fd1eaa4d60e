//! Whether a job that is being done is to end early.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use job_queue::JobStore;
use tokio::sync::watch;

use crate::lock::lock;

/// How often it is looked whether a job was called off.
const LOOKING: Duration = Duration::from_millis(500);

/// Why a job ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    /// Somebody called it off.
    #[error("it was called off")]
    Canceled,
    /// The engine is to end.
    #[error("it was stopped, as the process ends")]
    Ending,
}

/// Asks for one job whether it is to end early.
pub(super) struct Stop {
    jobs: Arc<dyn JobStore>,
    job: String,
    ending: watch::Receiver<bool>,
    looked: Mutex<Option<Instant>>,
}

impl Stop {
    pub(super) fn new(jobs: Arc<dyn JobStore>, job: &str, ending: watch::Receiver<bool>) -> Self {
        Self {
            jobs,
            job: job.to_owned(),
            ending,
            looked: Mutex::default(),
        }
    }

    pub(super) fn jobs(&self) -> &Arc<dyn JobStore> {
        &self.jobs
    }

    /// An error if it is. Blocks now and then: the job store is asked twice a second.
    pub(super) fn check(&self) -> Result<(), Stopped> {
        if *self.ending.borrow() {
            return Err(Stopped::Ending);
        }
        let mut looked = lock(&self.looked);
        if looked.is_some_and(|at| at.elapsed() < LOOKING) {
            return Ok(());
        }
        *looked = Some(Instant::now());
        drop(looked);
        // A store that fails just now calls nothing off.
        match self.jobs.get(&self.job) {
            Ok(Some(job)) if job.cancel_requested => Err(Stopped::Canceled),
            _ => Ok(()),
        }
    }

    /// Ends once it is.
    pub(super) async fn asked(self: &Arc<Self>) -> Stopped {
        loop {
            let stop = Arc::clone(self);
            if let Ok(Err(stopped)) = tokio::task::spawn_blocking(move || stop.check()).await {
                return stopped;
            }
            let mut ending = self.ending.clone();
            // Whether it ends, or the time is up: it is looked again.
            let ended = async {
                if ending.wait_for(|ending| *ending).await.is_err() {
                    std::future::pending::<()>().await; // nobody can say so any more
                }
            };
            let _ = tokio::time::timeout(LOOKING, ended).await;
        }
    }
}
