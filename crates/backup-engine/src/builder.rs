//! How an engine is put together.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use eviction_policy::{EvictionPolicy, RulePolicy};
#[cfg(feature = "sqlite")]
use health_metrics::FsProbe;
use health_metrics::{FixedStorage, Metrics, ProcessProbe, StorageProbe, SystemProcess};
#[cfg(feature = "sqlite")]
use job_queue::SqliteJobs;
use job_queue::{Clock, JobStore, MemoryJobs, Runner, Schedule};
use tokio::sync::watch;
#[cfg(feature = "object-store")]
use vault_store::ObjectVaults;
#[cfg(feature = "sqlite")]
use vault_store::{FileName, StoreError};
use vault_store::{FsStore, MemoryStore, VaultStore};
use zk_snapshot::capture::CaptureOptions;
use zk_snapshot::restore::{Permit, RestoreOptions, Unhindered};

use crate::blocking::within;
use crate::clock::SystemClock;
use crate::engine::Engine;
use crate::ensemble::{Ensemble, Probed, StateSource};
use crate::error::EngineError;
use crate::health::Probes;
#[cfg(feature = "sqlite")]
use crate::health::StateProbe;
use crate::kind::{CHECKS, LANE, WORKER};
use crate::leadership::Leadership;
use crate::requests::{Requests, Share};
use crate::site::{
    Checks, ClockWatch, History, PolicyBook, Recovery, RestoreTests, Retention, Scheduled, SettingNames,
    Site, UnfinishedZnodes, Uptime, uptime,
};
use crate::vaults::Vaults;
use crate::work::{Running, Worker};

impl Engine {
    /// Begins an engine for `ensemble`.
    pub fn builder(ensemble: Arc<dyn Ensemble>) -> EngineBuilder {
        EngineBuilder::new(ensemble)
    }
}

/// So long the storage has to tell what it knows of the clock; after that the engine begins without.
const FIRST_CONTACT: Duration = Duration::from_secs(5);

/// What lies in a directory of [`EngineBuilder::local_state`], so that nobody takes it for one with vaults.
#[cfg(feature = "sqlite")]
pub const VAULTS_ELSEWHERE: &str = "vaults-elsewhere";

/// Puts an [`Engine`] together. Without [`storage`](Self::storage) vaults and jobs are kept in memory.
#[must_use]
pub struct EngineBuilder {
    ensemble: Arc<dyn Ensemble>,
    states: Vec<Arc<dyn StateSource>>,
    vaults: Arc<dyn VaultStore>,
    is_remote: bool,
    place: Option<String>,
    #[cfg(feature = "object-store")]
    objects: Option<ObjectVaults>,
    jobs: Arc<dyn JobStore>,
    /// What holds the lock of a directory that has no vaults.
    local_state: Option<Arc<FsStore>>,
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
    verify_schedule: Option<Schedule>,
    verify_share: Share,
    verify_new: bool,
    test_schedule: Option<Schedule>,
    tests: RestoreTests,
    names: SettingNames,
    permit: Arc<dyn Permit>,
    leadership: Option<Arc<dyn Leadership>>,
    renewal: Option<(Duration, Duration)>,
    around_vaults: Option<AroundVaults>,
    worker: String,
}

type AroundVaults = Box<dyn FnOnce(Arc<dyn VaultStore>) -> Arc<dyn VaultStore> + Send>;

impl EngineBuilder {
    fn new(ensemble: Arc<dyn Ensemble>) -> Self {
        Self {
            ensemble,
            states: Vec::new(),
            vaults: Arc::new(MemoryStore::new()),
            is_remote: false,
            place: None,
            #[cfg(feature = "object-store")]
            objects: None,
            local_state: None,
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
            verify_schedule: None,
            verify_share: Share::ALL,
            verify_new: false,
            test_schedule: None,
            tests: RestoreTests::default(),
            names: SettingNames::default(),
            permit: Arc::new(Unhindered),
            leadership: None,
            renewal: None,
            around_vaults: None,
            worker: WORKER.to_owned(),
        }
    }

