//! The work of a job.

mod backup;
mod command;
mod comparing;
mod known;
mod log;
mod recover;
mod restore;
mod result;
mod transactional;

use std::sync::Arc;

use self::log::JobLog;
pub use self::log::plain;
pub use self::recover::Recovery;
use self::result::JobResult;
use crate::kind::JobKind;
use crate::parts::{Parts, Progress, lock};
use crate::retention;
use async_trait::async_trait;
use job_queue::{Job, JobHandler, Outcome};

/// Finished jobs that are remembered.
const REMEMBERED: usize = 10_000;

pub(crate) struct Worker(pub(crate) Arc<Parts>);

/// Why a job failed, and what came of it all the same.
struct Failure {
    message: String,
    result: JobResult,
}

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            message: error.to_string(),
            result: JobResult::Nothing,
        }
    }
}

#[async_trait]
impl JobHandler for Worker {
    async fn run(&self, job: Job) -> Outcome {
        let parts = &self.0;
        let Some(kind) = JobKind::from_name(&job.kind) else {
            return Outcome::failure(format!("there is no kind of job {:?}", log::plain(&job.kind)));
        };
        let progress = Arc::new(Progress::default());
        let log = JobLog::new(&job.id, Arc::clone(&parts.clock));
        *lock(&parts.running) = Some((job.id.clone(), Arc::clone(&progress)));
        let done = match kind {
            JobKind::Backup => backup::run(parts, &job, &log, &progress).await,
            JobKind::Restore => {
                let done = restore::run(parts, &job, &log, &progress).await;
                parts.metrics.restore_ended(done.is_err());
                done
            }
        };
        *lock(&parts.running) = None;
        // One that lacks something was stored all the same, and tells what is in it.
        let stored = done
            .as_ref()
            .map_or_else(|failure| !matches!(failure.result, JobResult::Nothing), |_| true);
        if kind == JobKind::Backup && stored {
            after_backup(parts, &log).await;
        }
        match done {
            Ok(result) => Outcome::success(result.stored()),
            Err(Failure { message, result }) => {
                let outcome = Outcome::failure(message).with_log_tail(log.tail());
                outcome.with_result(result.stored())
            }
        }
    }
}

/// The eviction pass that follows every backup that was stored. Its failure is not the backup's.
async fn after_backup(parts: &Arc<Parts>, log: &JobLog) {
    let blocking = Arc::clone(parts);
    let pass = tokio::task::spawn_blocking(move || {
        retention::run(&blocking, false, false)?;
        blocking.jobs.prune(REMEMBERED)?;
        Ok::<_, crate::EngineError>(())
    });
    match pass.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log.error(&format!("eviction failed: {error}")),
        Err(error) => log.error(&format!("eviction failed: {error}")),
    }
}
