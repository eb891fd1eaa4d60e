//! What a storage may show to others, and what is said of the backups in it, over a tree in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backup_engine::{BackupRequest, Engine, JobInfo, JobState, MemoryEnsemble, RestoreRequest};
use eviction_policy::{Action, RulePolicy};
use health_metrics::{Problem, Status};
use time::OffsetDateTime;
use vault_store::{Consistency, Contents};
use zk_snapshot::tree::{Acl, MemoryTree, ZnodePath};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

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

/// Whether the clock is said to have moved.
async fn doubted(engine: &Engine) -> bool {
    let health = engine.health().await;
    let doubted = health
        .problems
        .iter()
        .any(|problem| matches!(problem, Problem::ClockMoved { .. }));
    assert_eq!(
        health.status() == Status::Warning,
        doubted,
        "{:?}",
        health.problems
    );
    assert!(health.hindrances().next().is_none());
    doubted
}

#[tokio::test]
async fn a_clock_that_jumps_ten_years_ahead_lets_no_policy_evict_anything() {
    let (world, jump) = (World::new(), time::Duration::days(3_650));
    let engine = world.start();
    let (a, _) = backup(&engine, &[]).await;
    world.pass(HOUR);
    let (b, _) = backup(&engine, &["/a"]).await;
    let (c, _) = backup(&engine, &[]).await;
    assert!(!doubted(&engine).await);

    world.set_clock(jump);
    let (ahead, _) = backup(&engine, &[]).await;
    let all = [&a, &b, &c, &ahead].map(Clone::clone);
    assert_eq!(engine.list().await.unwrap(), all);
    assert!(doubted(&engine).await);
    let plan = engine.evict(true).await.unwrap();
    assert!(plan.iter().all(|decision| decision.action == Action::Keep));
    assert!(plan[0].reason.contains("days ahead"), "{}", plan[0].reason);

    // A new process does not take it for years without a server, nor does one that finds the clock set right.
    drop(engine);
    world.times.lock().unwrap().1 = Duration::ZERO;
    let engine = world.start();
    assert!(doubted(&engine).await);
    engine.evict(false).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), all);
    world.set_clock(-jump);
    assert!(!doubted(&engine).await);
    world.pass(HOUR);
    assert!(!doubted(&engine).await);
    world.set_clock(time::Duration::hours(-26));
    assert!(doubted(&engine).await);
    world.set_clock(time::Duration::hours(26));

    // A week without a server is none of this, and policies go on.
    drop(engine);
    world.set_clock(time::Duration::days(8));
    world.times.lock().unwrap().1 = Duration::ZERO;
    let engine = world.start();
    assert!(!doubted(&engine).await);
    let (d, _) = backup(&engine, &[]).await;
    assert_eq!(
        engine.list().await.unwrap(),
        [b.clone(), ahead.clone(), d.clone()],
        "the newest granular one stays"
    );

    // An operator says that it is right.
    let (e, _) = backup(&engine, &[]).await;
    world.set_clock(jump);
    engine.evict(false).await.unwrap();
    assert!(engine.list().await.unwrap().contains(&d));
    engine.evict_trusting_clock(true).await.unwrap();
    assert!(doubted(&engine).await, "only asked what would be done");
    engine.evict_trusting_clock(false).await.unwrap();
    let left = engine.list().await.unwrap();
    assert!(!left.contains(&d) && !left.contains(&e), "{left:?}");
    drop(engine);
    assert!(!doubted(&world.start()).await);
}

