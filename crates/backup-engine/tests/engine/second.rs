//! Second copies: when they are made, what is read from them, and what becomes of them.

mod damaged;
mod rotten;

use std::sync::Arc;
use std::time::{Duration, Instant};

use backup_engine::{Engine, JobInfo, JobResult, JobState};
use health_metrics::{Problem, SecondCopy, Status};
use vault_store::{
    FaultyVaults, FileName, MemoryStore, StoredCopy, VaultCall, VaultFault, VaultId, VaultStore,
};
use zk_snapshot::tree::Acl;

use super::support::{DAY, Running, World, described, full, goes_on, restored};

/// A world with a second place, and what is between that and an engine.
struct Twice {
    world: World,
    copies: MemoryStore,
}

impl Twice {
    fn new() -> Self {
        Self {
            world: World::new(),
            copies: MemoryStore::new(),
        }
    }

    fn start(&self) -> (Running, FaultyVaults) {
        let faulty = FaultyVaults::new(Arc::new(self.copies.clone()));
        let second = Arc::new(faulty.clone());
        let running = self
            .world
            .start_with(|builder| builder.second_copy(second, "another place"));
        (running, faulty)
    }

    /// The same with nothing in the first place.
    fn burnt(self) -> Self {
        let mut world = self.world;
        world.vaults = MemoryStore::new();
        world.jobs = Arc::default();
        Self {
            world,
            copies: self.copies,
        }
    }
}

fn id(text: &str) -> VaultId {
    text.parse().unwrap()
}

async fn copies(engine: &Engine) -> SecondCopy {
    engine.health().await.second_copy.unwrap()
}

