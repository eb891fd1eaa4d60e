//! A backup that is written, or that a restore needs, is not evicted.

use std::time::Duration;

use backup_engine::{BackupRequest, EngineError, JobState, RestoreRequest};
use eviction_policy::{Action, Decision};
use job_queue::{JobCall, JobFault};
use tokio::time::timeout;
use vault_store::{VaultCall, VaultFault};

use super::support::{DAY, HOUR, Running, World, described, done, full, gate, goes_on, job};

async fn in_use(running: &Running, id: &str) {
    let engine = &running.engine;
    let refused = engine.evict_one(id).await.unwrap_err();
    assert!(matches!(refused, EngineError::InUse(_)), "{refused}");
    let refused = engine.would_evict_one(id).await.unwrap_err();
    assert!(matches!(refused, EngineError::InUse(_)), "{refused}");
}

/// What a pass does with `id`.
async fn passed(running: &Running, id: &str) -> Option<Decision> {
    let plan = running.engine.evict(false).await.unwrap();
    plan.into_iter().find(|decision| decision.id == id)
}

/// Jobs may be in a bucket that does not answer for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_one_is_needed_is_asked_while_others_are_restored() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let one = full(engine).await;
    world.pass(HOUR);
    let other = full(engine).await;
    for is_dry in [true, false] {
        let (mut gate, delay) = gate();
        running.jobs.plan(JobCall::IsNeeded, 1, JobFault::Delay(delay));
        let (evicting, id) = (engine.clone(), one.clone());
        let evicted = tokio::spawn(async move {
            match is_dry {
                true => evicting.would_evict_one(&id).await.map(drop),
                false => evicting.evict_one(&id).await.map(drop),
            }
        });
        gate.reached().await;
        let asked = timeout(
            Duration::from_secs(60),
            engine.restore(RestoreRequest::of(&other)),
        );
        let task = asked.await.expect("it waits for the other").unwrap();
        drop(gate);
        evicted.await.unwrap().unwrap();
        assert_eq!(done(engine, &task).await.status, JobState::Successful);
    }
    assert_eq!(engine.list().await.unwrap(), [other]);
}

#[tokio::test]
async fn what_a_restore_waits_for_stays_until_that_is_done() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let (old, there) = (full(engine).await, world.znodes());
    world.pass(2 * DAY);
    let newest = full(engine).await;
    // The pass that follows it takes the old one; what was asked for by hand stays for a day.
    assert_eq!(engine.list().await.unwrap(), [&*newest]);
    world
        .tree
        .put("/a", b"two", zk_snapshot::tree::Acl::open())
        .unwrap();
    let newer = full(engine).await;
    world.pass(2 * DAY);
    let task = engine.restore(RestoreRequest::of(&newest)).await.unwrap();
    in_use(&running, &newest).await;
    let decision = passed(&running, &newest).await.unwrap();
    assert_eq!(
        (decision.action, &*decision.reason),
        (Action::Keep, "it is in use")
    );
    assert_eq!(engine.list().await.unwrap(), [newest.clone(), newer.clone()]);

    // While it is read, too; and by then it is none that waits.
    let (mut gate, delay) = gate();
    running.vaults.plan(VaultCall::Open, 1, VaultFault::Delay(delay));
    let stepping = engine.clone();
    let step = tokio::spawn(async move { stepping.step().await });
    gate.reached().await;
    assert_eq!(job(engine, &task).await.status, JobState::Processing);
    in_use(&running, &newest).await;
    assert_eq!(passed(&running, &newest).await.unwrap().action, Action::Keep);
    drop(gate);
    step.await.unwrap().unwrap();
    assert_eq!(job(engine, &task).await.status, JobState::Successful);
    assert_eq!(world.znodes(), there);
    assert_eq!(engine.would_evict_one(&newest).await.unwrap().id, newest);
    assert_eq!(passed(&running, &newest).await.unwrap().action, Action::Evict);
    assert_eq!(engine.list().await.unwrap(), [newer]);
    assert!(matches!(
        engine.restore(RestoreRequest::of(&old)).await,
        Err(EngineError::BackupNotFound(_))
    ));
}

#[tokio::test]
async fn what_is_written_is_locked_and_stays() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    let waits = described(engine, &id).await;
    assert!(waits.is_pending() && !waits.is_valid(), "{waits:?}");
    in_use(&running, &id).await;
    let refused = engine.export(&id).await.err().unwrap();
    assert!(matches!(refused, EngineError::InUse(_)), "{refused}");

    let (mut gate, delay) = gate();
    running
        .vaults
        .plan(VaultCall::Commit, 1, VaultFault::Delay(delay));
    let stepping = engine.clone();
    let step = tokio::spawn(async move { stepping.step().await });
    gate.reached().await;
    assert!(described(engine, &id).await.is_pending());
    assert!(engine.list().await.unwrap().is_empty());
    in_use(&running, &id).await;
    assert_eq!(passed(&running, &id).await, None);
    drop(gate);
    step.await.unwrap().unwrap();
    let written = described(engine, &id).await;
    assert!(written.is_valid() && !written.is_pending(), "{written:?}");
    engine.evict_one(&id).await.unwrap();
    assert!(engine.list().await.unwrap().is_empty());
    assert_eq!(engine.describe(&id).await.unwrap(), None);
}

