//! Processes that end before any one call to their stores, and those that are started after them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backup_engine::{BackupRequest, Engine, JobState, RestoreRequest, VerifyRequest};
use job_queue::{Job, JobCall, JobFault, JobStore, Note};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use vault_store::{VaultFault, VaultStore, verify};
use zk_snapshot::restore::Policy;
use zk_snapshot::tree::Acl;

use super::support::{
    Gate, HOUR, Running, World, backed_up, described, done, full, gate, goes_on, job, of, restored, run,
};

#[derive(Clone, Copy, Debug)]
enum Store {
    Vaults,
    Jobs,
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// Asks for a backup and a restore, does both, and evicts an old backup; what was given out is in `ids`.
async fn work(running: &Running, good: &str, old: &str, ids: &Mutex<Vec<String>>) {
    let engine = &running.engine;
    let Ok(id) = engine.backup(BackupRequest::default()).await else {
        return;
    };
    ids.lock().unwrap().push(id);
    let Ok(id) = engine.restore(RestoreRequest::of(good)).await else {
        return;
    };
    ids.lock().unwrap().push(id);
    // The third claim finds nothing.
    let (tell, idle) = oneshot::channel();
    let claimed = JobFault::Delay(Box::new(|| {
        let _ = tell.send(());
    }));
    running.jobs.plan(JobCall::Claim, 3, claimed);
    engine.run(async { drop(idle.await) }).await;
    let _ = engine.evict_one(old).await;
}

/// Ends a process before its `nth` call to a store. Says whether it has come to that call.
fn ends_before(store: Store, nth: usize) -> bool {
    let world = World::new();
    let (alive, ids) = (runtime(), Mutex::default());
    let (good, old, there, running) = alive.block_on(async {
        let engine = world.start().engine;
        let (old, good, there) = (full(&engine).await, full(&engine).await, world.znodes());
        world.pass(HOUR);
        world.tree.put("/a", b"two", Acl::open()).unwrap();
        world.tree.put("/new", b"", Acl::open()).unwrap();
        (good, old, there, world.start())
    });
    let (mut gate, delay) = gate();
    match store {
        Store::Vaults => running.vaults.plan(None, nth, VaultFault::Delay(delay)),
        Store::Jobs => running.jobs.plan(None, nth, JobFault::Delay(delay)),
    }
    let came = alive.block_on(async {
        tokio::select! {
            () = work(&running, &good, &old, &ids) => false,
            () = gate.reached() => true,
        }
    });
    end(running, gate, alive);
    let ids = ids.into_inner().unwrap();
    let left: Vec<_> = ids
        .iter()
        .map(|id| world.jobs.get(id).unwrap().unwrap())
        .collect();
    runtime().block_on(async {
        let engine = world.start().engine;
        is_told(&engine, &left).await;
        is_whole(&world, &engine).await;
        for job in left.iter().filter(|job| job.state == JobState::Queued) {
            let job = done(&engine, &job.id).await;
            assert_eq!(job.status, JobState::Successful, "{job:?}");
        }
        let listed = engine.list().await.unwrap();
        let next = goes_on(&world, &engine).await;
        assert!(listed.iter().all(|id| *id < next), "{listed:?} {next}");
        assert_eq!(restored(&engine, &good).await.status, JobState::Successful);
        assert_eq!(world.znodes(), there);
        is_whole(&world, &engine).await;
    });
    came
}

/// Drops all that the process has had. What it was about to do does not reach the stores.
fn end(running: Running, gate: Gate, alive: Runtime) {
    let Running { engine, vaults, jobs } = running;
    drop(engine);
    vaults.cut();
    jobs.cut();
    drop(gate);
    drop(alive);
}

/// What was being done has failed, and says so; what waited waits, and what was done was done.
async fn is_told(engine: &Engine, left: &[Job]) {
    for before in left {
        let after = job(engine, &before.id).await;
        if before.state == JobState::Processing {
            assert_eq!(after.status, JobState::Failed, "{after:?}");
            assert_eq!(after.message.as_deref(), Some("interrupted"));
        } else {
            assert_eq!(after.status, before.state, "{after:?}");
        }
    }
    assert!(!left.iter().any(|job| job.state == JobState::Failed), "{left:?}");
}

/// What is listed is there, and is what was captured.
async fn is_whole(world: &World, engine: &Engine) {
    for id in engine.list().await.unwrap() {
        let info = described(engine, &id).await;
        assert!(info.is_valid() && !info.is_pending(), "{info:?}");
        let id = id.parse().unwrap();
        assert!(verify(&world.vaults, &id, world.now()).unwrap().is_sound());
    }
}

fn ends_before_each(store: Store, at_least: usize) {
    let calls = (1..).take_while(|nth| ends_before(store, *nth)).count();
    assert!(calls >= at_least, "{calls}");
}

#[test]
fn a_process_that_ends_before_a_call_to_the_vaults_leaves_nothing_half_done() {
    ends_before_each(Store::Vaults, 30);
}

#[test]
fn a_process_that_ends_before_a_call_to_the_jobs_leaves_nothing_half_done() {
    ends_before_each(Store::Jobs, 9);
}

/// The newest backup was stored and its job was not: it is there, and the job is told to be interrupted.
#[test]
fn a_backup_that_was_committed_before_the_end_is_a_good_one() {
    let world = World::new();
    let alive = runtime();
    let running = alive.block_on(async { world.start() });
    let (mut gate, delay) = gate();
    running.jobs.plan(JobCall::Finish, 1, JobFault::Delay(delay));
    let id = alive.block_on(async {
        let id = running.engine.backup(BackupRequest::default()).await.unwrap();
        tokio::select! {
            _ = running.engine.step() => panic!("it waits"),
            () = gate.reached() => {}
        }
        id
    });
    end(running, gate, alive);
    assert_eq!(world.vaults.ids().unwrap().len(), 1);
    runtime().block_on(async {
        let engine = world.start().engine;
        let told = job(&engine, &id).await;
        assert_eq!(told.status, JobState::Failed);
        assert_eq!(told.message.as_deref(), Some("interrupted"));
        assert!(described(&engine, &id).await.is_valid());
        assert_eq!(restored(&engine, &id).await.status, JobState::Successful);
        engine.evict_one(&id).await.unwrap();
        assert!(engine.list().await.unwrap().is_empty());
    });
}

/// Two engines over the same stores, one after another, as in a process that is asked to end.
#[tokio::test]
async fn a_process_that_is_asked_to_end_finishes_its_job_and_leaves_the_rest() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let first = engine.backup(BackupRequest::default()).await.unwrap();
    let second = engine.backup(BackupRequest::default()).await.unwrap();
    let stop = Arc::new(tokio::sync::Notify::new());
    let (mut gate, delay) = gate();
    running
        .vaults
        .plan(vault_store::VaultCall::Commit, 1, VaultFault::Delay(delay));
    let (stopping, stopped) = (engine.clone(), Arc::clone(&stop));
    let run = tokio::spawn(async move { stopping.run(stopped.notified()).await });
    gate.reached().await;
    stop.notify_one();
    drop(gate);
    run.await.unwrap();
    assert_eq!(job(engine, &first).await.status, JobState::Successful);
    assert_eq!(job(engine, &second).await.status, JobState::Queued);
    drop(running);
    let engine = world.start().engine;
    assert_eq!(done(&engine, &second).await.status, JobState::Successful);
    assert_eq!(engine.list().await.unwrap(), [first, second]);
}

