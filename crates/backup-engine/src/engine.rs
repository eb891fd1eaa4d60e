use std::sync::Arc;
use std::time::Duration;

use eviction_policy::{Action, Decision};
use health_metrics::Health;
use job_queue::{NewJob, Runner};
use vault_store::{StoreError, VaultId};
use zk_snapshot::{Comparison, Policy, ZnodePath};

use crate::browse::{self, CompareWith, Page, ZnodeContent, ZnodePage};
use crate::connect_string::is_the_servers;
use crate::kind::{JobKind, LANE};
use crate::parts::{Parts, lock};
use crate::request::RestorePayload;
use crate::view::{BackupInfo, JobInfo, describe, job_info, pending};
use crate::{
    BackupRequest, EngineBuilder, EngineError, Ensemble, InvalidRequest, Mode, RestoreRequest, Strategy,
    health, retention, select,
};

/// The longest that the schedule sleeps without looking at the clock, which may have been set.
const LOOK: Duration = Duration::from_secs(20);
/// Zxids of epochs from 2^31 are negative. The ensemble is to have some left.
const GREATEST_EPOCH: u32 = 2_000_000_000;

/// Backs up, restores, evicts and tells of it. Clones share everything.
///
/// Requests are queued durably and done one after another by [`run`](Self::run) (or [`step`](Self::step)), so a
/// backup and a restore never overlap. Everything that blocks is done on tokio's blocking threads.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<Parts>,
    runner: Arc<Runner>,
}

impl Engine {
    /// Begins an engine for `ensemble`.
    pub fn builder(ensemble: Arc<dyn Ensemble>) -> EngineBuilder {
        EngineBuilder::new(ensemble)
    }

    pub(crate) fn new(parts: Arc<Parts>, runner: Runner) -> Self {
        Self {
            parts,
            runner: Arc::new(runner),
        }
    }

    /// Queues a backup and returns its id, which is also the id of its job.
    ///
    /// # Errors
    /// [`EngineError::Invalid`], [`EngineError::QueueFull`], [`EngineError::Storage`]: nothing is queued then.
    pub async fn backup(&self, request: BackupRequest) -> Result<String, EngineError> {
        if request.mode == Mode::Transactional && !request.roots.is_empty() {
            return Err(InvalidRequest::RootsOfTransactional.into());
        }
        if request.mode == Mode::Transactional {
            select::refuse_chroot(&self.parts, "a transactional backup is")?;
        }
        let id = self
            .blocking(move |parts| parts.enqueue_backup(&request, false))
            .await?;
        self.runner.waker().wake();
        Ok(id.to_string())
    }

    /// Queues a restore and returns the id of its job.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::FullRestoreOff`]; [`EngineError::Invalid`]; [`EngineError::QueueFull`]; [`EngineError::Storage`].
    pub async fn restore(&self, request: RestoreRequest) -> Result<String, EngineError> {
        let id = self
            .blocking(move |parts| enqueue_restore(parts, request))
            .await?;
        self.runner.waker().wake();
        Ok(id)
    }

    /// Removes one backup, pinned or not.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::InUse`] while it is written, waits to be, or is being
    /// restored; [`EngineError::Storage`].
    pub async fn evict_one(&self, id: &str) -> Result<(), EngineError> {
        let id = parse_id(id)?;
        self.blocking(move |parts| match parts.remove(&id) {
            Err(EngineError::BackupNotFound(_)) if is_pending(parts, &id)? => {
                Err(EngineError::InUse(id.to_string()))
            }
            outcome => outcome,
        })
        .await
    }

    /// What [`evict_one`](Self::evict_one) would do.
    ///
    /// # Errors
    /// As [`evict_one`](Self::evict_one).
    pub async fn would_evict_one(&self, id: &str) -> Result<Decision, EngineError> {
        let id = parse_id(id)?;
        self.blocking(move |parts| {
            if parts.vaults.ids()?.contains(&id) {
                parts.is_free(&id, &lock(&parts.in_use))?;
                return Ok(Decision {
                    id: id.to_string(),
                    action: Action::Evict,
                    reason: "it is named".to_owned(),
                });
            }
            Err(if is_pending(parts, &id)? {
                EngineError::InUse(id.to_string())
            } else {
                EngineError::BackupNotFound(id.to_string())
            })
        })
        .await
    }