#[tokio::test]
async fn freshness_counts_from_the_start_and_tells_full_from_granular() {
    let world = World::new();
    let engine = world.start();
    let fresh = async || {
        let health = engine.health().await;
        let (full, granular) = (
            health.since_full_success.unwrap().as_secs(),
            health.since_granular_success.unwrap().as_secs(),
        );
        let text = engine.metrics().await.unwrap();
        for (name, value) in [
            ("zk_backup_seconds_since_last_success", full.min(granular)),
            ("zk_backup_seconds_since_last_full_success", full),
            ("zk_backup_seconds_since_last_granular_success", granular),
        ] {
            let line = format!("{name} {value}");
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert_eq!(health.since_success.unwrap().as_secs(), full.min(granular));
        (full, granular)
    };
    world.pass(2 * HOUR);
    assert_eq!(fresh().await, (7_200, 7_200));
    assert_eq!(backup(&engine, &["/a"]).await.1, JobState::Successful);
    world.pass(HOUR);
    assert_eq!(fresh().await, (10_800, 3_600));
    // Several within a second have ids that run ahead: their date is their end.
    for _ in 0..3 {
        engine.backup(BackupRequest::default()).await.unwrap();
    }
    let (last, _) = backup(&engine, &[]).await;
    let now = world.times.lock().unwrap().0;
    assert_eq!(engine.describe(&last).await.unwrap().unwrap().date(), now);
    world.pass(HOUR);
    assert_eq!(fresh().await, (3_600, 7_200));

    // One backup by a clock that was nearly a day ahead, and none that succeeds since.
    world.set_clock(time::Duration::hours(23));
    assert_eq!(backup(&engine, &[]).await.1, JobState::Successful);
    assert_eq!(fresh().await.0, 0);
    world.set_clock(time::Duration::hours(-23));
    for hours in 2..5 {
        world.pass(HOUR);
        let (failed, state) = backup(&engine, &["/none"]).await;
        assert_eq!(state, JobState::Failed);
        assert_eq!(fresh().await.0, hours * 3_600);
        let problem = Problem::NewestBackupFailed {
            id: failed,
            reason: "no such znode to back up: /none".to_owned(),
        };
        let health = engine.health().await;
        assert_eq!(
            (health.status(), health.problems),
            (Status::Warning, vec![problem])
        );
    }
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

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn only_damage_to_what_a_restore_reads_refuses_it_and_health_tells() {
    let world = World::new();
    let engine = world.start();
    let (id, _) = backup(&engine, &[]).await;
    for spare in ["acls.idx", "index.zst", "job.log"] {
        flip(&world.vault(&id).join(spare));
    }
    world.tree.put("/a", b"two", Acl::open()).unwrap();
    let job = restored(&engine, &id).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    assert_eq!(world.tree.data("/a").unwrap(), b"one");
    assert!(engine.describe(&id).await.unwrap().unwrap().is_valid());
    let health = engine.health().await;
    assert_eq!((health.status(), health.problems), (Status::Up, Vec::new()));

    let damaged = async |count: u64, file: &str| {
        let health = engine.health().await;
        assert_eq!(health.status(), Status::Warning);
        let named = |problem: &Problem| matches!(problem, Problem::DamagedBackup { id: of, damage } if *of == id && damage.contains(file));
        assert!(health.problems.iter().any(named), "{:?}", health.problems);
        assert!(health.hindrances().next().is_none());
        let line = format!("zk_backup_damaged_vaults {count}");
        assert!(engine.metrics().await.unwrap().contains(&line));
    };
    world.pass(DAY);
    let (newer, _) = backup(&engine, &[]).await;
    flip(&world.vault(&id).join("archive.zst"));
    let job = restored(&engine, &id).await;
    assert_eq!(job.status, JobState::Failed);
    assert!(job.message.unwrap().contains("archive.zst"));
    damaged(1, "archive.zst").await;
    flip(&world.vault(&id).join("archive.zst"));
    assert_eq!(restored(&engine, &id).await.status, JobState::Successful);
    assert_eq!(engine.health().await.status(), Status::Up);
    flip(&world.vault(&id).join("manifest.json"));
    damaged(1, "manifest.json").await;

    // The newest is damaged: what is fresh is what can be restored.
    fs::write(world.vault(&newer).join("archive.zst"), b"").unwrap();
    world.pass(HOUR);
    let health = engine.health().await;
    assert_eq!(health.since_full_success, Some(25 * HOUR));
    assert!(health.storage.newest_good.is_none());
}

#[tokio::test]
async fn a_backup_that_was_cut_takes_no_good_ones_place() {
    let world = World::new();
    let engine = world.start();
    let (good, _) = backup(&engine, &[]).await;
    world.pass(DAY * 2);
    let (cut, _) = backup(&engine, &[]).await;
    let archive = world.vault(&cut).join("archive.zst");
    fs::OpenOptions::new()
        .write(true)
        .open(&archive)
        .unwrap()
        .set_len(40)
        .unwrap();
    drop(engine);
    let engine = world.start_with("0/30d");
    for dry_run in [true, false] {
        let decisions = engine.evict(dry_run).await.unwrap();
        let kept = decisions.iter().all(|decision| decision.action == Action::Keep);
        assert!(kept && decisions.len() == 2, "{decisions:?}");
    }
    assert_eq!(engine.list().await.unwrap(), [good, cut]);
}

#[tokio::test]
async fn a_znode_too_large_to_be_read_again_is_named_and_costs_only_itself() {
    let world = World::new();
    let engine = world.start();
    let large = vec![7; 48 << 20];
    world.tree.put("/large", &large, Acl::open()).unwrap();
    world.tree.put("/large/below", b"b", Acl::open()).unwrap();
    world.tree.put("/z", &large[1_000..], Acl::open()).unwrap();
    let (id, state) = backup(&engine, &[]).await;
    assert_eq!(state, JobState::Failed);
    let info = engine.describe(&id).await.unwrap().unwrap();
    let manifest = info.manifest().unwrap();
    assert!(manifest.is_partial() && !info.is_valid());
    assert_eq!(manifest.consistency(), Some(Consistency::Consistent));
    let Some(Contents::Hierarchical(contents)) = &manifest.contents else {
        panic!("{manifest:?}");
    };
    assert_eq!(contents.skipped.unreadable_paths, ["/large"]);
    world.tree.put("/a", b"two", Acl::open()).unwrap();
    world.tree.put("/z", b"", Acl::open()).unwrap();
    let job = restored(&engine, &id).await;
    assert_eq!(world.tree.data("/a").unwrap(), b"one");
    assert_eq!(world.tree.data("/z").unwrap().len(), large.len() - 1_000);
    assert_eq!(world.tree.data("/large").unwrap().len(), large.len());
    assert_eq!(job.result["partial"], true, "{job:?}");
}

#[tokio::test]
async fn a_bad_row_is_a_problem_and_the_next_job_is_done() {
    let world = World::new();
    let engine = world.start();
    let bad = engine.backup(BackupRequest::default()).await.unwrap();
    let other = rusqlite::Connection::open(world.storage.path().join("jobs.db")).unwrap();
    other.execute("UPDATE job SET payload = '{'", []).unwrap();
    world.pass(HOUR);
    assert_eq!(backup(&engine, &[]).await.1, JobState::Successful);
    let health = engine.health().await;
    assert!(
        health
            .problems
            .iter()
            .any(|problem| matches!(problem, Problem::UnreadableJob(why) if why.contains(&bad))),
        "{:?}",
        health.problems
    );
    assert!(health.hindrances().next().is_none(), "it is ready");
}

#[tokio::test]
async fn what_restores_left_unfinished_is_told_after_an_upgrade_and_a_damaged_job_database() {
    let world = World::new();
    let noted = r#"{"begun":{"path":"/a","created":true,"restore":"task","vault":"20260101T000000"}}"#;
    fs::write(
        world.storage.path().join("unfinished.jsonl"),
        format!("{noted}\n"),
    )
    .unwrap();
    let told = |health: &health_metrics::Health, what: &str| {
        let said = health
            .problems
            .iter()
            .any(|problem| problem.to_string().contains(what));
        assert!(said, "{what}: {:?}", health.problems);
        assert_eq!(health.unfinished_znodes, 1);
    };
    for _ in 0..2 {
        let engine = world.start();
        told(
            &engine.health().await,
            "the znode /a is unfinished since the restore task",
        );
    }
    let other = rusqlite::Connection::open(world.storage.path().join("jobs.db")).unwrap();
    other.execute("ALTER TABLE job DROP COLUMN result", []).unwrap();
    drop(other);
    let health = world.start().health().await;
    told(&health, "the znode /a is unfinished since the restore task");
    let lost = |health: &health_metrics::Health| {
        let problems = health.problems.iter();
        problems
            .filter(|problem| matches!(problem, Problem::UnfinishedUnknown))
            .count()
    };
    assert_eq!(lost(&health), 0, "all notes could be read");
    let health = world.start().health().await;
    assert_eq!(health.unfinished_znodes, 1, "it is in the new database");
    fs::write(world.storage.path().join("jobs.db"), b"no database").unwrap();
    let health = world.start().health().await;
    assert_eq!((lost(&health), health.unfinished_znodes), (1, 0));
}

#[tokio::test]
async fn a_job_of_a_kind_that_nobody_knows_is_failed_and_the_next_one_done() {
    let world = World::new();
    let engine = world.start();
    let strange = engine.backup(BackupRequest::default()).await.unwrap();
    let other = rusqlite::Connection::open(world.storage.path().join("jobs.db")).unwrap();
    other.execute("UPDATE job SET kind = 'reboot'", []).unwrap();
    world.pass(HOUR);
    let (id, state) = backup(&engine, &[]).await;
    assert_eq!(state, JobState::Successful);
    let job = engine.job(&strange).await.unwrap().unwrap();
    assert_eq!(job.status, JobState::Failed);
    assert!(job.message.unwrap().contains("reboot"));
    assert_eq!(engine.list().await.unwrap(), [id]);
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
