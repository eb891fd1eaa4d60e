//! A world in which an engine can be started, stopped and started again, and what is done with it again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use backup_engine::{
    BackupInfo, BackupRequest, Client, Engine, EngineBuilder, Ensemble, JobInfo, JobState, MemoryEnsemble,
    RestoreRequest,
};
use eviction_policy::{Backup, EvictionPolicy, Verdict};
use health_metrics::ZooKeeperHealth;
use job_queue::{FaultyJobs, JobStore, MemoryJobs};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use vault_store::{Contents, FaultyVaults, Hierarchical, MemoryStore};
use zk_snapshot::tree::{
    Acl, AclFound, ClientError, History, MemoryTree, Reading, WriteError, WriteOp, ZnodePath, ZnodeReader,
    ZnodeWriter,
};

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
            ensemble: Arc::new(Guarded {
                tree: MemoryEnsemble::new(Arc::clone(&tree)),
                rules: Arc::default(),
            }),
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

/// The tree, of which some may not be read, or shows another ACL with all else alike.
#[derive(Clone)]
pub(crate) struct Guarded {
    tree: MemoryEnsemble,
    rules: Arc<Mutex<Rules>>,
}

#[derive(Default)]
struct Rules {
    denied: BTreeSet<String>,
    acls: BTreeMap<String, Acl>,
    /// How many calls that write come before one that tells and waits.
    held: Option<Held>,
    /// Whoever connects waits for ever.
    no_connections: bool,
    every_acl: Option<Acl>,
}

type Held = (usize, oneshot::Sender<()>, oneshot::Receiver<()>);

impl Guarded {
    pub(crate) fn deny(&self, path: &str) {
        self.rules.lock().unwrap().denied.insert(path.to_owned());
    }

    /// Has the call that writes after the next `calls` wait, once it has told, until what is returned is dropped.
    pub(crate) fn hold_writes(&self, calls: usize) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((tell, told), (go, wait)) = (oneshot::channel(), oneshot::channel());
        self.rules.lock().unwrap().held = Some((calls, tell, wait));
        (told, go)
    }

    /// Has whoever connects wait for ever, or not any more.
    pub(crate) fn keep_waiting(&self, waits: bool) {
        self.rules.lock().unwrap().no_connections = waits;
    }

    pub(crate) fn show_acl(&self, path: &str, acl: Acl) {
        self.rules.lock().unwrap().acls.insert(path.to_owned(), acl);
    }

    /// Of whatever no other one is told.
    pub(crate) fn show_every_acl(&self, acl: Acl) {
        self.rules.lock().unwrap().every_acl = Some(acl);
    }
}

#[async_trait]
impl ZnodeReader for Guarded {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        let mut readings = self.tree.read_many(paths, history).await?;
        let rules = self.rules.lock().unwrap();
        for (reading, path) in readings.iter_mut().zip(paths) {
            if rules.denied.contains(path.as_str()) {
                *reading = Reading::Denied;
            }
        }
        Ok(readings)
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        let mut readings = self.tree.read_acls(paths).await?;
        let rules = self.rules.lock().unwrap();
        for (reading, path) in readings.iter_mut().zip(paths) {
            let shown = rules.acls.get(path.as_str()).or(rules.every_acl.as_ref());
            if let (Reading::Found(found), Some(acl)) = (reading, shown) {
                found.acl = acl.clone();
            }
        }
        Ok(readings)
    }

    fn batch_size(&self) -> usize {
        self.tree.batch_size()
    }

    fn batches_in_flight(&self) -> usize {
        self.tree.batches_in_flight()
    }

    fn epoch(&self) -> u64 {
        self.tree.epoch()
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.tree.sync().await
    }

    async fn reads_everything(&self) -> Result<bool, ClientError> {
        self.tree.reads_everything().await
    }

    async fn watch(
        &self,
        roots: &[ZnodePath],
    ) -> Result<Option<Box<dyn zk_snapshot::tree::TreeWatch>>, ClientError> {
        self.tree.watch(roots).await
    }
}

#[async_trait]
impl ZnodeWriter for Guarded {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let held = {
            let mut rules = self.rules.lock().unwrap();
            match &mut rules.held {
                Some((0, ..)) => rules.held.take(),
                Some((left, ..)) => {
                    *left -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some((_, tell, wait)) = held {
            tell.send(()).unwrap();
            let _ = wait.await; // an error: it was let go
        }
        self.tree.write_many(ops).await
    }

    fn keeps_order(&self) -> bool {
        self.tree.keeps_order()
    }

    fn working_acl(&self) -> Acl {
        self.tree.working_acl()
    }
}

#[async_trait]
impl Client for Guarded {
    async fn close(self: Box<Self>) {}
}

#[async_trait]
impl Ensemble for Guarded {
    fn name(&self) -> String {
        "zk1:2181".to_owned()
    }

    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        let waits = self.rules.lock().unwrap().no_connections;
        if waits {
            std::future::pending::<()>().await;
        }
        Ok(Box::new(self.clone()))
    }

    async fn probe(&self) -> ZooKeeperHealth {
        self.tree.probe().await
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
