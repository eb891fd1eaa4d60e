//! The engine, as it is used.

use std::io::{Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use eviction_policy::{Action, Decision};
use futures::FutureExt as _;
use health_metrics::{Health, Metrics};
use job_queue::{Clock, Job, JobState, QueueError, Runner};
use time::OffsetDateTime;
use tokio::sync::watch;
#[cfg(feature = "object-store")]
use vault_store::ObjectVaults;
use vault_store::{FsStore, StoreError, VaultId};
use zk_snapshot::archive::Comparison;
use zk_snapshot::tree::ZnodePath;

use crate::blocking::blocking;
use crate::clock::ms;
use crate::error::{EngineError, InvalidRequest, parse_id};
use crate::health::{self, Probes};
use crate::info::{BackupInfo, JobInfo, JobPage};
use crate::kind::CHECKS;
use crate::leadership::Leadership;
use crate::requests::{
    BackupRequest, Labels, Requests, RestoreRequest, RestoreSource, RestoreTestRequest, VerifyRequest,
};
use crate::site::{Policies, PolicyChange, PolicyOutcome, Site, live};
use crate::vaults::browse::{CompareWith, Page, ZnodeContent, ZnodePage};
use crate::vaults::changes::ZnodeHistory;
use crate::vaults::exchange::{self, Export, ImportOptions};
use crate::vaults::{LATEST, Stored, Vaults, compare, records};
use crate::watch::{JobWatch, LONGEST_ID, look_up};
use crate::work::{Running, with_live};

/// The longest that the schedule sleeps without looking at the clock, which may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);

/// So many backups may fail one after another before somebody else is to lead.
const PATIENCE: u32 = 3;

/// Backs up, restores, evicts and tells of it. Clones share everything.
///
/// Requests are queued durably and done one after another by [`run`](Self::run) (or [`step`](Self::step)), so a
/// backup and a restore never overlap; checks of what is stored are done one after another beside them. Everything that blocks is done on tokio's blocking threads.
#[derive(Clone)]
pub struct Engine {
    pub(crate) vaults: Arc<Vaults>,
    #[cfg(feature = "object-store")]
    pub(crate) objects: Option<ObjectVaults>,
    /// Its lock is held as long as there is an engine.
    pub(crate) _local_state: Option<Arc<FsStore>>,
    pub(crate) site: Arc<Site>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) probes: Arc<Probes>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) running: Arc<Running>,
    pub(crate) clock: Clock,
    pub(crate) runner: Arc<Runner>,
    /// Does the checks.
    pub(crate) checker: Arc<Runner>,
    pub(crate) ending: Arc<watch::Sender<bool>>,
    /// `None` where it works always.
    pub(crate) leadership: Option<Arc<dyn Leadership>>,
    /// By which name it claims jobs.
    pub(crate) worker: Arc<str>,
    /// Backups that failed one after another.
    pub(crate) failed_in_a_row: Arc<AtomicU32>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("ensemble", &self.site.ensemble.name())
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn now(&self) -> OffsetDateTime {
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

    /// Queues a verification and returns the id of its job, which reads backups from beginning to end, decodes all that is in them, and
    /// fails where something is not as it was written. What it found is told of each backup from then on.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`], [`EngineError::QueueFull`], [`EngineError::Storage`].
    pub async fn verify(&self, request: VerifyRequest) -> Result<String, EngineError> {
        let (vaults, _, requests) = self.rooms();
        let id = blocking(move || requests.verify(&vaults, &request)).await?;
        self.wake();
        Ok(id)
    }

    /// Queues a restore for a test and returns the id of its job: the backup is restored to memory or an ensemble of its own, read anew, and
    /// compared znode by znode. A difference makes the job fail.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::Invalid`] where it is too large for memory, or there is no such place;
    /// [`EngineError::QueueFull`]; [`EngineError::Storage`].
    pub async fn restore_test(&self, request: RestoreTestRequest) -> Result<String, EngineError> {
        let (vaults, site, requests) = self.rooms();
        let id = blocking(move || requests.restore_test(&vaults, &site, &request)).await?;
        self.wake();
        Ok(id)
    }

    /// Removes one backup, pinned or not.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::InUse`] while it is written, waits to be, or is being
    /// restored; [`EngineError::Retained`]; [`EngineError::Storage`].
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

    /// Forgets what [`set_policies`](Self::set_policies) has set in place of settings that are others now, so that it does not count again
    /// where they come back. To be called at the start by whoever knows that this engine has the settings.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn forget_overruled_policies(&self) -> Result<(), EngineError> {
        let site = Arc::clone(&self.site);
        blocking(move || Ok(site.retention.policies.forget_overruled()?)).await
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

    /// Pins a finished backup, so that no policy evicts it, or takes its pin away. Returns what is known of it then.
    /// `latest` is not taken: another one may have come since it was looked at.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::InUse`] while it waits or is written; [`EngineError::Storage`].
    pub async fn pin(&self, id: &str, pinned: bool) -> Result<BackupInfo, EngineError> {
        let id = parse_id(id)?;
        let (vaults, _, requests) = self.rooms();
        blocking(move || match vaults.pin(&id, pinned) {
            Err(EngineError::BackupNotFound(_)) if requests.pending(&id)?.is_some() => {
                Err(EngineError::InUse(id.to_string()))
            }
            Err(error) => Err(error),
            Ok(()) => Ok(BackupInfo::of(&vaults, Stored::read(&*vaults.store, &id)?)),
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
        let vaults = Arc::clone(&self.vaults);
        blocking(move || Ok(vaults.ids()?.iter().map(ToString::to_string).collect())).await
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
                outcome => Ok(Some(BackupInfo::of(&vaults, outcome?))),
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
            Ok(found.map(|stored| BackupInfo::of(&vaults, stored)))
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

    /// A znode as it is in ZooKeeper now. Its data and its ACL may stem from slightly different moments.
    ///
    /// # Errors
    /// [`EngineError::ZnodeNotFound`]; [`EngineError::ZooKeeper`], also where it is not shown to this identity.
    pub async fn live_znode(&self, path: ZnodePath) -> Result<ZnodeContent, EngineError> {
        live::znode(&*self.site.ensemble, path).await
    }

    /// What the job of a backup said, line by line: the first 8 MiB of it, and nothing where that was not kept. `latest` is the newest good
    /// backup.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::Sealed`]; [`EngineError::Storage`].
    pub async fn log(&self, id: &str) -> Result<String, EngineError> {
        let (id, vaults) = (id.to_owned(), Arc::clone(&self.vaults));
        blocking(move || {
            let id = vaults.named(&id)?;
            records::log(&*vaults.store, &id)
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

    /// Addresses from which anybody can read the files of a backup in a bucket until `valid_for` has passed, in the order of its manifest.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::NoLinks`] where backups are in no bucket; [`EngineError::Storage`].
    #[cfg(feature = "s3")]
    pub async fn links(&self, id: &str, valid_for: Duration) -> Result<Vec<(String, String)>, EngineError> {
        let (id, objects) = (parse_id(id)?, self.objects.clone());
        let Some(objects) = objects else {
            return Err(EngineError::NoLinks(id.to_string()));
        };
        blocking(move || {
            let links = objects.links(&id, valid_for)?;
            Ok(links
                .into_iter()
                .map(|(name, link)| (name.to_string(), link))
                .collect())
        })
        .await
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
        let (now, leadership) = (self.now(), self.leadership.clone());
        let report = tokio::task::spawn_blocking(move || {
            let mut health = health::report(&probes, &vaults, &site, &requests, now, zookeeper);
            if let Some(leadership) = leadership.map(|leadership| leadership.told()) {
                if !leadership.leads {
                    health.schedule = site
                        .schedule
                        .as_ref()
                        .map(|schedule| schedule.report_of_standby(now));
                }
                health.leadership = Some(leadership);
            }
            health
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
        Ok(self.runner.step().await? || self.checker.step().await?)
    }

    /// Does jobs and serves the schedules until `shutdown` is ready; a backup or restore that has begun is finished first, and a check is ended.
    ///
    /// With a [leadership](crate::EngineBuilder::leadership) it does so while it leads, and gives the lead away at the end.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let shutdown = shutdown.shared();
        let work = async {
            match &self.leadership {
                None => self.work(shutdown).await,
                Some(leadership) => self.work_while_leading(leadership, shutdown).await,
            }
        };
        tokio::select! {
            () = work => {}
            () = self.upkeep() => {}
        }
    }

    /// Does jobs and serves the schedules.
    pub(crate) async fn work(&self, shutdown: impl Future<Output = ()>) {
        self.ending.send_replace(false);
        let shutdown = async {
            shutdown.await;
            self.ending.send_replace(true);
        };
        let shutdown = shutdown.shared();
        let schedule = async {
            loop {
                let now = self.now();
                let checks = &self.site.checks;
                let schedules = [&self.site.schedule, &checks.verify, &checks.test];
                let schedules = schedules.into_iter().flatten();
                let next = schedules.filter_map(|schedule| schedule.next()).min();
                let wait = next.map_or(LONGEST_SLEEP, |next| {
                    Duration::try_from(next - now)
                        .unwrap_or_default()
                        .min(LONGEST_SLEEP)
                        .max(Duration::from_millis(10))
                });
                tokio::time::sleep(wait).await;
                let (vaults, site, requests) = self.rooms();
                match blocking(move || requests.backup_if_due(&vaults, &site)).await {
                    Ok(true) => self.wake(),
                    Ok(false) => {}
                    Err(error) => log::error!("the scheduled backup was not queued: {error}"),
                }
                let (vaults, site, requests) = self.rooms();
                match blocking(move || requests.checks_if_due(&vaults, &site)).await {
                    Ok(true) => self.wake(),
                    Ok(false) => {}
                    Err(error) => log::error!("a scheduled check was not queued: {error}"),
                }
            }
        };
        // Also while both lanes are busy, and neither asks: a check is told at once.
        let told = async {
            shutdown.clone().await;
            std::future::pending::<()>().await;
        };
        // A backup may have left something to be checked.
        let mut ended = self.runner.ended();
        let follow = async {
            while ended.changed().await.is_ok() {
                self.checker.waker().wake();
                let Some(leadership) = &self.leadership else {
                    continue;
                };
                if self.failed_in_a_row.load(Ordering::Relaxed) >= PATIENCE {
                    self.failed_in_a_row.store(0, Ordering::Relaxed);
                    log::error!("{PATIENCE} backups failed one after another: somebody else may do better");
                    leadership.step_down();
                }
            }
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(self.runner.run(shutdown.clone()), self.checker.run(shutdown.clone())) } => {}
            () = told => {}
            () = schedule => {}
            () = follow => {}
        }
    }

    /// Whichever of the two has something to do now.
    fn wake(&self) {
        self.runner.waker().wake();
        self.checker.waker().wake();
    }

    pub(crate) fn rooms(&self) -> (Arc<Vaults>, Arc<Site>, Arc<Requests>) {
        (
            Arc::clone(&self.vaults),
            Arc::clone(&self.site),
            Arc::clone(&self.requests),
        )
    }
}