fn copy_of(job: &JobInfo) -> Option<StoredCopy> {
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    match job.outcome().unwrap() {
        JobResult::Restore(done) => done.source.unwrap().copy,
        JobResult::RestoreTest(done) => done.copy,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_backup_lacks_its_copy_until_it_has_one_and_nobody_waits_for_that() {
    let twice = Twice::new();
    let (Running { engine, .. }, faulty) = twice.start();
    faulty.cut();
    let first = full(&engine).await;
    twice.world.pass(Duration::from_secs(300));
    let second = full(&engine).await;
    assert!(engine.copy_vaults().await.is_err());
    let told = copies(&engine).await;
    assert_eq!((told.lacking, &*told.place), (2, "another place"));
    assert!(told.lacking_bytes > 0 && told.error.is_some());
    assert_eq!(told.oldest, Some(Duration::from_secs(300)));
    assert_eq!(engine.health().await.status(), Status::Up, "it may pass");
    twice.world.pass(Duration::from_secs(301));
    let health = engine.health().await;
    let told = |problem: &Problem| matches!(problem, Problem::NoSecondCopies { lacking: 2, .. });
    assert!(health.problems.iter().any(told), "{:?}", health.problems);
    assert_eq!(health.hindrances().count(), 0);
    let metrics = engine.metrics().await.unwrap();
    for line in [
        "zk_backup_secondary_lacking 2",
        "zk_backup_secondary_oldest_lacking_seconds 601",
        "zk_backup_secondary_up 0",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}: {metrics}");
    }
    assert_eq!(restored(&engine, &first).await.status, JobState::Successful);
    drop(engine);

    // What is lacking is found anew by the next process.
    let (Running { engine, .. }, _) = twice.start();
    engine.copy_vaults().await.unwrap();
    let told = copies(&engine).await;
    assert_eq!((told.lacking, told.oldest, told.error), (0, None, None));
    assert_eq!(twice.copies.ids().unwrap(), [id(&first), id(&second)]);
    assert_eq!(engine.health().await.status(), Status::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_runs_copies_at_the_start_and_after_each_change() {
    let twice = Twice::new();
    let (Running { engine, .. }, _) = twice.start();
    let before = full(&engine).await;
    drop(engine);
    let (Running { engine, .. }, _) = twice.start();
    let until = async |expected: &[&str]| {
        let deadline = Instant::now() + Duration::from_secs(60);
        let expected: Vec<_> = expected.iter().map(|text| id(text)).collect();
        while twice.copies.ids().unwrap() != expected {
            assert!(Instant::now() < deadline, "{:?}", twice.copies.ids());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let story = async {
        until(&[&before]).await;
        let after = engine.backup(Default::default()).await.unwrap();
        engine.wait(&after).await.unwrap();
        until(&[&before, &after]).await;
        engine.evict_one(&before).await.unwrap();
        until(&[&after]).await;
    };
    tokio::select! {
        () = engine.run(std::future::pending()) => {}
        () = story => {}
    }
}

#[tokio::test]
async fn what_the_second_place_says_is_pinned_no_policy_evicts_though_the_first_says_less() {
    let twice = Twice::new();
    let (Running { engine, .. }, _) = twice.start();
    let (pinned, other) = (full(&engine).await, full(&engine).await);
    engine.pin(&pinned, true).await.unwrap();
    engine.copy_vaults().await.unwrap();
    drop(engine);
    // The first place is that of an older image.
    let pins = FileName::from_static("pins");
    let older = format!("{{\"{pinned}\": false}}");
    twice.world.vaults.keep_note(&pins, older.as_bytes()).unwrap();
    let (Running { engine, .. }, _) = twice.start();
    twice.world.pass(DAY * 2);
    let newest = goes_on(&twice.world, &engine).await;
    engine.evict(false).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), [pinned.clone(), newest]);
    assert!(!engine.list().await.unwrap().contains(&other));
    // This process knows that it is newer.
    engine.pin(&pinned, false).await.unwrap();
    engine.copy_vaults().await.unwrap();
    assert_eq!(described(&engine, &pinned).await.pinned, Some(false));
}

#[tokio::test]
async fn copies_that_fail_at_their_end_are_told_and_tried_after_growing_pauses() {
    let twice = Twice::new();
    let (Running { engine, .. }, faulty) = twice.start();
    full(&engine).await;
    engine.copy_vaults().await.unwrap();
    let late = full(&engine).await;
    for _ in 0..2 {
        faulty.plan(VaultCall::Commit, 1, VaultFault::Fail);
        assert!(engine.copy_vaults().await.is_err());
        assert_eq!(faulty.left(), 0);
    }
    faulty.plan(VaultCall::Stage, 1, VaultFault::Fail);
    twice.world.pass(Duration::from_secs(299));
    let error = engine.copy_vaults().await.unwrap_err().to_string();
    assert!(error.contains("could not be copied 2 times"), "{error}");
    assert_eq!(faulty.left(), 1, "it is not tried yet");
    twice.world.pass(Duration::from_secs(302));
    let health = engine.health().await;
    let told = |problem: &Problem| matches!(problem, Problem::NoSecondCopies { lacking: 1, .. });
    assert!(health.problems.iter().any(told), "{:?}", health.problems);
    assert!(engine.copy_vaults().await.is_err());
    engine.copy_vaults().await.unwrap();
    assert!(twice.copies.ids().unwrap().contains(&id(&late)));
    assert_eq!(engine.health().await.status(), Status::Up);
}

#[tokio::test]
async fn what_burnt_is_listed_restored_and_evicted_by_its_copies_and_stays_pinned() {
    let twice = Twice::new();
    let (Running { engine, .. }, _) = twice.start();
    let (pinned, other) = (full(&engine).await, full(&engine).await);
    engine.pin(&pinned, true).await.unwrap();
    engine.copy_vaults().await.unwrap();
    let there = twice.world.znodes();
    drop(engine);
    let twice = twice.burnt();
    twice
        .world
        .tree
        .put("/a", b"after the fire", Acl::open())
        .unwrap();

    let (Running { engine, .. }, _) = twice.start();
    assert_eq!(engine.list().await.unwrap(), [pinned.clone(), other.clone()]);
    for id in [&pinned, &other] {
        let info = described(&engine, id).await;
        assert!(
            info.is_valid() && info.copy == Some(StoredCopy::Second),
            "{info:?}"
        );
    }
    assert_eq!(
        copy_of(&restored(&engine, &other).await),
        Some(StoredCopy::Second)
    );
    assert_eq!(twice.world.znodes(), there);
    twice.world.pass(DAY * 2);
    let newest = goes_on(&twice.world, &engine).await;
    engine.copy_vaults().await.unwrap();
    // The policy keeps nothing but the newest.
    engine.evict(false).await.unwrap();
    engine.copy_vaults().await.unwrap();
    let left = [id(&pinned), id(&newest)];
    assert_eq!(twice.copies.ids().unwrap(), left);
    assert_eq!(engine.list().await.unwrap(), [pinned, newest]);
}

#[tokio::test]
async fn the_copy_of_what_was_evicted_goes_as_well_and_of_what_was_lost_it_stays() {
    let twice = Twice::new();
    let (Running { engine, .. }, faulty) = twice.start();
    let (lost, evicted) = (full(&engine).await, full(&engine).await);
    engine.copy_vaults().await.unwrap();
    engine.evict_one(&evicted).await.unwrap();
    twice.world.vaults.remove(&id(&lost)).unwrap();
    assert_eq!(engine.list().await.unwrap(), std::slice::from_ref(&lost));
    assert_eq!(copies(&engine).await.evicted, 1);
    faulty.plan(VaultCall::Remove, 1, VaultFault::Fail);
    assert!(engine.copy_vaults().await.is_err());
    drop(engine);
    let (Running { engine, .. }, _) = twice.start();
    assert_eq!(engine.list().await.unwrap(), std::slice::from_ref(&lost));
    engine.copy_vaults().await.unwrap();
    assert_eq!(twice.copies.ids().unwrap(), [id(&lost)]);
    assert_eq!(copies(&engine).await.evicted, 0);
}

#[tokio::test]
async fn a_clock_that_is_set_makes_nothing_late_and_nothing_wait() {
    let twice = Twice::new();
    twice.world.set_clock(time::Duration::hours(20));
    let (Running { engine, .. }, faulty) = twice.start();
    let late = async || {
        let problems = engine.health().await.problems;
        let is_late = |problem: &Problem| matches!(problem, Problem::NoSecondCopies { .. });
        problems.iter().any(is_late)
    };
    full(&engine).await;
    engine.copy_vaults().await.unwrap();
    twice.world.set_clock(-time::Duration::hours(20));
    twice.world.pass(DAY);
    let second = full(&engine).await;
    for _ in 0..2 {
        faulty.plan(VaultCall::Commit, 1, VaultFault::Fail);
        assert!(engine.copy_vaults().await.is_err());
    }
    twice.world.set_clock(time::Duration::hours(3));
    faulty.plan(VaultCall::Stage, 1, VaultFault::Fail);
    assert!(engine.copy_vaults().await.is_err());
    assert_eq!(faulty.left(), 1, "its pause has not passed");
    twice.world.set_clock(-time::Duration::hours(6));
    twice.world.pass(Duration::from_secs(301));
    assert!(engine.copy_vaults().await.is_err());
    assert_eq!(faulty.left(), 0, "it has");
    engine.copy_vaults().await.unwrap();
    assert!(twice.copies.ids().unwrap().contains(&id(&second)));

    faulty.cut();
    full(&engine).await;
    assert!(engine.copy_vaults().await.is_err());
    twice.world.set_clock(time::Duration::hours(6));
    assert!(!late().await, "no time has passed");
    twice.world.set_clock(-time::Duration::hours(12));
    twice.world.pass(Duration::from_secs(601));
    assert!(late().await);
}

#[tokio::test]
async fn one_that_cannot_be_read_keeps_no_other_from_its_copy() {
    let twice = Twice::new();
    let (Running { engine, vaults, .. }, _) = twice.start();
    let (older, newest) = (full(&engine).await, full(&engine).await);
    vaults.plan(VaultCall::Open, 1, VaultFault::Fail);
    let error = engine.copy_vaults().await.unwrap_err().to_string();
    assert!(error.contains("Open was to fail"), "{error}");
    assert_eq!(twice.copies.ids().unwrap(), [id(&older)]);
    // What it takes is told all the same.
    let all = copies(&engine).await.lacking_bytes;
    vaults.plan(VaultCall::Verification, 2, VaultFault::Fail);
    let told = copies(&engine).await;
    assert_eq!((told.lacking, told.lacking_bytes), (1, all));
    assert!(all > 0 && vaults.left() == 0);
    engine.copy_vaults().await.unwrap();
    assert_eq!(twice.copies.ids().unwrap(), [id(&older), id(&newest)]);
}