#[tokio::test]
async fn what_ends_while_it_is_looked_for_is_found() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    for pins in [false, true] {
        let id = engine.backup(BackupRequest::default()).await.unwrap();
        let (mut gate, delay) = gate();
        // By then the store has nothing.
        running.jobs.plan(JobCall::Get, 1, JobFault::Delay(delay));
        let (looking, asked) = (engine.clone(), id.clone());
        let found = tokio::spawn(async move {
            match pins {
                true => looking.pin(&asked, true).await.map(Some),
                false => looking.describe(&asked).await,
            }
        });
        gate.reached().await;
        assert_eq!(done(engine, &id).await.status, JobState::Successful);
        drop(gate);
        let found = found.await.unwrap().unwrap().unwrap();
        assert!(found.is_valid() && found.is_evictable() != pins, "{found:?}");
    }
}

/// Long enough for what does not wait to be done; what waits for the gate is never done before.
const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_backup_does_not_go_between_a_restore_that_finds_it_and_its_queueing() {
    let world = World::new();
    let running = world.start();
    let id = full(&running.engine).await;
    let (mut gate, delay) = gate();
    running.jobs.plan(JobCall::Enqueue, 1, JobFault::Delay(delay));
    let (engine, request) = (running.engine.clone(), RestoreRequest::of(&id));
    let restoring = tokio::spawn(async move { engine.restore(request).await });
    gate.reached().await;
    let refused = running.engine.evict_one(&id).await;
    assert!(matches!(refused, Err(EngineError::InUse(_))), "{refused:?}");
    drop(gate);
    let task = restoring.await.unwrap().unwrap();
    assert_eq!(running.engine.list().await.unwrap(), [id]);
    assert_eq!(done(&running.engine, &task).await.status, JobState::Successful);
}

#[tokio::test]
async fn a_restore_is_not_queued_of_what_is_just_going() {
    let world = World::new();
    let running = world.start();
    let id = full(&running.engine).await;
    let (mut gate, delay) = gate();
    running
        .vaults
        .plan(VaultCall::Remove, 1, VaultFault::Delay(delay));
    let (engine, evicted) = (running.engine.clone(), id.clone());
    let evicting = tokio::spawn(async move { engine.evict_one(&evicted).await });
    gate.reached().await;
    let (engine, request) = (running.engine.clone(), RestoreRequest::of(&id));
    let mut restoring = tokio::spawn(async move { engine.restore(request).await });
    assert!(timeout(SOON, &mut restoring).await.is_err());
    drop(gate);
    evicting.await.unwrap().unwrap();
    let refused = restoring.await.unwrap().unwrap_err();
    assert!(matches!(refused, EngineError::BackupNotFound(_)), "{refused}");
    assert!(!running.engine.step().await.unwrap(), "nothing was queued");
}

#[tokio::test]
async fn an_eviction_that_fails_is_told_and_leaves_the_rest_as_it_is() {
    let world = World::new();
    let running = world.start();
    let (engine, vaults) = (&running.engine, &running.vaults);
    let (first, second, third) = (full(engine).await, full(engine).await, full(engine).await);
    let all = [&first, &second, &third].map(Clone::clone);
    let told = |error: EngineError, what: &str| {
        assert!(
            matches!(&error, EngineError::Storage(why) if why.to_string().contains(what)),
            "{error}"
        );
    };
    // Whether a restore needs it is not known: it stays.
    running.jobs.plan(JobCall::IsNeeded, 1, JobFault::Fail);
    told(engine.evict_one(&first).await.unwrap_err(), "IsNeeded");
    vaults.plan(VaultCall::Remove, 1, VaultFault::Fail);
    told(engine.evict_one(&first).await.unwrap_err(), "Remove");
    assert_eq!(engine.list().await.unwrap(), all);

    world.pass(2 * DAY);
    vaults.plan(VaultCall::Ids, 1, VaultFault::Fail);
    told(engine.evict(false).await.unwrap_err(), "Ids");
    vaults.plan(VaultCall::Remove, 1, VaultFault::Fail);
    told(engine.evict(false).await.unwrap_err(), &first);
    assert_eq!(engine.list().await.unwrap(), [first.clone(), third.clone()]);
    // A pass that fails is not the failure of the backup that it follows.
    vaults.plan(VaultCall::Remove, 1, VaultFault::Fail);
    let fourth = full(engine).await;
    assert_eq!(vaults.left(), 0);
    let left = engine.list().await.unwrap();
    assert_eq!(left, [first.clone(), fourth.clone()]);
    vaults.plan(VaultCall::Remove, 1, VaultFault::LoseAnswer);
    told(engine.evict_one(&first).await.unwrap_err(), "Remove");
    let gone = engine.evict_one(&first).await.unwrap_err();
    assert!(matches!(gone, EngineError::BackupNotFound(_)), "{gone}");
    assert!(engine.list().await.unwrap().contains(&fourth));
    goes_on(&world, engine).await;
}
