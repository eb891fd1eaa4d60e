//! A job store that fails, and runs that are dropped.

use std::time::Duration;

use backup_engine::{BackupRequest, EngineError, JobState, RestoreRequest};
use job_queue::{JobCall, JobFault, JobStore, NewJob, Note};
use vault_store::{VaultCall, VaultFault};

use super::support::{HOUR, World, backed_up, described, done, full, gate, goes_on, job, of, run};

#[tokio::test]
async fn a_job_that_cannot_be_claimed_is_done_later() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    running.jobs.plan(JobCall::Claim, 1, JobFault::Fail);
    assert!(engine.step().await.is_err());
    assert_eq!(job(engine, &id).await.status, JobState::Queued);
    assert_eq!(done(engine, &id).await.status, JobState::Successful);
}

#[tokio::test]
async fn a_job_that_was_claimed_without_our_knowing_is_failed_and_the_next_one_done() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    running.jobs.plan(JobCall::Claim, 1, JobFault::LoseAnswer);
    assert!(engine.step().await.is_err());
    assert_eq!(job(engine, &id).await.status, JobState::Processing);
    assert!(!engine.step().await.unwrap());
    assert_eq!(job(engine, &id).await.status, JobState::Failed);
    let next = goes_on(&world, engine).await;
    assert_eq!(engine.list().await.unwrap(), [next]);
}

#[tokio::test]
async fn how_a_job_has_ended_is_stored_later_and_its_work_not_done_again() {
    for (fault, is_noted) in [(JobFault::Fail, false), (JobFault::LoseAnswer, true)] {
        let world = World::new();
        let running = world.start();
        let engine = &running.engine;
        let id = engine.backup(BackupRequest::default()).await.unwrap();
        running.jobs.plan(JobCall::Finish, 1, fault);
        assert!(engine.step().await.is_err());
        let told = job(engine, &id).await;
        assert_eq!((told.status, told.progress), (JobState::Successful, None));
        assert_eq!(told.message.is_none(), is_noted, "{:?}", told.message);
        assert_eq!(engine.list().await.unwrap(), [&*id]);
        let _ = engine.step().await; // where it was stored, it is told that it cannot be stored twice
        let told = job(engine, &id).await;
        assert_eq!((told.status, told.message), (JobState::Successful, None));
        assert!(!engine.step().await.unwrap());
        let next = goes_on(&world, engine).await;
        assert_eq!(engine.list().await.unwrap(), [id, next]);
    }
}

#[tokio::test]
async fn jobs_that_cannot_be_looked_through_stop_the_start_and_nothing_else() {
    let world = World::new();
    let id = full(&world.start().engine).await;
    let (builder, _, jobs) = world.builder();
    jobs.plan(JobCall::CutOff, 1, JobFault::Fail);
    assert!(builder.build().is_err());
    let running = world.start();
    running.jobs.plan(JobCall::Prune, 1, JobFault::Fail);
    let next = full(&running.engine).await;
    assert_eq!(running.jobs.left(), 0);
    assert_eq!(running.engine.list().await.unwrap(), [id, next]);
}

#[tokio::test]
async fn a_run_that_is_dropped_midway_ends_its_job_before_the_next_begins() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let first = engine.backup(BackupRequest::default()).await.unwrap();
    let (mut gate, delay) = gate();
    running
        .vaults
        .plan(VaultCall::Commit, 1, VaultFault::Delay(delay));
    tokio::select! {
        () = engine.run(std::future::pending()) => {}
        () = gate.reached() => {}
    }
    let second = engine.restore(RestoreRequest::of(&first)).await;
    assert!(second.is_err(), "it is not written yet");
    let second = engine.backup(BackupRequest::default()).await.unwrap();
    let stepping = engine.clone();
    let step = tokio::spawn(async move { while stepping.step().await.unwrap() {} });
    drop(gate);
    step.await.unwrap();
    let (first, second) = (job(engine, &first).await, job(engine, &second).await);
    // Nobody waited for it any more, as where a process is killed once a backup is stored.
    assert_eq!(
        (first.status, first.message.as_deref()),
        (JobState::Failed, Some("interrupted"))
    );
    assert_eq!(second.status, JobState::Successful, "{second:?}");
}

