//! What every job has at hand.

use std::sync::{Arc, Mutex};

use health_metrics::Metrics;
use job_queue::{Clock, Job, Stop, StopReason};
use time::OffsetDateTime;
use zk_snapshot::restore::Permit;

use super::counting::EndedBackup;
use super::failure::Cause;
use super::hooks::Hooks;
use super::job_log::JobLog;
use super::permit::OfJob;
use super::progress::Progress;
use super::stop::Stopped;
use crate::kind::JobKind;
use crate::lock::lock;

/// A job that is being done, and where it says what it does.
pub(super) struct JobContext {
    pub(super) job: Job,
    pub(super) log: JobLog,
    pub(super) progress: Arc<Progress>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    /// Tells when it is to end early.
    pub(super) stop: Stop,
    pub(super) engine_permit: Arc<dyn Permit>,
    /// In which the engine led when the job began, where there are several.
    pub(super) term: Option<u64>,
    pub(super) hooks: Arc<Hooks>,
    /// The backup that it was, which is counted once the job has ended.
    pub(super) ended: Mutex<Option<EndedBackup>>,
}

impl JobContext {
    pub(super) fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }

    /// Whether what it writes to ZooKeeper may be written.
    pub(super) fn permit(&self) -> Arc<dyn Permit> {
        Arc::new(OfJob {
            engine: Arc::clone(&self.engine_permit),
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

    /// Counts a backup, or, where it is the job itself, has it counted [once that has ended](Self::count_backup).
    pub(super) fn backup_ended(&self, ended: EndedBackup) {
        match JobKind::of(&self.job) {
            JobKind::Backup => *lock(&self.ended) = Some(ended),
            JobKind::Restore | JobKind::Verify | JobKind::RestoreTest => ended.count(&self.metrics),
        }
    }

    /// Counts the backup that the job was. One whose claim is lost is counted by whoever recovers it, whatever came of it here.
    pub(super) fn count_backup(&self) {
        let ended = lock(&self.ended).take();
        if let Some(ended) = ended.filter(|_| self.stop.reason() != Some(StopReason::Lost)) {
            ended.count(&self.metrics);
        }
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
