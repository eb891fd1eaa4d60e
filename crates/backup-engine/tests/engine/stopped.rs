//! Jobs that are called off, or lost to somebody else, and restores that may write no longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backup_engine::{
    BackupRequest, CompareWith, Engine, EngineError, JobInfo, JobState, Page, RestoreRequest, Share,
    VerifyRequest,
};
use job_queue::{JobCall, JobFault, JobStore};
use tokio::task::JoinHandle;
use vault_store::{VaultCall, VaultFault, VaultStore};
use zk_snapshot::restore::{NotPermitted, Permit};
use zk_snapshot::tree::Acl;

use super::support::{
    World, backed_up, described, done, full, gate, goes_on, job, restored, run, snapshot_of, transactional,
};

const MANY: usize = 3_000;

/// A world with many znodes, which were changed since the backup that is returned.
async fn changed() -> (World, String, Vec<(String, Vec<u8>, Acl)>) {
    let world = World::new();
    let path = |number: usize| format!("/b/{number}");
    for number in 0..MANY {
        world.tree.put(&path(number), b"one", Acl::open()).unwrap();
    }
    let (id, there) = (full(&world.start().engine).await, world.znodes());
    for number in 0..MANY {
        world.tree.put(&path(number), b"two", Acl::open()).unwrap();
    }
    (world, id, there)
}

fn step(engine: &Engine) -> JoinHandle<Result<bool, EngineError>> {
    let engine = engine.clone();
    tokio::spawn(async move { engine.step().await })
}

#[tokio::test]
async fn a_job_that_waits_is_canceled_at_once_and_one_that_has_ended_is_not() {
    let world = World::new();
    let engine = world.start().engine;
    let first = full(&engine).await;
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    let restore = engine.restore(RestoreRequest::of(&first)).await.unwrap();
    assert!(engine.evict_one(&first).await.is_err(), "it is needed");
    for id in [&id, &restore] {
        assert_eq!(engine.cancel(id).await.unwrap(), JobState::Canceled);
        assert_eq!(job(&engine, id).await.status, JobState::Canceled);
        assert_eq!(engine.wait(id).await.unwrap().status, JobState::Canceled);
        let again = engine.cancel(id).await;
        let ended = |state| matches!(again, Err(EngineError::JobEnded { state: told, .. }) if told == state);
        assert!(ended(JobState::Canceled), "{again:?}");
    }
    assert!(!engine.step().await.unwrap());
    assert_eq!(engine.describe(&id).await.unwrap(), None);
    assert_eq!(engine.list().await.unwrap(), [&*first]);
    for unknown in ["20260101T000000", "none", &"x".repeat(5_000)] {
        let told = engine.cancel(unknown).await;
        assert!(matches!(told, Err(EngineError::JobNotFound(_))), "{told:?}");
    }
    engine.evict_one(&first).await.unwrap();
    assert!(goes_on(&world, &engine).await > id, "its id is not given again");
}

/// Wherever it is by then: what was staged is gone, no vault tells of it, and what comes next is done.
#[tokio::test]
async fn a_backup_that_is_called_off_leaves_nothing() {
    for call in [VaultCall::Stage, VaultCall::Create, VaultCall::Write] {
        let world = World::new();
        let running = world.start();
        let engine = &running.engine;
        let (mut gate, delay) = gate();
        running.vaults.plan(call, 1, VaultFault::Delay(delay));
        let id = engine.backup(BackupRequest::default()).await.unwrap();
        let step = step(engine);
        gate.reached().await;
        assert_eq!(engine.cancel(&id).await.unwrap(), JobState::Processing);
        drop(gate);
        assert!(step.await.unwrap().unwrap());
        let job = job(engine, &id).await;
        assert_eq!(job.status, JobState::Canceled, "{call:?}: {job:?}");
        assert_eq!(job.message.as_deref(), Some("it was called off"));
        assert_eq!(engine.list().await.unwrap(), [""; 0]);
        assert_eq!(engine.describe(&id).await.unwrap(), None);
        assert!(
            world.vaults.stage(&id.parse().unwrap()).is_ok(),
            "nobody writes it any more"
        );
        goes_on(&world, engine).await;
    }
}

/// One that was done before it came to where it could have ended.
#[tokio::test]
async fn a_backup_that_is_called_off_while_it_is_committed_is_one() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let (mut gate, delay) = gate();
    running
        .vaults
        .plan(VaultCall::Commit, 1, VaultFault::Delay(delay));
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    let step = step(engine);
    gate.reached().await;
    assert_eq!(engine.cancel(&id).await.unwrap(), JobState::Processing);
    drop(gate);
    step.await.unwrap().unwrap();
    assert_eq!(job(engine, &id).await.status, JobState::Successful);
    assert_eq!(engine.list().await.unwrap(), [id]);
}

