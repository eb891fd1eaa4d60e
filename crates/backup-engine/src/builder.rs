//! How an engine is put together.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eviction_policy::{EvictionPolicy, RulePolicy};
#[cfg(feature = "sqlite")]
use health_metrics::FsProbe;
use health_metrics::{FixedStorage, Metrics, ProcessProbe, StorageProbe, SystemProcess};
#[cfg(feature = "sqlite")]
use job_queue::SqliteJobs;
use job_queue::{Clock, JobStore, MemoryJobs, Runner, Schedule};
#[cfg(feature = "sqlite")]
use vault_store::FsStore;
use vault_store::{MemoryStore, VaultStore};
use zk_snapshot::capture::CaptureOptions;
use zk_snapshot::restore::RestoreOptions;

use crate::clock::SystemClock;
use crate::engine::Engine;
use crate::ensemble::{Ensemble, Probed, StateSource};
use crate::error::EngineError;
use crate::health::Probes;
use crate::kind::{LANE, WORKER};
use crate::requests::Requests;
use crate::site::{
    ClockWatch, History, PolicyBook, Recovery, Retention, Scheduled, SettingNames, Site, UnfinishedZnodes,
    Uptime, uptime,
};
use crate::vaults::Vaults;
use crate::work::{Running, Worker};

impl Engine {
    /// Begins an engine for `ensemble`.
    pub fn builder(ensemble: Arc<dyn Ensemble>) -> EngineBuilder {
        EngineBuilder::new(ensemble)
    }
}

/// Puts an [`Engine`] together. Without [`storage`](Self::storage) vaults and jobs are kept in memory.
#[must_use]
pub struct EngineBuilder {
    ensemble: Arc<dyn Ensemble>,
    states: Vec<Arc<dyn StateSource>>,
    vaults: Arc<dyn VaultStore>,
    jobs: Arc<dyn JobStore>,
    full_policy: Option<Arc<dyn EvictionPolicy>>,
    granular_policy: Option<Arc<dyn EvictionPolicy>>,
    storage_probe: Arc<dyn StorageProbe>,
    process_probe: Arc<dyn ProcessProbe>,
    clock: Clock,
    uptime: Uptime,
    max_queued: usize,
    full_restore: bool,
    consistency_rounds: u32,
    sequence_limit: u64,
    recovery: Option<Recovery>,
    /// Where earlier versions noted what restores left unfinished.
    noted_earlier: Option<PathBuf>,
    notes_lost: bool,
    schedule: Option<Schedule>,
    names: SettingNames,
}

impl EngineBuilder {
    fn new(ensemble: Arc<dyn Ensemble>) -> Self {
        Self {
            ensemble,
            states: Vec::new(),
            vaults: Arc::new(MemoryStore::new()),
            jobs: Arc::new(MemoryJobs::new()),
            full_policy: None,
            granular_policy: None,
            storage_probe: Arc::new(FixedStorage::default()),
            process_probe: Arc::new(SystemProcess::default()),
            clock: SystemClock::shared(),
            uptime: uptime(),
            max_queued: 100,
            full_restore: true,
            consistency_rounds: CaptureOptions::default().rounds,
            sequence_limit: RestoreOptions::default().sequence_limit,
            recovery: None,
            noted_earlier: None,
            notes_lost: false,
            schedule: None,
            names: SettingNames::default(),
        }
    }

    /// Keeps vaults, jobs with what restores leave unfinished (`jobs.db`) and the last time that was relied on (`clock`)
    /// in the directory `root`, which no other process may hold.
    ///
    /// # Errors
    /// [`EngineError::Storage`] if it is held, missing and cannot be made, or cannot be written.
    #[cfg(feature = "sqlite")]
    pub fn storage(mut self, root: &Path) -> Result<Self, EngineError> {
        let vaults = FsStore::open(root)?;
        for name in vaults.swept() {
            log::warn!("swept what was never finished: {name}");
        }
        let tightened = vaults.tightened();
        if tightened.closed > 0 {
            let (closed, root) = (tightened.closed, root.display());
            log::warn!(
                "{closed} files and directories of {root} could be read by other users: they are closed to them now"
            );
        }
        for left in &tightened.left_open {
            log::warn!("other users may have access, and it cannot be taken from them: {left}");
        }
        let opened = SqliteJobs::open(&root.join("jobs.db"))?;
        self.notes_lost = opened.notes_lost;
        if let Some(path) = opened.moved_aside {
            log::warn!(
                "the job database was damaged: moved to {}, and a new one begun",
                path.display()
            );
        }
        self.noted_earlier = Some(root.join("unfinished.jsonl"));
        self.vaults = Arc::new(vaults);
        self.jobs = Arc::new(opened.jobs);
        self.storage_probe = Arc::new(FsProbe::new(root));
        Ok(self)
    }

    /// Where vaults are kept.
    pub fn vaults(mut self, vaults: Arc<dyn VaultStore>) -> Self {
        self.vaults = vaults;
        self
    }

    /// Where jobs are kept.
    pub fn jobs(mut self, jobs: Arc<dyn JobStore>) -> Self {
        self.jobs = jobs;
        self
    }

    /// What full backups are evicted by, unless rules were set in its place ([`Engine::set_policies`]); `1d/1d,7d/7d,1m/delete` if not
    /// said.
    pub fn full_policy(mut self, policy: Arc<dyn EvictionPolicy>) -> Self {
        self.full_policy = Some(policy);
        self
    }

