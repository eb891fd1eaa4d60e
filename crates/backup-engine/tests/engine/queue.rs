//! A job store that fails.

use backup_engine::{BackupRequest, JobState};
use job_queue::{JobCall, JobFault};

use super::support::{World, done, full, goes_on, job};

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
async fn how_a_job_has_ended_is_stored_later_and_its_work_not_done_again() {
    for (fault, then) in [
        (JobFault::Fail, JobState::Processing),
        (JobFault::LoseAnswer, JobState::Successful),
    ] {
        let world = World::new();
        let running = world.start();
        let engine = &running.engine;
        let id = engine.backup(BackupRequest::default()).await.unwrap();
        running.jobs.plan(JobCall::Finish, 1, fault);
        assert!(engine.step().await.is_err());
        assert_eq!(job(engine, &id).await.status, then);
        assert_eq!(engine.list().await.unwrap(), [&*id]);
        let _ = engine.step().await; // where it was stored, it is told that it cannot be stored twice
        assert_eq!(job(engine, &id).await.status, JobState::Successful);
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
    jobs.plan(JobCall::Recover, 1, JobFault::Fail);
    assert!(builder.build().is_err());
    let running = world.start();
    running.jobs.plan(JobCall::Prune, 1, JobFault::Fail);
    let next = full(&running.engine).await;
    assert_eq!(running.jobs.left(), 0);
    assert_eq!(running.engine.list().await.unwrap(), [id, next]);
}
