//! What every job has at hand.

use std::sync::Arc;

use health_metrics::Metrics;
use job_queue::{Clock, Job, Stop};
use time::OffsetDateTime;
use zk_snapshot::restore::Permit;

use super::failure::Cause;
use super::hooks::Hooks;
use super::job_log::JobLog;
use super::permit::OfJob;
use super::progress::Progress;
use super::stop::Stopped;

/// A job that is being done, and where it says what it does.
pub(super) struct JobContext {
    pub(super) job: Job,
    pub(super) log: JobLog,
    pub(super) progress: Arc<Progress>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    /// Tells when it is to end early.
    pub(super) stop: Stop,
    /// The engine's own.
    pub(super) permit: Arc<dyn Permit>,
    /// In which the engine led when the job began, where there are several.
    pub(super) term: Option<u64>,
    pub(super) hooks: Arc<Hooks>,
}

impl JobContext {
    pub(super) fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }

    /// Whether what it writes to ZooKeeper may be written.
    pub(super) fn permit(&self) -> Arc<dyn Permit> {
        Arc::new(OfJob {
            engine: Arc::clone(&self.permit),
            stop: self.stop.clone(),
        })
    }

    /// Runs the hook before it.
    ///
    /// # Errors
    /// It failed, or the job is to end early.
    pub(super) async fn before(&self) -> Result<(), Cause> {
        let done = self.unless_stopped(self.hooks.before(&self.job)).await?;
        Ok(done?)
    }

    /// # Errors
    /// [`Cause::Stopped`] once the job is to end early.
    pub(super) fn check_stop(&self) -> Result<(), Cause> {
        self.stop
            .reason()
            .map_or(Ok(()), |why| Err(Cause::Stopped(why.into())))
    }

    /// What tells work on another thread that the job is to end early.
    pub(super) fn stopped(&self) -> impl Fn() -> Result<(), Stopped> + use<> {
        let stop = self.stop.clone();
        move || stop.reason().map_or(Ok(()), |why| Err(why.into()))
    }

    /// Does `work`, or drops it when the job is to end early.
    ///
    /// # Errors
    /// [`Cause::Stopped`].
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Cause> {
        tokio::select! {
            biased;
            why = self.stop.asked() => Err(Cause::Stopped(why.into())),
            done = work => Ok(done),
        }
    }
}
