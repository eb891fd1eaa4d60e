//! Jobs whose end cannot be noted, as on a full disk: what is known of them is told.

use backup_engine::{Engine, EngineError, JobInfo, JobState, News, RestoreRequest};
use health_metrics::Problem;
use job_queue::{JobCall, JobFault};
use zk_snapshot::tree::Acl;

use super::support::{World, full, goes_on, job};

const LATE: &str = "that it has ended is not noted yet: ";

/// What health says of jobs that cannot be noted.
async fn told(engine: &Engine) -> Vec<String> {
    let problems = engine.health().await.problems;
    let told = problems.iter().filter_map(|problem| match problem {
        Problem::JobsUnavailable(why) => Some(why.clone()),
        _ => None,
    });
    told.collect()
}

/// The same job in the list of all.
async fn listed(engine: &Engine, id: &str) -> JobInfo {
    let page = backup_engine::Page { offset: 0, limit: 9 };
    let jobs = engine.jobs(page).await.unwrap().jobs;
    jobs.into_iter().find(|job| job.id == id).unwrap()
}

#[tokio::test]
async fn a_job_whose_end_cannot_be_noted_is_told_to_have_ended() {
    let world = World::new();
    let running = world.start_with(|builder| builder.keep_news(true));
    let engine = &running.engine;
    let mut outbox = engine.outbox();
    let (vault, newer) = (full(engine).await, full(engine).await);
    for news in outbox.owed().await.unwrap() {
        outbox.delivered(&news).await.unwrap();
    }
    world.tree.put("/a", b"changed", Acl::open()).unwrap();
    let task = engine.restore(RestoreRequest::of(&vault)).await.unwrap();
    running.jobs.plan(JobCall::Finish, 1, JobFault::Fail);
    running.jobs.plan(JobCall::Finish, 2, JobFault::Fail);
    for _ in 0..2 {
        assert!(engine.step().await.is_err());
        for job in [job(engine, &task).await, listed(engine, &task).await] {
            assert_eq!((job.status, job.progress.is_none()), (JobState::Successful, true));
            assert!(job.finished_at.is_some() && !job.result.is_null(), "{job:?}");
            let message = job.message.unwrap();
            assert!(
                message.starts_with(LATE) && message.contains("Finish"),
                "{message}"
            );
        }
        let told = told(engine).await;
        assert!(told.len() == 1 && told[0].contains(&task), "{told:?}");
    }
    assert_eq!(engine.wait(&task).await.unwrap().status, JobState::Successful);
    let refused = engine.cancel(&task).await.unwrap_err();
    assert!(matches!(refused, EngineError::JobEnded { .. }), "{refused}");
    // Nobody is told elsewhere before it is noted: it may become another end.
    assert_eq!(outbox.owed().await.unwrap(), []);
    // What it needed may go.
    engine.evict_one(&vault).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), [newer]);

    assert!(engine.step().await.unwrap());
    let noted = job(engine, &task).await;
    assert_eq!((noted.status, noted.message), (JobState::Successful, None));
    assert!(told(engine).await.is_empty());
    let news = outbox.owed().await.unwrap();
    assert!(
        matches!(&news[..], [News::JobEnded(job)] if job.id == task),
        "{news:?}"
    );
    goes_on(&world, engine).await;
}

#[tokio::test]
async fn what_was_interrupted_and_cannot_be_noted_keeps_nothing_from_starting() {
    let world = World::new();
    let running = world.start_with(|builder| builder.keep_news(true));
    let vault = full(&running.engine).await;
    let task = running.engine.restore(RestoreRequest::of(&vault)).await.unwrap();
    let waiting = running.engine.restore(RestoreRequest::of(&vault)).await.unwrap();
    // It is cut off before it can say anything more.
    running.jobs.plan(JobCall::PutNotes, 1, JobFault::Fail);
    running.jobs.plan(JobCall::Finish, 1, JobFault::Fail);
    assert!(running.engine.step().await.is_err());
    drop(running);

    for call in [JobCall::PutNotes, JobCall::Recover] {
        let (builder, _, jobs) = world.builder();
        for nth in 1..=2 {
            jobs.plan(call, nth, JobFault::Fail);
        }
        let engine = builder.keep_news(true).build().unwrap();
        let cut = job(&engine, &task).await;
        assert_eq!(cut.status, JobState::Failed, "{call:?}");
        let message = cut.message.unwrap();
        assert!(message.starts_with(&format!("interrupted; {LATE}")), "{message}");
        assert_eq!(told(&engine).await.len(), 1, "{call:?}");
        assert_eq!(engine.list().await.unwrap(), [&*vault]);
        assert!(engine.step().await.is_err(), "{call:?}: nothing else is begun");
        assert_eq!(job(&engine, &waiting).await.status, JobState::Queued);
    }
    let (builder, _, jobs) = world.builder();
    jobs.plan(JobCall::Recover, 1, JobFault::Fail);
    let engine = builder.build().unwrap();
    while engine.step().await.unwrap() {}
    let cut = job(&engine, &task).await;
    assert_eq!(
        (cut.status, cut.message.as_deref()),
        (JobState::Failed, Some("interrupted"))
    );
    assert_eq!(job(&engine, &waiting).await.status, JobState::Successful);
    assert!(told(&engine).await.is_empty());
}
