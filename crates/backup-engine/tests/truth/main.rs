//! What a storage may show to others, and what is said of the backups in it, over a tree in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clock;
mod damage;
mod jobs;
mod moved;

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backup_engine::{BackupRequest, Engine, JobInfo, JobState, MemoryEnsemble, RestoreRequest};
use eviction_policy::RulePolicy;
use health_metrics::Status;
use time::OffsetDateTime;
use zk_snapshot::tree::{Acl, MemoryTree, ZnodePath};

const HOUR: Duration = Duration::from_hours(1);

/// A storage, a tree, a clock that anybody may set, and the time that passes in truth.
struct World {
    storage: tempfile::TempDir,
    tree: Arc<MemoryTree>,
    times: Arc<Mutex<(OffsetDateTime, Duration)>>,
}

impl World {
    fn new() -> Self {
        let begin = OffsetDateTime::from_unix_timestamp(1_795_219_200).unwrap();
        let tree = Arc::new(MemoryTree::new());
        tree.put("/a", b"one", Acl::open()).unwrap();
        Self {
            storage: tempfile::tempdir().unwrap(),
            tree,
            times: Arc::new(Mutex::new((begin, HOUR))),
        }
    }

    fn start(&self) -> Engine {
        self.start_with("7d/delete")
    }

    fn start_with(&self, policy: &str) -> Engine {
        let policy = || Arc::new(policy.parse::<RulePolicy>().unwrap());
        let (clock, uptime) = (Arc::clone(&self.times), Arc::clone(&self.times));
        Engine::builder(Arc::new(MemoryEnsemble::new(Arc::clone(&self.tree))))
            .storage(self.storage.path())
            .unwrap()
            .full_policy(policy())
            .granular_policy(policy())
            .clock(Arc::new(move || clock.lock().unwrap().0))
            .uptime(Arc::new(move || uptime.lock().unwrap().1))
            .build()
            .unwrap()
    }

    fn pass(&self, time: Duration) {
        let mut times = self.times.lock().unwrap();
        times.0 += time;
        times.1 += time;
    }

    fn set_clock(&self, by: time::Duration) {
        self.times.lock().unwrap().0 += by;
    }

    fn vault(&self, id: &str) -> std::path::PathBuf {
        self.storage.path().join(id)
    }
}

async fn done(engine: &Engine, id: &str) -> JobInfo {
    while engine.step().await.unwrap() {}
    engine.job(id).await.unwrap().unwrap()
}

async fn backup(engine: &Engine, roots: &[&str]) -> (String, JobState) {
    let roots = roots.iter().map(|root| ZnodePath::parse(root).unwrap());
    let request = BackupRequest {
        roots: roots.collect(),
        ..BackupRequest::default()
    };
    let id = engine.backup(request).await.unwrap();
    let state = done(engine, &id).await.status;
    (id, state)
}

async fn restored(engine: &Engine, id: &str) -> JobInfo {
    let task = engine.restore(RestoreRequest::of(id)).await.unwrap();
    done(engine, &task).await
}

#[tokio::test]
async fn a_store_that_has_no_figures_of_space_invents_none() {
    let tree = Arc::new(MemoryTree::new());
    let engine = Engine::builder(Arc::new(MemoryEnsemble::new(tree)))
        .build()
        .unwrap();
    let health = engine.health().await;
    assert_eq!(health.storage.usage, None);
    assert_eq!((health.status(), health.problems), (Status::Up, Vec::new()));
}

#[tokio::test]
async fn nothing_below_the_storage_is_open_to_others_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;

    rustix::process::umask(rustix::fs::Mode::empty());
    let world = World::new();
    let engine = world.start();
    let (id, _) = backup(&engine, &["/a"]).await;
    assert_eq!(restored(&engine, &id).await.status, JobState::Successful);
    engine.evict(false).await.unwrap();
    let (mut seen, mut waiting) = (0, vec![world.storage.path().to_owned()]);
    while let Some(path) = waiting.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o077, 0, "{}", path.display());
        seen += 1;
        if found.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen > 12, "{seen}");
}