fn written(job: &JobInfo) -> usize {
    let changed = job.result["report"]["data_changed"].as_u64();
    usize::try_from(changed.unwrap_or_else(|| panic!("{job:?}"))).unwrap()
}

#[tokio::test]
async fn a_restore_that_is_called_off_tells_what_it_has_done_and_can_be_done_again() {
    let (world, id, there) = changed().await;
    let engine = world.start().engine;
    let task = engine.restore(RestoreRequest::of(&id)).await.unwrap();
    let (reached, go) = world.ensemble.hold_writes(3);
    let step = step(&engine);
    reached.await.unwrap();
    assert_eq!(engine.cancel(&task).await.unwrap(), JobState::Processing);
    drop(go);
    assert!(step.await.unwrap().unwrap());
    let job = job(&engine, &task).await;
    assert_eq!(job.status, JobState::Canceled, "{job:?}");
    let restored_by_then = written(&job);
    let live = world.znodes();
    let as_before = live.iter().filter(|znode| there.contains(znode)).count();
    assert_eq!(restored_by_then, as_before - (there.len() - MANY));
    assert!((1..MANY / 2).contains(&restored_by_then), "{restored_by_then}");
    let message = job.message.unwrap();
    assert!(
        message.contains("called off") && message.contains(&restored_by_then.to_string()),
        "{message}"
    );
    assert_eq!(restored(&engine, &id).await.status, JobState::Successful);
    assert_eq!(world.znodes(), there);
}

/// Another has taken it over, or thinks so: it stops, says nothing of its own, and leaves no vault.
#[tokio::test]
async fn a_job_that_is_lost_to_somebody_else_stops_and_ends_as_he_says() {
    let world = World::new();
    let soon = Duration::from_millis(2);
    let running = world.start_with(|builder| builder.renewal(soon, Duration::from_hours(1)));
    let engine = &running.engine;
    world.ensemble.keep_waiting(true);
    let (mut gate, delay) = gate();
    running.jobs.plan(JobCall::Renew, 1, JobFault::Delay(delay));
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    let step = step(engine);
    gate.reached().await;
    let later = world.now() + Duration::from_secs(60);
    assert_eq!(world.jobs.recover("other", Some(later), later).unwrap().len(), 1);
    drop(gate);
    assert!(step.await.unwrap().unwrap());
    let job = job(engine, &id).await;
    assert_eq!(
        (job.status, job.message.as_deref()),
        (JobState::Failed, Some("interrupted"))
    );
    assert_eq!(engine.list().await.unwrap(), [""; 0]);
    world.ensemble.keep_waiting(false);
    goes_on(&world, engine).await;
}

/// Lets so many requests out that write.
#[derive(Debug)]
pub(crate) struct SoMany(pub(crate) AtomicUsize);

impl Permit for SoMany {
    fn may_go_on(&self) -> Result<(), NotPermitted> {
        Ok(())
    }

    fn may_write(&self) -> Result<(), NotPermitted> {
        let one_less = |left: usize| left.checked_sub(1);
        let had = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        had.map(drop)
            .map_err(|_| NotPermitted::new("the lease has run out"))
    }
}

#[tokio::test]
async fn a_restore_writes_nothing_more_once_it_may_not() {
    let (world, id, there) = changed().await;
    let permit = Arc::new(SoMany(AtomicUsize::new(3)));
    let engine = world.start_with(|builder| builder.permit(permit)).engine;
    let job = restored(&engine, &id).await;
    assert_eq!(job.status, JobState::Failed);
    let message = job.message.clone().unwrap();
    assert!(message.starts_with("the lease has run out; "), "{message}");
    let live = world.znodes();
    let as_before = live.iter().filter(|znode| there.contains(znode)).count();
    assert_eq!(written(&job), as_before - (there.len() - MANY));
    assert_eq!(written(&job), 3 * 32, "three calls, and none after them");
    let engine = world.start().engine;
    assert_eq!(restored(&engine, &id).await.status, JobState::Successful);
    assert_eq!(world.znodes(), there);
    let (_, job) = backed_up(&engine, BackupRequest::default()).await;
    assert_eq!(done(&engine, &job.id).await.status, JobState::Successful);
}