#[tokio::test]
async fn two_who_step_at_once_do_one_job_after_another() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let ids = [
        engine.backup(BackupRequest::default()).await.unwrap(),
        engine.backup(BackupRequest::default()).await.unwrap(),
    ];
    let (mut gate, delay) = gate();
    running
        .vaults
        .plan(VaultCall::Commit, 1, VaultFault::Delay(delay));
    let stepping = engine.clone();
    let first = tokio::spawn(async move { stepping.step().await });
    gate.reached().await;
    let stepping = engine.clone();
    let mut second = tokio::spawn(async move { stepping.step().await });
    // One that does not wait for the first is soon done with the second job.
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, &mut second).await.is_err());
    assert_eq!(job(engine, &ids[1]).await.status, JobState::Queued);
    drop(gate);
    assert!(first.await.unwrap().unwrap() && second.await.unwrap().unwrap());
    for id in ids {
        assert_eq!(job(engine, &id).await.status, JobState::Successful);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_due_and_cannot_be_queued_is_tried_again_in_longer_and_longer_pauses() {
    let world = World::new();
    let running = world.start_with(|builder| builder.schedule("0 * * * *".parse().unwrap()));
    let engine = &running.engine;
    for nth in 1..=5 {
        running.jobs.plan(JobCall::Counts, nth, JobFault::Fail);
    }
    world.pass(HOUR);
    let begun = tokio::time::Instant::now();
    let (_stop, _running) = run(engine);
    while engine.list().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let pauses = 1 + 2 + 4 + 8 + 16;
    assert!(
        begun.elapsed() >= Duration::from_secs(pauses),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(running.jobs.left(), 0);
    assert_eq!(engine.health().await.schedule.unwrap().missed, 0);
}

/// Jobs that leave no backup, as dry runs do.
#[tokio::test]
async fn old_jobs_are_forgotten_though_no_backup_is_made() {
    let world = World::new();
    let id = full(&world.start().engine).await;
    for nth in 0..10_010 {
        let old = NewJob::new(format!("old {nth}"), "restore");
        let now = world.now();
        world.jobs.enqueue(old, now, usize::MAX).unwrap();
        world.jobs.cancel(&format!("old {nth}"), now).unwrap();
    }
    let engine = world.start().engine;
    let known = || world.jobs.list(0, 1).unwrap().total;
    for nth in 0..=100 {
        let dry_run = RestoreRequest {
            dry_run: true,
            ..RestoreRequest::of(&id)
        };
        let task = engine.restore(dry_run).await.unwrap();
        assert_eq!(done(&engine, &task).await.status, JobState::Successful);
        // Of each kind the greatest id is kept besides, and that which ended last.
        assert!(known() <= 10_003 + nth % 100, "{nth}: {}", known());
    }
}

#[tokio::test]
async fn whoever_asks_for_the_root_asks_for_everything() {
    let world = World::new();
    let engine = world.start_with(|builder| builder.full_restore(false)).engine;
    let (id, ended) = backed_up(&engine, of(&["/a", "/"])).await;
    assert_eq!(ended.status, JobState::Successful, "{ended:?}");
    let info = described(&engine, &id).await;
    assert!(!info.manifest().unwrap().is_granular());
    let everything = || RestoreRequest {
        roots: of(&["/"]).roots,
        ..RestoreRequest::of(&id)
    };
    let refused = engine.restore(everything()).await;
    assert!(matches!(refused, Err(EngineError::FullRestoreOff)), "{refused:?}");
    drop(engine);

    // It makes up for one of everything that was cut off.
    let begun = format!(r#"{{"vault":"{id}","roots":[],"targets":[]}}"#);
    world
        .jobs
        .put_notes(&[Note::new("cut off", "restore", begun)])
        .unwrap();
    let engine = world.start().engine;
    assert_eq!(engine.health().await.interrupted_restores, 1);
    let task = engine.restore(everything()).await.unwrap();
    assert_eq!(done(&engine, &task).await.status, JobState::Successful);
    assert_eq!(engine.health().await.interrupted_restores, 0);
}
