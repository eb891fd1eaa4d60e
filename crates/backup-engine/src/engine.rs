//! The engine, as it is used.

use std::io::{Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eviction_policy::{Action, Decision};
use health_metrics::{Health, Metrics};
use job_queue::{Clock, Job, Runner};
use time::OffsetDateTime;
use vault_store::{StoreError, VaultId};
use zk_snapshot::archive::Comparison;
use zk_snapshot::tree::ZnodePath;

use crate::blocking::blocking;
use crate::clock::ms;
use crate::error::{EngineError, InvalidRequest, parse_id};
use crate::health::{self, Probes};
use crate::info::{BackupInfo, JobInfo, JobPage};
use crate::requests::{BackupRequest, Labels, Requests, RestoreRequest, RestoreSource};
use crate::site::{Policies, PolicyChange, PolicyOutcome, Site};
use crate::vaults::browse::{CompareWith, Page, ZnodeContent, ZnodePage};
use crate::vaults::changes::ZnodeHistory;
use crate::vaults::exchange::{self, Export, ImportOptions};
use crate::vaults::{LATEST, Stored, Vaults, compare};
use crate::watch::{JobWatch, look_up};
use crate::work::{Running, with_live};

/// The longest that the schedule sleeps without looking at the clock, which may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);

/// Backs up, restores, evicts and tells of it. Clones share everything.
///
/// Requests are queued durably and done one after another by [`run`](Self::run) (or [`step`](Self::step)), so a
/// backup and a restore never overlap. Everything that blocks is done on tokio's blocking threads.
#[derive(Clone)]
pub struct Engine {
    pub(crate) vaults: Arc<Vaults>,
    pub(crate) site: Arc<Site>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) probes: Arc<Probes>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) running: Arc<Running>,
    pub(crate) clock: Clock,
    pub(crate) runner: Arc<Runner>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("ensemble", &self.site.ensemble.name())
            .finish_non_exhaustive()
    }
}

