//! Jobs: what they are, how far, and how they are called off.

use std::sync::Arc;

use job_queue::{Job, JobState, QueueError};

use super::Engine;
use crate::blocking::blocking;
use crate::error::EngineError;
use crate::info::{JobInfo, JobPage};
use crate::kind::CHECKS;
use crate::vaults::browse::Page;
use crate::watch::{JobWatch, LONGEST_ID, look_up};

impl Engine {
    /// The state of a job.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn job(&self, id: &str) -> Result<Option<JobInfo>, EngineError> {
        look_up(&self.requests, &self.running, id).await
    }

    /// Jobs, from the one that was queued last to the first.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn jobs(&self, page: Page) -> Result<JobPage, EngineError> {
        let (requests, running) = (Arc::clone(&self.requests), Arc::clone(&self.running));
        blocking(move || {
            let listed = requests.jobs.list(page.offset, page.limit)?;
            let told = |job: Job| {
                let progress = running.of(&job.id);
                JobInfo::new(job, progress)
            };
            Ok(JobPage {
                total: listed.total,
                jobs: listed.jobs.into_iter().map(told).collect(),
            })
        })
        .await
    }

    /// Follows a job: each [`next`](JobWatch::next) is what has changed, in its state or in how far it is.
    pub fn watch(&self, id: &str) -> JobWatch {
        let (requests, running) = (Arc::clone(&self.requests), Arc::clone(&self.running));
        JobWatch::new(requests, running, [self.runner.ended(), self.checker.ended()], id)
    }

    /// Calls a job off. One that waits is `Canceled` at once. One that is being done stays `Processing` until it comes to its
    /// next batch, and ends as `Canceled`; or otherwise, if it was done before that. A canceled backup leaves no vault; what a
    /// canceled restore has written stays, its result tells, and a later restore finishes what it left unfinished. Returns the
    /// state that the job is in.
    ///
    /// # Errors
    /// [`EngineError::JobNotFound`]; [`EngineError::JobEnded`]; [`EngineError::Storage`].
    pub async fn cancel(&self, id: &str) -> Result<JobState, EngineError> {
        if id.len() > LONGEST_ID {
            return Err(EngineError::JobNotFound(id.to_owned()));
        }
        let (requests, asked) = (Arc::clone(&self.requests), id.to_owned());
        let job = blocking(move || Ok(requests.jobs.get(&asked)?)).await?;
        let runner = match job {
            Some(job) if job.lane == CHECKS => &self.checker,
            Some(_) | None => &self.runner,
        };
        runner.cancel(id).await.map_err(|error| match error {
            QueueError::NotFound(id) => EngineError::JobNotFound(id),
            QueueError::Illegal { id, from, .. } => EngineError::JobEnded { id, state: from },
            error => error.into(),
        })
    }

    /// Waits until a job has ended, and says how. Somebody must do jobs meanwhile: [`run`](Self::run) or [`step`](Self::step).
    ///
    /// # Errors
    /// [`EngineError::JobNotFound`]; [`EngineError::Storage`].
    pub async fn wait(&self, id: &str) -> Result<JobInfo, EngineError> {
        let mut watch = self.watch(id);
        loop {
            match watch.next().await? {
                Some(job) if job.status.is_final() => return Ok(job),
                Some(_) => {}
                None => return Err(EngineError::JobNotFound(id.to_owned())),
            }
        }
    }
}
