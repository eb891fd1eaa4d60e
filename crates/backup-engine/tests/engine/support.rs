//! A world in which an engine can be started, stopped and started again, and what is done with it again and again.

mod checks;
mod guarded;
mod modelled;
mod snapshots;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use backup_engine::{
    BackupInfo, BackupRequest, Engine, EngineBuilder, Ensemble, JobInfo, JobState, RestoreRequest,
};
use eviction_policy::{Backup, EvictionPolicy, Verdict};
use job_queue::{FaultyJobs, JobStore, MemoryJobs};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vault_store::{Contents, FaultyVaults, Hierarchical, MemoryStore};
use zk_snapshot::tree::{Acl, MemoryTree, ZnodePath};

pub(crate) use self::checks::{ARCHIVE, copied, packed, records_of, remade, reversed, tested, verified};
pub(crate) use self::guarded::Guarded;
pub(crate) use self::modelled::{ADMIN, ALL, Modelled, READ, acl};
pub(crate) use self::snapshots::{adler32, snapshot_of, transactional};

pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// What outlives a process: a tree, the stores, and the time.
pub(crate) struct World {
    pub(crate) tree: Arc<MemoryTree>,
    pub(crate) ensemble: Arc<Guarded>,
    pub(crate) vaults: MemoryStore,
    pub(crate) jobs: Arc<MemoryJobs>,
    /// What the clock shows, and how long the machine runs.
    times: Arc<Mutex<(OffsetDateTime, Duration)>>,
}

/// An engine, and the stores between it and the world.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) vaults: FaultyVaults,
    pub(crate) jobs: FaultyJobs,
}

impl World {
    /// It is 2026-11-21T00:00:00, and there are two znodes.
    pub(crate) fn new() -> Self {
        let begin = OffsetDateTime::from_unix_timestamp(1_795_219_200).unwrap();
        let tree = Arc::new(MemoryTree::new());
        for path in ["/a", "/b/c"] {
            tree.put(path, b"one", Acl::open()).unwrap();
        }
        Self {
            ensemble: Arc::new(Guarded::new(&tree)),
            tree,
            vaults: MemoryStore::new(),
            jobs: Arc::default(),
            times: Arc::new(Mutex::new((begin, HOUR))),
        }
    }

    pub(crate) fn builder(&self) -> (EngineBuilder, FaultyVaults, FaultyJobs) {
        let vaults = FaultyVaults::new(Arc::new(self.vaults.clone()));
        let jobs = FaultyJobs::new(Arc::clone(&self.jobs) as Arc<dyn JobStore>);
        let (clock, uptime) = (Arc::clone(&self.times), Arc::clone(&self.times));
        let builder = Engine::builder(Arc::clone(&self.ensemble) as Arc<dyn Ensemble>)
            .vaults(Arc::new(vaults.clone()))
            .jobs(Arc::new(jobs.clone()))
            .full_policy(Arc::new(Nothing))
            .granular_policy(Arc::new(Nothing))
            .clock(Arc::new(move || clock.lock().unwrap().0))
            .uptime(Arc::new(move || uptime.lock().unwrap().1));
        (builder, vaults, jobs)
    }