    /// The same of granular backups; `7d/delete` if not said.
    pub fn granular_policy(mut self, policy: Arc<dyn EvictionPolicy>) -> Self {
        self.granular_policy = Some(policy);
        self
    }

    /// What measures the storage.
    pub fn storage_probe(mut self, probe: Arc<dyn StorageProbe>) -> Self {
        self.storage_probe = probe;
        self
    }

    /// What measures this process.
    pub fn process_probe(mut self, probe: Arc<dyn ProcessProbe>) -> Self {
        self.process_probe = probe;
        self
    }

    /// What tells the time.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What tells how much time has passed, whatever the clock is set to: where the two differ by more than a day, no
    /// policy evicts anything. The machine's own, if not said.
    pub fn uptime(mut self, uptime: Arc<dyn Fn() -> Duration + Send + Sync>) -> Self {
        self.uptime = uptime;
        self
    }

    /// How many jobs may wait; 100 if not said.
    pub fn max_queued(mut self, jobs: usize) -> Self {
        self.max_queued = jobs;
        self
    }

    /// Whether a restore may be asked for without naming root znodes; it may, if not said.
    pub fn full_restore(mut self, allowed: bool) -> Self {
        self.full_restore = allowed;
        self
    }

    /// How often a backup reads again what changed meanwhile before it is called fuzzy; 200 if not said, and 0
    /// never claims to be consistent.
    pub fn consistency_rounds(mut self, rounds: u32) -> Self {
        self.consistency_rounds = rounds;
        self
    }

    /// How many children a restore may create and delete again to raise the counters of sequential children;
    /// 1,000,000 if not said.
    pub fn sequence_limit(mut self, steps: u64) -> Self {
        self.sequence_limit = steps;
        self
    }

    /// How ensembles are brought back by files; not at all, if not said.
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.recovery = Some(recovery);
        self
    }

    /// Where transactional backups come from; the first that has a state is taken. Without any, there are none.
    pub fn states(mut self, sources: Vec<Arc<dyn StateSource>>) -> Self {
        self.states = sources;
        self
    }

    /// When to back up without being asked; never, if not said.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// What these settings are called where people set them.
    pub fn setting_names(mut self, names: SettingNames) -> Self {
        self.names = names;
        self
    }

    /// Builds the engine. Jobs that a crash interrupted are failed.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub fn build(self) -> Result<Engine, EngineError> {
        let now = (self.clock)();
        for job in self.jobs.recover(WORKER, None, now)? {
            log::warn!("job {} was interrupted", job.id);
        }
        let (jobs, earlier) = (Arc::clone(&self.jobs), self.noted_earlier.as_deref());
        let unfinished = UnfinishedZnodes::open(jobs, earlier, self.notes_lost)?;
        let parse = |text: &str| -> Result<Arc<dyn EvictionPolicy>, EngineError> {
            let policy: RulePolicy = text
                .parse()
                .map_err(|error| EngineError::Internal(Box::new(error)))?;
            Ok(Arc::new(policy))
        };
        let policy = |given: Option<Arc<dyn EvictionPolicy>>, text| given.map_or_else(|| parse(text), Ok);
        let newest = self.vaults.ids()?.pop().map(|id| {
            let manifest = self.vaults.manifest(&id);
            manifest.map_or(id.time(), |manifest| manifest.date())
        });
        let watch = ClockWatch::new(self.uptime, Arc::clone(&self.vaults), newest, now);
        if let Some(why) = watch.moved(now) {
            log::warn!("no policy evicts anything: {why}");
        }
        let metrics = Metrics::new().map_err(|error| EngineError::Internal(error.into()))?;
        let (metrics, running) = (Arc::new(metrics), Arc::<Running>::default());
        let vaults = Arc::new(Vaults::new(self.vaults, Arc::clone(&self.jobs)));
        let site = Arc::new(Site {
            ensemble: self.ensemble,
            names: self.names,
            probed: Arc::<Probed>::default(),
            states: self.states,
            consistency_rounds: self.consistency_rounds,
            sequence_limit: self.sequence_limit,
            schedule: self.schedule.map(|schedule| Scheduled::new(schedule, now)),
            retention: Retention {
                policies: PolicyBook::new(
                    Arc::clone(&vaults.store),
                    policy(self.full_policy, "1d/1d,7d/7d,1m/delete")?,
                    policy(self.granular_policy, "7d/delete")?,
                ),
                clock: watch,
            },
            history: History::new(
                Arc::clone(&vaults.store),
                self.recovery.as_ref().map(|recovery| recovery.directory.clone()),
            ),
            recovery: self.recovery,
            unfinished: Arc::new(unfinished),
        });
        let worker = Worker {
            vaults: Arc::clone(&vaults),
            site: Arc::clone(&site),
            jobs: Arc::clone(&self.jobs),
            running: Arc::clone(&running),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&self.clock),
        };
        let runner = Runner::new(
            Arc::clone(&self.jobs),
            Arc::new(worker),
            Arc::clone(&self.clock),
            WORKER,
            LANE,
        );
        Ok(Engine {
            vaults,
            site,
            requests: Arc::new(Requests::new(
                self.jobs,
                Arc::clone(&self.clock),
                self.max_queued,
                self.full_restore,
            )),
            probes: Arc::new(Probes {
                storage: self.storage_probe,
                process: self.process_probe,
            }),
            metrics,
            running,
            clock: self.clock,
            runner: Arc::new(runner),
        })
    }
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("ensemble", &self.ensemble.name())
            .finish_non_exhaustive()
    }
}