    /// Applies the eviction policies, or only tells what they say, oldest first and full backups first.
    ///
    /// # Errors
    /// [`EngineError::Storage`] naming what could not be removed; the rest was.
    pub async fn evict(&self, dry_run: bool) -> Result<Vec<Decision>, EngineError> {
        self.blocking(move |parts| retention::run(parts, dry_run, false))
            .await
    }

    /// The same, where the clock has moved and is right now: from here on it is relied on again.
    ///
    /// # Errors
    /// As [`evict`](Self::evict).
    pub async fn evict_trusting_clock(&self, dry_run: bool) -> Result<Vec<Decision>, EngineError> {
        self.blocking(move |parts| retention::run(parts, dry_run, true))
            .await
    }

    /// The ids of all finished backups, oldest first.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn list(&self) -> Result<Vec<String>, EngineError> {
        self.blocking(|parts| Ok(parts.vaults.ids()?.iter().map(ToString::to_string).collect()))
            .await
    }

    /// What is known of a backup, finished or not; `None` if there is none, or its id is no id.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn describe(&self, id: &str) -> Result<Option<BackupInfo>, EngineError> {
        let Ok(id) = id.parse::<VaultId>() else {
            return Ok(None);
        };
        self.blocking(move |parts| match describe(&*parts.vaults, &id) {
            Err(StoreError::NotFound(_)) => {
                let job = parts.jobs.get(id.as_str())?;
                let waits = job.filter(|job| !job.state.is_final());
                Ok(waits.map(|job| pending(&id, &job)))
            }
            outcome => Ok(Some(outcome?)),
        })
        .await
    }

    /// The state of a job.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn job(&self, id: &str) -> Result<Option<JobInfo>, EngineError> {
        if id.len() > 64 {
            return Ok(None);
        }
        let id = id.to_owned();
        self.blocking(move |parts| {
            let running = lock(&parts.running).clone().filter(|(running, _)| *running == id);
            Ok(parts
                .jobs
                .get(&id)?
                .map(|job| job_info(job, running.as_ref().map(|(_, progress)| &**progress))))
        })
        .await
    }

    /// The children of a znode in a backup, by name. The first call for a backup reads through it.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`], [`EngineError::ZnodeNotFound`]; [`EngineError::Invalid`] for a backup that
    /// failed; [`EngineError::Storage`], also where it is damaged.
    pub async fn znodes(&self, id: &str, path: ZnodePath, page: Page) -> Result<ZnodePage, EngineError> {
        let id = id.to_owned();
        self.blocking(move |parts| browse::znodes(parts, &id, &path, page))
            .await
    }

    /// A znode in a backup, with data and ACL.
    ///
    /// # Errors
    /// As [`znodes`](Self::znodes).
    pub async fn znode(&self, id: &str, path: ZnodePath) -> Result<ZnodeContent, EngineError> {
        let id = id.to_owned();
        self.blocking(move |parts| browse::znode(parts, &id, &path)).await
    }

    /// What became of the znodes of the backup `from`, all but those below `/zookeeper`.
    ///
    /// # Errors
    /// As [`znodes`](Self::znodes); [`EngineError::ZooKeeper`].
    pub async fn compare(&self, from: &str, to: CompareWith, page: Page) -> Result<Comparison, EngineError> {
        let from = from.to_owned();
        match to {
            CompareWith::Live => browse::with_live(&self.parts, &from, page).await,
            CompareWith::Backup(to) => {
                self.blocking(move |parts| browse::between(parts, &from, &to, page))
                    .await
            }
        }
    }

    /// How everything is. Asks ZooKeeper, and waits for it a quarter of a second at most: what it said last comes with
    /// its age.
    pub async fn health(&self) -> Health {
        let zookeeper = self.parts.probed.health(&self.parts.ensemble).await;
        let parts = Arc::clone(&self.parts);
        let report = tokio::task::spawn_blocking(move || health::report(&parts, zookeeper)).await;
        report.unwrap_or_else(|error| health::unknown(&error.to_string()))
    }

    /// Counters and a health report as Prometheus text.
    ///
    /// # Errors
    /// [`EngineError::Storage`], never in practice.
    pub async fn metrics(&self) -> Result<String, EngineError> {
        let health = self.health().await;
        self.parts
            .metrics
            .render(&health)
            .map_err(|error| EngineError::Storage(error.to_string()))
    }

    /// Does the next job, if there is one, and says whether there was.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn step(&self) -> Result<bool, EngineError> {
        Ok(self.runner.step().await?)
    }

    /// Does jobs and serves the schedule until `shutdown` is ready; a job that has begun is finished first.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let schedule = async {
            loop {
                let now = self.parts.now();
                let next = lock(&self.parts.ticker)
                    .as_ref()
                    .and_then(job_queue::Ticker::next);
                let wait = next.map_or(LOOK, |next| {
                    Duration::try_from(next - now)
                        .unwrap_or_default()
                        .min(LOOK)
                        .max(Duration::from_millis(10))
                });
                tokio::time::sleep(wait).await;
                match self.blocking(tick).await {
                    Ok(true) => self.runner.waker().wake(),
                    Ok(false) => {}
                    Err(error) => log::error!("the scheduled backup was not queued: {error}"),
                }
            }
        };
        tokio::select! {
            () = self.runner.run(shutdown) => {}
            () = schedule => {}
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Parts>) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let parts = Arc::clone(&self.parts);
        tokio::task::spawn_blocking(move || work(&parts))
            .await
            .unwrap_or_else(|error| Err(EngineError::Internal(error.to_string())))
    }
}

