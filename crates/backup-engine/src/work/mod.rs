//! The work of a job.

mod backup;
mod command;
mod comparing;
mod known;
mod log;
mod recover;
mod restore;
mod transactional;

use std::sync::Arc;

use async_trait::async_trait;
use job_queue::{Job, JobHandler, JobKind, JobState, Outcome};
use serde_json::Value;

use self::log::JobLog;
pub use self::log::plain;
pub use self::recover::Recovery;
use crate::parts::{Parts, Progress, lock};
use crate::retention;

/// Finished jobs that are remembered.
const REMEMBERED: usize = 10_000;

pub(crate) struct Worker(pub(crate) Arc<Parts>);

/// Why a job failed, and what came of it all the same.
struct Failure {
    message: String,
    result: Value,
}

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            message: error.to_string(),
            result: Value::Null,
        }
    }
}

#[async_trait]
impl JobHandler for Worker {
    async fn run(&self, job: Job) -> Outcome {
        let parts = &self.0;
        let progress = Arc::new(Progress::default());
        let log = JobLog::new(&job.id, Arc::clone(&parts.clock));
        *lock(&parts.running) = Some((job.id.clone(), Arc::clone(&progress)));
        let done = match job.kind {
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
            .map_or_else(|failure| !failure.result.is_null(), |_| true);
        if job.kind == JobKind::Backup && stored {
            after_backup(parts, &log).await;
        }
        match done {
            Ok(result) => Outcome::success(result),
            Err(Failure { message, result }) => {
                let (state, log_tail) = (JobState::Failed, log.tail());
                Outcome {
                    state,
                    message: Some(message),
                    log_tail,
                    result,
                }
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