/// Nobody waits for it any more: it writes what is under way and nothing else, lets go of the storage, and is told as interrupted.
#[tokio::test]
async fn a_restore_whose_run_is_dropped_stops_and_is_interrupted() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let path = |number: usize| format!("/b/{number}");
    let put = |data: &[u8]| {
        for number in 0..MANY {
            world.tree.put(&path(number), data, Acl::open()).unwrap();
        }
    };
    put(b"one");
    let there = world.znodes();
    let builder = || world.builder().0.storage(directory.path());
    let engine = builder().unwrap().build().unwrap();
    let id = full(&engine).await;
    put(b"two");
    let task = engine.restore(RestoreRequest::of(&id)).await.unwrap();
    let (reached, go) = world.ensemble.hold_writes(3);
    let (_stop, running) = run(&engine);
    reached.await.unwrap();
    drop(engine);
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    drop(go);
    let deadline = Instant::now() + Duration::from_secs(60);
    let again = loop {
        match builder() {
            Ok(free) => break free.build().unwrap(),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let job = job(&again, &task).await;
    assert_eq!(
        (job.status, job.message.as_deref()),
        (JobState::Failed, Some("interrupted"))
    );
    let live = world.znodes();
    let changed = live.iter().filter(|znode| !there.contains(znode)).count();
    assert!((MANY / 2..MANY).contains(&changed), "{changed}");
    assert_eq!(again.health().await.interrupted_restores, 1);
    assert_eq!(restored(&again, &id).await.status, JobState::Successful);
    assert_eq!(world.znodes(), there);
}

/// A check that is called off, or ends with the engine, reads no further: neither while checksums are compared nor while the snapshot is loaded.
#[tokio::test]
async fn a_check_of_a_large_snapshot_is_called_off_midway() {
    const MIB: usize = 20;
    let world = World::new();
    let (files, _directory) = snapshot_of(4 * MIB, 256 << 10);
    let running = world.start_with(|builder| builder.states(vec![Arc::new(files)]));
    let engine = &running.engine;
    let id = transactional(engine).await;
    // Each is read in pieces of 1 MiB: for its checksums, and once more for its znodes.
    for piece in [MIB / 2, MIB + MIB / 2] {
        let (mut gate, delay) = gate();
        running
            .vaults
            .plan(VaultCall::ReadAt, piece, VaultFault::Delay(delay));
        running
            .vaults
            .plan(VaultCall::ReadAt, piece + 3, VaultFault::Fail);
        let verify = VerifyRequest {
            vault: Some(id.clone()),
            share: Share::ALL,
        };
        let task = engine.verify(verify).await.unwrap();
        let step = step(engine);
        gate.reached().await;
        assert_eq!(engine.cancel(&task).await.unwrap(), JobState::Processing);
        drop(gate);
        assert!(step.await.unwrap().unwrap());
        let job = job(engine, &task).await;
        assert_eq!(job.status, JobState::Canceled, "{piece}: {job:?}");
        assert_eq!(running.vaults.left(), 1, "{piece}: it went on");
        assert_eq!(described(engine, &id).await.verified_at, None);
        // What was to fail is used up.
        let task = engine.verify(VerifyRequest::default()).await.unwrap();
        assert_eq!(done(engine, &task).await.status, JobState::Failed);
        assert_eq!(running.vaults.left(), 0);
    }
    let task = engine.verify(VerifyRequest::default()).await.unwrap();
    assert_eq!(done(engine, &task).await.status, JobState::Successful);
}

#[test]
fn a_comparison_that_nobody_waits_for_any_more_reads_no_further() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (files, _directory) = snapshot_of(80, 256 << 10);
    let vaults = runtime.block_on(async {
        let world = World::new();
        let running = world.start_with(|builder| builder.states(vec![Arc::new(files)]));
        let id = transactional(&running.engine).await;
        let (mut gate, delay) = gate();
        running
            .vaults
            .plan(VaultCall::ReadAt, 5, VaultFault::Delay(delay));
        running.vaults.plan(VaultCall::ReadAt, 8, VaultFault::Fail);
        let engine = running.engine.clone();
        let comparing = tokio::spawn(async move {
            let page = Page { offset: 0, limit: 9 };
            engine.compare(&id, CompareWith::Backup(id.clone()), page).await
        });
        gate.reached().await;
        comparing.abort();
        assert!(comparing.await.unwrap_err().is_cancelled());
        running.vaults
    });
    drop(runtime); // which waits for whoever still reads
    assert_eq!(vaults.left(), 1, "it went on");
}