pub(crate) fn parse_id(id: &str) -> Result<VaultId, EngineError> {
    id.parse().map_err(|_| EngineError::BackupNotFound(id.to_owned()))
}

fn is_pending(parts: &Parts, id: &VaultId) -> Result<bool, EngineError> {
    Ok(parts
        .jobs
        .get(id.as_str())?
        .is_some_and(|job| !job.state.is_final()))
}

/// Queues a scheduled backup if one is due and none waits.
fn tick(parts: &Arc<Parts>) -> Result<bool, EngineError> {
    let waits = parts.jobs.counts()?.queued_by_schedule > 0;
    let due = lock(&parts.ticker)
        .as_mut()
        .is_some_and(|ticker| ticker.tick(parts.now(), waits));
    if !due {
        return Ok(false);
    }
    let queued = parts.enqueue_backup(&BackupRequest::default(), true);
    if queued.is_err()
        && let Some(ticker) = lock(&parts.ticker).as_mut()
    {
        ticker.miss();
    }
    queued.map(|_| true)
}

fn enqueue_restore(parts: &Parts, request: RestoreRequest) -> Result<String, EngineError> {
    let id = select::vault(parts, &request)?;
    if request.roots.is_empty() && !parts.full_restore {
        return Err(EngineError::FullRestoreOff);
    }
    for (from, to) in &request.renames {
        if from.is_root() || to.is_root() {
            return Err(InvalidRequest::RenamesRoot.into());
        }
        if is_the_servers(to) {
            let (from, to) = (from.clone(), to.clone());
            return Err(InvalidRequest::RenamesIntoServers { from, to }.into());
        }
        if !request.roots.is_empty() && !request.roots.iter().any(|root| from.is_within(root)) {
            return Err(InvalidRequest::RenamesUnwanted(from.clone()).into());
        }
    }
    let RestoreRequest {
        roots,
        renames,
        policy,
        dry_run,
        strategy,
        raise_epoch,
        ..
    } = request;
    if strategy == Strategy::Files {
        if !roots.is_empty() || !renames.is_empty() || policy != Policy::Replace {
            return Err(InvalidRequest::ChoosesByFiles.into());
        }
        if parts.vaults.manifest(&id)?.mode != Mode::Transactional {
            return Err(InvalidRequest::NotTransactional(id).into());
        }
        if raise_epoch.is_some_and(|epoch| epoch > GREATEST_EPOCH) {
            return Err(InvalidRequest::EpochTooGreat(GREATEST_EPOCH).into());
        }
    } else if raise_epoch.is_some() {
        return Err(InvalidRequest::EpochOnline.into());
    }
    let payload = serde_json::to_value(RestorePayload {
        roots,
        renames,
        policy,
        dry_run,
        strategy,
        raise_epoch,
    })
    .map_err(|error| EngineError::Internal(error.to_string()))?;
    let task = uuid::Uuid::new_v4().to_string();
    let job = NewJob::new(&task, JobKind::Restore.name())
        .in_lane(LANE)
        .needing(id.as_str())
        .with_payload(payload);
    // So that it is not removed in between.
    let in_use = lock(&parts.in_use);
    if let Err(error @ StoreError::NotFound(_)) = parts.vaults.manifest(&id) {
        return Err(error.into());
    }
    parts.jobs.enqueue(job, parts.now(), parts.max_queued)?;
    drop(in_use);
    Ok(task)
}