impl Engine {
    fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }

    /// Queues a backup and returns its id, which is also the id of its job.
    ///
    /// # Errors
    /// [`EngineError::Invalid`], [`EngineError::QueueFull`], [`EngineError::Storage`]: nothing is queued then.
    pub async fn backup(&self, request: BackupRequest) -> Result<String, EngineError> {
        self.backup_labelled(request, Labels::new()).await
    }

    /// The same, with what the job is called by whoever asks for it.
    ///
    /// # Errors
    /// As [`backup`](Self::backup).
    pub async fn backup_labelled(
        &self,
        request: BackupRequest,
        labels: Labels,
    ) -> Result<String, EngineError> {
        let (vaults, site, requests) = self.rooms();
        let id = blocking(move || requests.backup(&vaults, &site, &request, &labels)).await?;
        self.runner.waker().wake();
        Ok(id.to_string())
    }

    /// Queues a restore and returns the id of its job.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::FullRestoreOff`]; [`EngineError::Invalid`]; [`EngineError::QueueFull`]; [`EngineError::Storage`].
    pub async fn restore(&self, request: RestoreRequest) -> Result<String, EngineError> {
        self.restore_labelled(request, Labels::new()).await
    }

    /// The same, with what the job is called by whoever asks for it.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub async fn restore_labelled(
        &self,
        request: RestoreRequest,
        labels: Labels,
    ) -> Result<String, EngineError> {
        let (vaults, site, requests) = self.rooms();
        let id = blocking(move || requests.restore(&vaults, &site, &request, &labels)).await?;
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
        let (vaults, _, requests) = self.rooms();
        let metrics = Arc::clone(&self.metrics);
        blocking(move || match vaults.remove(&id) {
            Ok(()) => {
                metrics.evicted(1);
                Ok(())
            }
            Err(EngineError::BackupNotFound(_)) if requests.pending(&id)?.is_some() => {
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
        let (vaults, requests) = (Arc::clone(&self.vaults), Arc::clone(&self.requests));
        blocking(move || {
            if vaults.store.ids()?.contains(&id) {
                vaults.check_free(&id)?;
                return Ok(Decision {
                    id: id.to_string(),
                    action: Action::Evict,
                    reason: "it is named".to_owned(),
                });
            }
            Err(match requests.pending(&id)? {
                Some(_) => EngineError::InUse(id.to_string()),
                None => EngineError::BackupNotFound(id.to_string()),
            })
        })
        .await
    }

    /// Applies the eviction policies, or only tells what they say, oldest first and full backups first.
    ///
    /// # Errors
    /// [`EngineError::Storage`] naming what could not be removed; the rest was.
    pub async fn evict(&self, dry_run: bool) -> Result<Vec<Decision>, EngineError> {
        self.apply_policies(dry_run, false).await
    }

    /// The same, where the clock has moved and is right now: from here on it is relied on again.
    ///
    /// # Errors
    /// As [`evict`](Self::evict).
    pub async fn evict_trusting_clock(&self, dry_run: bool) -> Result<Vec<Decision>, EngineError> {
        self.apply_policies(dry_run, true).await
    }

    async fn apply_policies(&self, dry_run: bool, trust_clock: bool) -> Result<Vec<Decision>, EngineError> {
        let (vaults, site, _) = self.rooms();
        let (metrics, now) = (Arc::clone(&self.metrics), self.now());
        blocking(move || site.retention.run(&vaults, &metrics, now, (dry_run, trust_clock))).await
    }

    /// The policies by which backups are evicted, and where they come from.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn policies(&self) -> Result<Policies, EngineError> {
        let site = Arc::clone(&self.site);
        blocking(move || Ok(site.retention.policies.told()?)).await
    }

    /// Changes the policies, or with `dry_run` only tells what the new ones say of the backups that there are. The storage keeps them:
    /// they count until the settings in whose place they are become others. Nothing is evicted before the next pass.
    ///
    /// # Errors
    /// [`EngineError::Storage`]: what counted before does, or the new ones do.
    pub async fn set_policies(
        &self,
        change: PolicyChange,
        dry_run: bool,
    ) -> Result<PolicyOutcome, EngineError> {
        let (vaults, site, _) = self.rooms();
        let now = self.now();
        blocking(move || site.retention.change(&vaults, change, dry_run, now)).await
    }

    /// Pins a finished backup, so that no policy evicts it, or takes its pin away. Returns what is known of it then. `latest` is the
    /// newest good one.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::InUse`] while it waits or is written; [`EngineError::Storage`].
    pub async fn pin(&self, id: &str, pinned: bool) -> Result<BackupInfo, EngineError> {
        let (vaults, _, requests) = self.rooms();
        let id = id.to_owned();
        blocking(move || {
            let id = vaults.named(&id)?;
            match vaults.pin(&id, pinned) {
                Err(EngineError::BackupNotFound(_)) if requests.pending(&id)?.is_some() => {
                    Err(EngineError::InUse(id.to_string()))
                }
                Err(error) => Err(error),
                Ok(()) => Ok(vaults.info(Stored::read(&*vaults.store, &id)?)),
            }
        })
        .await
    }

    /// Opens a finished backup to be written out. `latest` is the newest good one.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::Storage`].
    pub async fn export(&self, id: &str) -> Result<Export, EngineError> {
        let (id, vaults) = (id.to_owned(), Arc::clone(&self.vaults));
        blocking(move || Export::of(&vaults, &vaults.named(&id)?)).await
    }

    /// Takes a backup in that [`Export::write_zip`] has written, here or elsewhere, and returns its id. Everything in it is compared with its checksums
    /// before it is there. What was pinned stays so; policies see its own date.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] if anything is off: nothing is changed then. [`EngineError::BackupExists`] without `overwrite`;
    /// [`EngineError::InUse`]; [`EngineError::Storage`]: with `overwrite` the earlier one may be gone then.
    pub async fn import(
        &self,
        archive: impl Read + Seek + Send + 'static,
        options: ImportOptions,
    ) -> Result<VaultId, EngineError> {
        let (vaults, _, requests) = self.rooms();
        let now = self.now();
        blocking(move || {
            let mut archive = exchange::Archive::open(archive)
                .map_err(|error| InvalidRequest::NoBackup(error.to_string()))?;
            exchange::import(&vaults, &mut archive, &options, now, |id| {
                Ok(requests.pending(id)?.is_some())
            })
        })
        .await
    }

    /// Takes in the backup that lies in the directory `path` below `root`, as [`import`](Self::import) does, and queues a restore of it as `request`
    /// says, whatever source that names. One that was taken in before is not copied again. Returns the id of the job.
    ///
    /// # Errors
    /// [`EngineError::Invalid`], also where `path` leads out of `root`; [`EngineError::BackupExists`] for another backup with that id; those of
    /// [`restore`](Self::restore).
    pub async fn restore_external(
        &self,
        root: &Path,
        path: &str,
        request: RestoreRequest,
        limit: u64,
    ) -> Result<String, EngineError> {
        let (vaults, _, requests) = self.rooms();
        let (root, path, now) = (root.to_owned(), path.to_owned(), self.now());
        let full = request.roots.is_empty();
        let id = blocking(move || {
            requests.check_full(full)?;
            let no_backup = |why: std::io::Error| InvalidRequest::NoBackup(format!("{path:?}: {why}"));
            let mut directory = exchange::Directory::below(&root, &path).map_err(no_backup)?;
            exchange::adopt(&vaults, &mut directory, limit, now, |id| {
                Ok(requests.pending(id)?.is_some())
            })
        });
        let source = RestoreSource::Vault(id.await?.to_string());
        self.restore(RestoreRequest { source, ..request }).await
    }

    /// The ids of all finished backups, oldest first.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn list(&self) -> Result<Vec<String>, EngineError> {
        let store = Arc::clone(&self.vaults.store);
        blocking(move || Ok(store.ids()?.iter().map(ToString::to_string).collect())).await
    }

    /// What is known of a backup, finished or not; `None` if there is none, or its id is no id. `latest` is the newest good one.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn describe(&self, id: &str) -> Result<Option<BackupInfo>, EngineError> {
        if id != LATEST && id.parse::<VaultId>().is_err() {
            return Ok(None);
        }
        let (vaults, _, requests) = self.rooms();
        let asked = id.to_owned();
        blocking(move || {
            let id = match vaults.named(&asked) {
                Err(EngineError::BackupNotFound(_)) => return Ok(None),
                found => found?,
            };
            match Stored::read(&*vaults.store, &id) {
                Err(StoreError::NotFound(_)) => {
                    let job = requests.pending(&id)?;
                    Ok(job.map(|job| BackupInfo::pending(id, job)))
                }
                outcome => Ok(Some(vaults.info(outcome?))),
            }
        })
        .await
    }

    /// The first good backup at or after a time, full or granular, in ms since the Unix epoch.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn find(&self, since: i64) -> Result<Option<BackupInfo>, EngineError> {
        let vaults = Arc::clone(&self.vaults);
        blocking(move || {
            let all = vaults.all()?.into_iter();
            let found = vaults.first_good(all.filter(|stored| ms(stored.date()) >= since))?;
            Ok(found.map(|stored| vaults.info(stored)))
        })
        .await
    }

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
        JobWatch::new(requests, running, self.runner.ended(), id)
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

    /// The children of a znode in a backup, by name. `latest` is the newest good backup. The first call for a backup reads through it.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`], [`EngineError::ZnodeNotFound`]; [`EngineError::Invalid`] for a backup that
    /// failed; [`EngineError::Damaged`]; [`EngineError::Storage`].
    pub async fn znodes(&self, id: &str, path: ZnodePath, page: Page) -> Result<ZnodePage, EngineError> {
        let (id, vaults) = (id.to_owned(), Arc::clone(&self.vaults));
        blocking(move || {
            let id = vaults.named(&id)?;
            vaults.catalogs.znodes(&*vaults.store, &id, &path, page)
        })
        .await
    }

    /// A znode in a backup, with data and ACL.
    ///
    /// # Errors
    /// As [`znodes`](Self::znodes).
    pub async fn znode(&self, id: &str, path: ZnodePath) -> Result<ZnodeContent, EngineError> {
        let (id, vaults) = (id.to_owned(), Arc::clone(&self.vaults));
        blocking(move || {
            let id = vaults.named(&id)?;
            vaults.catalogs.znode(&*vaults.store, &id, &path)
        })
        .await
    }

    /// What became of the znodes of the backup `from`, all but those below `/zookeeper`. `latest` is the newest good backup.
    ///
    /// # Errors
    /// As [`znodes`](Self::znodes); [`EngineError::ZooKeeper`].
    pub async fn compare(&self, from: &str, to: CompareWith, page: Page) -> Result<Comparison, EngineError> {
        let (from, vaults) = (from.to_owned(), Arc::clone(&self.vaults));
        match to {
            CompareWith::Live => {
                let store = Arc::clone(&vaults.store);
                let from = blocking(move || vaults.named(&from)).await?;
                with_live(store, Arc::clone(&self.site), &from, page, self.now()).await
            }
            CompareWith::Backup(to) => {
                blocking(move || {
                    let (from, to) = (vaults.named(&from)?, vaults.named(&to)?);
                    compare::between(&*vaults.store, &from, &to, page)
                })
                .await
            }
        }
    }

    /// The backups in which a znode was another than in the one before. `page` counts the backups that are looked into, oldest first; after ten
    /// seconds no further one is.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn history(&self, path: ZnodePath, page: Page) -> Result<ZnodeHistory, EngineError> {
        let vaults = Arc::clone(&self.vaults);
        blocking(move || vaults.history(&path, page)).await
    }

    /// How everything is. Asks ZooKeeper, and waits for it a quarter of a second at most: what it said last comes with
    /// its age.
    pub async fn health(&self) -> Health {
        let zookeeper = self.site.probed.health(&self.site.ensemble).await;
        let ((vaults, site, requests), probes) = (self.rooms(), Arc::clone(&self.probes));
        let now = self.now();
        let report = tokio::task::spawn_blocking(move || {
            health::report(&probes, &vaults, &site, &requests, now, zookeeper)
        });
        report
            .await
            .unwrap_or_else(|error| health::unknown(&error.to_string()))
    }

    /// Counters and a health report as Prometheus text.
    ///
    /// # Errors
    /// [`EngineError::Internal`], never in practice.
    pub async fn metrics(&self) -> Result<String, EngineError> {
        let health = self.health().await;
        self.metrics
            .render(&health)
            .map_err(|error| EngineError::Internal(error.into()))
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
                let now = self.now();
                let next = self.site.schedule.as_ref().and_then(|schedule| schedule.next());
                let wait = next.map_or(LONGEST_SLEEP, |next| {
                    Duration::try_from(next - now)
                        .unwrap_or_default()
                        .min(LONGEST_SLEEP)
                        .max(Duration::from_millis(10))
                });
                tokio::time::sleep(wait).await;
                let (vaults, site, requests) = self.rooms();
                match blocking(move || requests.backup_if_due(&vaults, &site)).await {
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

    fn rooms(&self) -> (Arc<Vaults>, Arc<Site>, Arc<Requests>) {
        (
            Arc::clone(&self.vaults),
            Arc::clone(&self.site),
            Arc::clone(&self.requests),
        )
    }
}