#[tokio::test]
async fn only_a_restore_of_as_much_makes_up_for_one_that_was_cut_off() {
    let world = World::new();
    let engine = world.start().engine;
    let whole = full(&engine).await;
    let (part, _) = backed_up(&engine, of(&["/a"])).await;
    let task = engine.restore(RestoreRequest::of(&whole)).await.unwrap();
    let claimed = world.jobs.claim("engine", job_queue::MAIN_LANE, world.now());
    assert_eq!(claimed.unwrap().unwrap().id, task);
    let begun = format!(r#"{{"vault":"{whole}","roots":[],"targets":[]}}"#);
    world
        .jobs
        .put_notes(&[Note::new(&task, "restore", begun)])
        .unwrap();
    drop(engine);

    let engine = world.start().engine;
    let interrupted = async || engine.health().await.interrupted_restores;
    assert_eq!(interrupted().await, 1);
    // Everything of a part is not everything, and what deletes nothing does less.
    assert_eq!(restored(&engine, &part).await.status, JobState::Successful);
    assert_eq!(interrupted().await, 1);
    let merging = RestoreRequest {
        policy: Policy::Merge,
        ..RestoreRequest::of(&whole)
    };
    let task = engine.restore(merging).await.unwrap();
    assert_eq!(done(&engine, &task).await.status, JobState::Successful);
    assert_eq!(interrupted().await, 1);
    assert_eq!(restored(&engine, &whole).await.status, JobState::Successful);
    assert_eq!(interrupted().await, 0);
}

/// How many restores have failed by the metrics, and how many are known as interrupted.
async fn failed_and_interrupted(engine: &Engine) -> (String, u64) {
    let metrics = engine.metrics().await.unwrap();
    let name = "zk_backup_restores_total{outcome=\"failed\"} ";
    let failed = metrics.lines().find_map(|line| line.strip_prefix(name));
    let known = engine.health().await.interrupted_restores;
    (failed.unwrap().to_owned(), known)
}

#[tokio::test]
async fn a_restore_that_is_found_cut_off_while_the_process_goes_on_is_counted_once_and_listed() {
    let world = World::new();
    let lapse = Duration::from_secs(60);
    let running = world.start_with(|builder| builder.renewal(Duration::from_secs(10), lapse));
    let Running { engine, jobs, .. } = running;
    let id = full(&engine).await;
    let task = engine.restore(RestoreRequest::of(&id)).await.unwrap();
    let claimed = world.jobs.claim("another", job_queue::MAIN_LANE, world.now());
    assert_eq!(claimed.unwrap().unwrap().id, task);
    let begun = format!(r#"{{"vault":"{id}","roots":[],"targets":[]}}"#);
    world
        .jobs
        .put_notes(&[Note::new(&task, "restore", begun)])
        .unwrap();
    assert_eq!(failed_and_interrupted(&engine).await, ("0".to_owned(), 0));
    world.pass(2 * lapse);
    jobs.plan(JobCall::Recover, 1, JobFault::Fail);
    engine.step().await.unwrap_err();
    assert_eq!(done(&engine, &task).await.status, JobState::Failed);
    assert_eq!(failed_and_interrupted(&engine).await, ("1".to_owned(), 1));
    assert_eq!(restored(&engine, &id).await.status, JobState::Successful);
    assert_eq!(failed_and_interrupted(&engine).await, ("1".to_owned(), 0));
}

/// Of a server that leads: its checks are done beside its restore, and look for what others left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_forward_interrupts_no_restore_that_is_done() {
    let world = World::new();
    // The restore renews nothing in the meantime: it shows the time of its begin.
    let running = world.start_with(|builder| builder.renewal(HOUR, Duration::from_secs(30)));
    let Running { engine, jobs, .. } = running;
    let (_stop, _running) = run(&engine);
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    engine.wait(&id).await.unwrap();
    world.tree.put("/a", b"changed", Acl::open()).unwrap();
    let (reached, go) = world.ensemble.hold_writes(0);
    let task = engine.restore(RestoreRequest::of(&id)).await.unwrap();
    reached.await.unwrap();
    world.set_clock(time::Duration::MINUTE);
    // One may have been under way, by the time of before.
    jobs.plan(JobCall::CutOff, 4, JobFault::Delay(Box::new(|| {})));
    while jobs.left() > 0 {
        let check = engine.verify(VerifyRequest::default()).await.unwrap();
        assert_eq!(engine.wait(&check).await.unwrap().status, JobState::Successful);
    }
    go.send(()).unwrap();
    let job = engine.wait(&task).await.unwrap();
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    assert_eq!(failed_and_interrupted(&engine).await, ("0".to_owned(), 0));
    assert_eq!(world.tree.dump()[1].1, b"one");
}

#[tokio::test]
async fn a_restore_that_panics_is_counted_and_listed_as_interrupted() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    world.ensemble.panic();
    let job = restored(&engine, &id).await;
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    assert!(job.message.unwrap().contains("ended abnormally"));
    assert_eq!(failed_and_interrupted(&engine).await, ("1".to_owned(), 1));
}