    /// Keeps vaults, jobs with what restores leave unfinished (`jobs.db`) and the last time that was relied on (`clock`)
    /// in the directory `root`, which no other process may hold.
    ///
    /// # Errors
    /// [`EngineError::Storage`] if it is held, missing and cannot be made, or cannot be written.
    #[cfg(feature = "sqlite")]
    pub fn storage(mut self, root: &Path) -> Result<Self, EngineError> {
        let vaults = self.open(root)?;
        let elsewhere = root.join(VAULTS_ELSEWHERE);
        match std::fs::remove_file(&elsewhere) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io(elsewhere.display(), error).into());
            }
            _ => {} // they were elsewhere before, or never
        }
        self.vaults = Arc::new(vaults);
        self.storage_probe = Arc::new(FsProbe::new(root));
        Ok(self)
    }

    /// The same without vaults, which are elsewhere: [`vaults`](Self::vaults), `objects`.
    ///
    /// # Errors
    /// As [`storage`](Self::storage).
    #[cfg(feature = "sqlite")]
    pub fn local_state(mut self, root: &Path) -> Result<Self, EngineError> {
        let state = self.open(root)?;
        match state.ids()?.len() {
            0 => {}
            count => log::warn!(
                "{count} backups in {} are not listed, since backups are kept elsewhere now",
                root.display()
            ),
        }
        state.keep_note(&FileName::from_static(VAULTS_ELSEWHERE), b"")?;
        self.local_state = Some(Arc::new(state));
        self.storage_probe = Arc::new(StateProbe(FsProbe::new(root)));
        Ok(self)
    }

    #[cfg(feature = "sqlite")]
    fn open(&mut self, root: &Path) -> Result<FsStore, EngineError> {
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
        self.jobs = Arc::new(opened.jobs);
        Ok(vaults)
    }

    /// Where vaults are kept.
    pub fn vaults(mut self, vaults: Arc<dyn VaultStore>) -> Self {
        self.vaults = vaults;
        self
    }

    /// Keeps vaults in an object store, which `place` names for people, such as `s3://backups/zookeeper`. It is asked for little: what
    /// other processes write is told seconds later, and what they recorded of older vaults in turns. What was never committed is
    /// [swept](ObjectVaults::sweep) at the start and once a day.
    ///
    /// For a store around this one call [`around_vaults`](Self::around_vaults).
    #[cfg(feature = "object-store")]
    pub fn objects(mut self, objects: ObjectVaults, place: impl Into<String>) -> Self {
        self.vaults = Arc::new(objects.clone());
        self.objects = Some(objects);
        (self.is_remote, self.place) = (true, Some(place.into()));
        self
    }

    /// What is put around that store, whether it was given before or is given later: one that seals vaults, for example
    /// (`vault_store::SealedStore`, feature `encryption`).
    pub fn around_vaults(
        mut self,
        around: impl FnOnce(Arc<dyn VaultStore>) -> Arc<dyn VaultStore> + Send + 'static,
    ) -> Self {
        self.around_vaults = Some(Box::new(around));
        self
    }

    /// Where jobs are kept.
    pub fn jobs(mut self, jobs: Arc<dyn JobStore>) -> Self {
        self.jobs = jobs;
        self
    }

    /// Where several engines keep jobs together. What restores left unfinished, as the store noted that was set so far, is noted there from
    /// now on; jobs that wait in it are not done any more, and are told in the log.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub fn shared_jobs(mut self, jobs: Arc<dyn JobStore>) -> Result<Self, EngineError> {
        let notes = self.jobs.notes()?;
        if !notes.is_empty() {
            jobs.put_notes(&notes)?;
        }
        for note in notes {
            self.jobs.drop_notes(&note.job, &[note.key])?;
        }
        match self.jobs.counts()?.queued {
            0 => {}
            queued => log::warn!("{queued} jobs that were queued on this server alone are not done"),
        }
        self.jobs = jobs;
        Ok(self)
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

    /// What restores ask before each request that writes to ZooKeeper; they may write always, if not said. Where several
    /// servers share one ensemble, only the one that leads may, as long as its lease has time left for a request.
    pub fn permit(mut self, permit: Arc<dyn Permit>) -> Self {
        self.permit = permit;
        self
    }

    /// Says whether this engine works, where several share vaults and jobs; it always does, if not said. It is the [`permit`](Self::permit),
    /// too. Each engine needs a name of its own ([`worker`](Self::worker)), and jobs and vaults are to be shared.
    pub fn leadership(mut self, leadership: Arc<dyn Leadership>) -> Self {
        self.permit = Arc::clone(&leadership) as _;
        self.leadership = Some(leadership);
        self
    }

    /// By which name it claims jobs; `engine` if not said. Where several engines share a queue no two that live may have the
    /// same: what one of that name was doing is failed when this one is built.
    pub fn worker(mut self, name: impl Into<String>) -> Self {
        self.worker = name.into();
        self
    }

    /// How often claims of jobs are renewed, and after how long without a renewal one counts as lost, where several engines
    /// share a queue ([`Runner::renewing`]). If not said, every 10 seconds, and only the store says what is lost.
    pub fn renewal(mut self, every: Duration, lapse: Duration) -> Self {
        self.renewal = Some((every, lapse));
        self
    }

    /// When to verify so much of what is stored, the longest unverified first, without being asked; never, if not said.
    pub fn verify_schedule(mut self, schedule: Schedule, share: Share) -> Self {
        self.verify_schedule = Some(schedule);
        self.verify_share = share;
        self
    }

    /// Whether each backup is verified once, as soon as it is stored: for stores that may not keep what they were given. It is not, if not said.
    pub fn verify_new(mut self, verifies: bool) -> Self {
        self.verify_new = verifies;
        self
    }

    /// When to restore a backup for a test without being asked: the newest valid full one, or, where that was tested, the one
    /// that was not for longest; never, if not said.
    pub fn restore_test_schedule(mut self, schedule: Schedule) -> Self {
        self.test_schedule = Some(schedule);
        self
    }

    /// Where backups are restored for a test; in memory, if not said.
    pub fn restore_tests(mut self, tests: RestoreTests) -> Self {
        self.tests = tests;
        self
    }

    /// What these settings are called where people set them.
    pub fn setting_names(mut self, names: SettingNames) -> Self {
        self.names = names;
        self
    }

    /// Builds the engine. Jobs that a crash interrupted are failed; with a [`leadership`](Self::leadership), once it leads, and no jobs are read
    /// before. Where the vaults cannot be reached just now it goes on without them: health tells, and nothing is evicted by policies until they are.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub fn build(mut self) -> Result<Engine, EngineError> {
        if let Some(around) = self.around_vaults.take() {
            self.vaults = around(self.vaults);
        }
        let now = (self.clock)();
        // What does checks has a name of its own: a claim of one must not be taken for the other's.
        let checker = format!("{}-checks", self.worker);
        let (jobs, earlier) = (Arc::clone(&self.jobs), self.noted_earlier.as_deref());
        let unfinished = UnfinishedZnodes::unread(jobs, earlier, self.notes_lost)?;
        // Of several, the one that leads does that when it begins to.
        if self.leadership.is_none() {
            for worker in [&self.worker, &checker] {
                for job in self.jobs.recover(worker, None, now)? {
                    log::warn!("job {} was interrupted", job.id);
                }
            }
            unfinished.reload()?;
        }
        let parse = |text: &str| -> Result<Arc<dyn EvictionPolicy>, EngineError> {
            let policy: RulePolicy = text
                .parse()
                .map_err(|error| EngineError::Internal(Box::new(error)))?;
            Ok(Arc::new(policy))
        };
        let policy = |given: Option<Arc<dyn EvictionPolicy>>, text| given.map_or_else(|| parse(text), Ok);
        let watch = Arc::new(ClockWatch::new(self.uptime, Arc::clone(&self.vaults), now));
        let learning = Arc::clone(&watch);
        match within(FIRST_CONTACT, move || learning.learn()) {
            Some(Err(error)) if !error.is_transient() => return Err(error.into()),
            Some(Err(error)) => log::warn!("the storage cannot be reached: {error}"),
            Some(Ok(())) => {}
            None => log::warn!("the storage has not answered for {FIRST_CONTACT:?}"),
        }
        if let Some(why) = watch.moved(now) {
            log::warn!("no policy evicts anything: {why}");
        }
        let metrics = Metrics::new().map_err(|error| EngineError::Internal(error.into()))?;
        let (metrics, running) = (Arc::new(metrics), Arc::<Running>::default());
        let vaults = Arc::new(Vaults::new(
            self.vaults,
            Arc::clone(&self.jobs),
            self.is_remote,
            self.leadership.clone(),
        ));
        let scheduled = |schedule: Option<Schedule>| schedule.map(|schedule| Scheduled::new(schedule, now));
        let site = Arc::new(Site {
            ensemble: self.ensemble,
            names: self.names,
            probed: Arc::<Probed>::default(),
            states: self.states,
            consistency_rounds: self.consistency_rounds,
            sequence_limit: self.sequence_limit,
            schedule: scheduled(self.schedule),
            checks: Checks {
                verify: scheduled(self.verify_schedule),
                verify_new: self.verify_new,
                share: self.verify_share,
                test: scheduled(self.test_schedule),
                tests: self.tests,
            },
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
        let ending = watch::Sender::new(false);
        let failed_in_a_row = Arc::<AtomicU32>::default();
        let worker = Worker {
            vaults: Arc::clone(&vaults),
            site: Arc::clone(&site),
            jobs: Arc::clone(&self.jobs),
            running: Arc::clone(&running),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&self.clock),
            permit: self.permit,
            leadership: self.leadership.clone(),
            failed_in_a_row: Arc::clone(&failed_in_a_row),
            ending: ending.subscribe(),
        };
        let worker = Arc::new(worker);
        let runner = |name: &str, lane| {
            let (jobs, clock) = (Arc::clone(&self.jobs), Arc::clone(&self.clock));
            let worker = Arc::clone(&worker);
            let runner = Runner::new(jobs, worker, clock, name, lane);
            Arc::new(match self.renewal {
                Some((every, lapse)) => runner.renewing(every, Some(lapse)),
                None => runner,
            })
        };
        let (runner, checker) = (runner(&self.worker, LANE), runner(&checker, CHECKS));
        Ok(Engine {
            vaults,
            #[cfg(feature = "object-store")]
            objects: self.objects,
            _local_state: self.local_state,
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
                place: self.place,
            }),
            metrics,
            running,
            clock: self.clock,
            runner,
            checker,
            ending: Arc::new(ending),
            leadership: self.leadership,
            worker: self.worker.into(),
            failed_in_a_row,
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
