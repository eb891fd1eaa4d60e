//! Jobs, looked up once or followed while they are done.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::blocking::blocking;
use crate::error::EngineError;
use crate::info::JobInfo;
use crate::requests::Requests;
use crate::work::Running;

/// Longer than any id of a job.
pub(crate) const LONGEST_ID: usize = 64;
/// How far a running job is, is looked at so often.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What is known of a job; `None` if there is none.
pub(crate) async fn look_up(
    requests: &Arc<Requests>,
    running: &Arc<Running>,
    id: &str,
) -> Result<Option<JobInfo>, EngineError> {
    if id.len() > LONGEST_ID {
        return Ok(None);
    }
    let (requests, running, id) = (Arc::clone(requests), Arc::clone(running), id.to_owned());
    blocking(move || {
        let progress = running.of(&id);
        Ok(requests.jobs.get(&id)?.map(|job| JobInfo::new(job, progress)))
    })
    .await
}

/// A job that is followed. Made by [`Engine::watch`](crate::Engine::watch).
#[must_use]
pub struct JobWatch {
    requests: Arc<Requests>,
    running: Arc<Running>,
    id: String,
    told: Option<JobInfo>,
    ended: [watch::Receiver<u64>; 2],
}

impl JobWatch {
    /// Each of `ended` changes whenever a job of its lane ends.
    pub(crate) fn new(
        requests: Arc<Requests>,
        running: Arc<Running>,
        ended: [watch::Receiver<u64>; 2],
        id: &str,
    ) -> Self {
        Self {
            requests,
            running,
            id: id.to_owned(),
            told: None,
            ended,
        }
    }

    /// Waits until something is other than what was told last: first what there is, at last how the job ended, and `None` after that.
    /// What changed several times within 200 ms is told once. May be dropped while it waits.
    ///
    /// # Errors
    /// [`EngineError::JobNotFound`]; [`EngineError::Storage`].
    pub async fn next(&mut self) -> Result<Option<JobInfo>, EngineError> {
        if self.told.as_ref().is_some_and(|told| told.status.is_final()) {
            return Ok(None);
        }
        loop {
            let [work, checks] = &mut self.ended;
            work.borrow_and_update();
            checks.borrow_and_update();
            let job = look_up(&self.requests, &self.running, &self.id).await?;
            let job = job.ok_or_else(|| EngineError::JobNotFound(self.id.clone()))?;
            if self.told.as_ref() != Some(&job) {
                self.told = Some(job.clone());
                return Ok(Some(job));
            }
            let gone = |error: watch::error::RecvError| EngineError::Internal(error.into());
            tokio::select! {
                changed = work.changed() => changed.map_err(gone)?,
                changed = checks.changed() => changed.map_err(gone)?,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }
}

impl std::fmt::Debug for JobWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobWatch")
            .field("id", &self.id)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}
