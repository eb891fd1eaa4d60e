//! How an engine is put together.

mod build;
mod further;
mod second;
mod storage;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eviction_policy::EvictionPolicy;
use health_metrics::{FixedStorage, ProcessProbe, StorageProbe, SystemProcess};
use job_queue::{Clock, JobStore, MemoryJobs, Schedule};
#[cfg(feature = "object-store")]
use vault_store::ObjectVaults;
use vault_store::{FsStore, MemoryStore, VaultStore};
use zk_snapshot::capture::CaptureOptions;
use zk_snapshot::restore::{Permit, RestoreOptions, Unhindered};

pub use self::further::DEFAULT_STORAGE;
#[cfg(feature = "sqlite")]
pub use self::storage::VAULTS_ELSEWHERE;
use crate::clock::SystemClock;
use crate::engine::Engine;
use crate::ensemble::{Ensemble, StateSource};
use crate::kind::WORKER;
use crate::leadership::Leadership;
use crate::requests::Share;
use crate::site::{Recovery, RestoreTests, SettingNames};
use crate::uptime::{Uptime, uptime};
use crate::vaults::AroundVaults;
use crate::work::Hooks;

impl Engine {
    /// Begins an engine for `ensemble`.
    pub fn builder(ensemble: Arc<dyn Ensemble>) -> EngineBuilder {
        EngineBuilder::new(ensemble)
    }
}

/// Puts an [`Engine`] together. Without [`storage`](Self::storage) vaults and jobs are kept in memory.
///
/// Of calls that say the same thing the later one wins. `storage` and `local_state` also say where jobs are kept, and what measures the storage: call them before
/// [`jobs`](Self::jobs) and [`storage_probe`](Self::storage_probe).
#[must_use]
pub struct EngineBuilder {
    ensemble: Arc<dyn Ensemble>,
    states: Vec<Arc<dyn StateSource>>,
    vaults: Arc<dyn VaultStore>,
    is_remote: bool,
    place: Option<String>,
    #[cfg(feature = "object-store")]
    objects: Option<ObjectVaults>,
    /// Where vaults are kept besides, by name.
    further: Vec<(String, Arc<dyn VaultStore>)>,
    #[cfg(feature = "object-store")]
    further_objects: Vec<(String, ObjectVaults)>,
    second: Option<Second>,
    #[cfg(feature = "object-store")]
    second_objects: Option<ObjectVaults>,
    jobs: Arc<dyn JobStore>,
    /// The directory that vaults are kept in, where the predecessor may have left some.
    directory: Option<Arc<FsStore>>,
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
    hooks: Hooks,
    keeps_news: bool,
}

/// Where copies go.
struct Second {
    store: Arc<dyn VaultStore>,
    place: String,
    is_remote: bool,
}

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
            further: Vec::new(),
            #[cfg(feature = "object-store")]
            further_objects: Vec::new(),
            second: None,
            #[cfg(feature = "object-store")]
            second_objects: None,
            directory: None,
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
            hooks: Hooks::default(),
            keeps_news: false,
        }
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
    /// share a queue ([`Runner::renewing`](job_queue::Runner::renewing)). If not said, every 10 seconds, and only the store says what is lost.
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

    /// Commands that are run before and after backups and restores; none, if not said.
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// Whether it is noted of each job that its end is to be told elsewhere, until [`Outbox::delivered`](crate::Outbox::delivered) drops the note. It is not, if not said:
    /// without an [outbox](Engine::outbox) that is read, notes would pile up.
    pub fn keep_news(mut self, keeps: bool) -> Self {
        self.keeps_news = keeps;
        self
    }

    /// What these settings are called where people set them.
    pub fn setting_names(mut self, names: SettingNames) -> Self {
        self.names = names;
        self
    }
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("ensemble", &self.ensemble.name())
            .finish_non_exhaustive()
    }
}
