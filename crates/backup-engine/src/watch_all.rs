//! All jobs that are done, followed together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::info::JobInfo;
use crate::requests::Requests;
use crate::watch::look_up;
use crate::work::Running;

/// How far jobs are is told no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// The jobs that this engine does, followed from now on. Made by [`Engine::watch_all`].
#[must_use]
pub struct JobsWatch {
    requests: Arc<Requests>,
    running: Arc<Running>,
    begun: broadcast::Receiver<String>,
    ended: [watch::Receiver<u64>; 2],
    /// Jobs whose end was not told, as they were told last; `None` if nothing was told of them yet.
    open: BTreeMap<String, Option<JobInfo>>,
    /// When progress may be told again.
    next_look: Instant,
}

impl Engine {
    /// Follows all jobs that this engine does, those first that are being done. Where several engines share their jobs, those of others are not told.
    pub fn watch_all(&self) -> JobsWatch {
        let begun = self.running.begun();
        let open = self.running.all().into_keys().map(|id| (id, None));
        JobsWatch {
            requests: Arc::clone(&self.requests),
            open: open.collect(),
            running: Arc::clone(&self.running),
            begun,
            ended: [self.runner.ended(), self.checker.ended()],
            next_look: Instant::now(),
        }
    }
}

impl JobsWatch {
    /// Waits until jobs begin, are further, or end, and tells these. How far they are is told twice a second at most; each end is told, and once. Of jobs
    /// that begin while nobody calls it more than 256 are passed over. May be dropped while it waits.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn next(&mut self) -> Result<Vec<JobInfo>, EngineError> {
        loop {
            for ended in &mut self.ended {
                ended.borrow_and_update();
            }
            let news = self.look().await?;
            if !news.is_empty() {
                return Ok(news);
            }
            let next_look = self.next_look;
            let progress = async {
                match self.open.is_empty() {
                    true => std::future::pending().await,
                    false => sleep_until(next_look).await,
                }
            };
            let [work, checks] = &mut self.ended;
            let begun = tokio::select! {
                begun = self.begun.recv() => begun,
                _ = work.changed() => continue,
                _ = checks.changed() => continue,
                () = progress => continue,
            };
            match begun {
                Ok(id) => _ = self.open.entry(id).or_insert(None),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// What is other than what was told last.
    async fn look(&mut self) -> Result<Vec<JobInfo>, EngineError> {
        let running = self.running.all();
        let may_tell = Instant::now() >= self.next_look;
        let mut looked_up = Vec::new();
        for (id, told) in &self.open {
            // The store is asked about begins and ends alone.
            match (running.get(id), told) {
                (Some(now), Some(told)) if may_tell && told.progress.as_ref() != Some(now) => {
                    let job = JobInfo {
                        progress: Some(now.clone()),
                        ..told.clone()
                    };
                    looked_up.push((id.clone(), Some(job)));
                }
                (Some(_), Some(_)) => {}
                _ => {
                    let job = look_up(&self.requests, &self.running, id).await?;
                    looked_up.push((id.clone(), job));
                }
            }
        }
        // Nothing is waited for from here on: whoever gives up waiting misses nothing.
        let mut news = Vec::new();
        for (id, job) in looked_up {
            match job {
                Some(job) if !job.status.is_final() => {
                    // Where it is not done any more, its end is about to be stored.
                    let was_told = self.open.get(&id).is_some_and(Option::is_some);
                    if !was_told || running.contains_key(&id) {
                        self.open.insert(id, Some(job.clone()));
                        news.push(job);
                    }
                }
                ended => {
                    self.open.remove(&id);
                    news.extend(ended);
                }
            }
        }
        if may_tell {
            self.next_look = Instant::now() + PROGRESS_EVERY;
        }
        Ok(news)
    }
}

impl std::fmt::Debug for JobsWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobsWatch")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}