    pub(crate) fn start_with(&self, more: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Running {
        let (builder, vaults, jobs) = self.builder();
        let engine = more(builder).build().unwrap();
        Running { engine, vaults, jobs }
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(|builder| builder)
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.times.lock().unwrap().0
    }

    pub(crate) fn pass(&self, time: Duration) {
        let mut times = self.times.lock().unwrap();
        times.0 += time;
        times.1 += time;
    }

    pub(crate) fn set_clock(&self, by: time::Duration) {
        self.times.lock().unwrap().0 += by;
    }

    /// All but the root.
    pub(crate) fn znodes(&self) -> Vec<(String, Vec<u8>, Acl)> {
        self.tree.dump().split_off(1)
    }
}

/// A policy that would keep nothing: what stays, stays in spite of it.
#[derive(Debug)]
pub(crate) struct Nothing;

impl EvictionPolicy for Nothing {
    fn judge(&self, backups: &[Backup], _now: OffsetDateTime) -> Vec<Verdict> {
        vec![Verdict::Evict("nothing is kept".to_owned()); backups.len()]
    }
}

/// Where a call waits, once it has come to it, until this is dropped.
pub(crate) struct Gate {
    reached: Option<oneshot::Receiver<()>>,
    _go: mpsc::Sender<()>,
}

/// A gate, and what a call that is to wait at it is delayed by.
pub(crate) fn gate() -> (Gate, Box<dyn FnOnce() + Send>) {
    let (tell, reached) = oneshot::channel();
    let (go, wait) = mpsc::channel::<()>();
    let delay = move || {
        let _ = tell.send(());
        let _ = wait.recv(); // an error: the gate is gone
    };
    let gate = Gate {
        reached: Some(reached),
        _go: go,
    };
    (gate, Box::new(delay))
}

impl Gate {
    /// Ends once a call waits.
    pub(crate) async fn reached(&mut self) {
        self.reached.take().unwrap().await.unwrap();
    }
}

/// A backup of `roots`; of everything where there are none.
pub(crate) fn of(roots: &[&str]) -> BackupRequest {
    BackupRequest {
        roots: roots.iter().map(|root| ZnodePath::parse(root).unwrap()).collect(),
        ..BackupRequest::default()
    }
}

/// Runs until what is returned first is sent to, or dropped.
pub(crate) fn run(engine: &Engine) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, _, running) = run_and_tell(engine);
    (stop, running)
}

/// The same. What is returned second hears when the run is told to end; where there is but one thread, it has been told then.
pub(crate) fn run_and_tell(engine: &Engine) -> (oneshot::Sender<()>, oneshot::Receiver<()>, JoinHandle<()>) {
    let ((stop, stopped), (tell, told)) = (oneshot::channel(), oneshot::channel());
    let engine = engine.clone();
    let shutdown = async {
        drop(stopped.await);
        let _ = tell.send(()); // nobody may ask
    };
    let running = async move { engine.run(shutdown).await };
    (stop, told, tokio::spawn(running))
}

/// Does all that is queued, and tells how the job `id` has ended.
pub(crate) async fn done(engine: &Engine, id: &str) -> JobInfo {
    while engine.step().await.unwrap() {}
    job(engine, id).await
}

pub(crate) async fn job(engine: &Engine, id: &str) -> JobInfo {
    engine.job(id).await.unwrap().unwrap()
}

pub(crate) async fn described(engine: &Engine, id: &str) -> BackupInfo {
    engine.describe(id).await.unwrap().unwrap()
}

/// When it was taken, as a request names it: ms since the Unix epoch.
pub(crate) fn ms(info: &BackupInfo) -> i64 {
    i64::try_from(info.date().unix_timestamp_nanos() / 1_000_000).unwrap()
}

/// What a walk found.
pub(crate) fn walked(info: &BackupInfo) -> Hierarchical {
    match info.manifest().and_then(|manifest| manifest.contents.clone()) {
        Some(Contents::Hierarchical(contents)) => contents,
        other => panic!("{other:?}"),
    }
}

/// The id and the job of a backup that was asked for and done.
pub(crate) async fn backed_up(engine: &Engine, request: BackupRequest) -> (String, JobInfo) {
    let id = engine.backup(request).await.unwrap();
    let job = done(engine, &id).await;
    (id, job)
}

/// A full backup that succeeds.
pub(crate) async fn full(engine: &Engine) -> String {
    let (id, job) = backed_up(engine, BackupRequest::default()).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    id
}

pub(crate) async fn restored(engine: &Engine, id: &str) -> JobInfo {
    let task = engine.restore(RestoreRequest::of(id)).await.unwrap();
    done(engine, &task).await
}

/// That a backup can be taken, and what it holds comes back.
pub(crate) async fn goes_on(world: &World, engine: &Engine) -> String {
    let (id, there) = (full(engine).await, world.znodes());
    world.tree.put("/a", b"changed", Acl::open()).unwrap();
    world.tree.put("/more", b"", Acl::open()).unwrap();
    let job = restored(engine, &id).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    assert_eq!(world.znodes(), there);
    id
}
