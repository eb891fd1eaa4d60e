//! Ids of backups: the second that each was asked for in, in order, never the same twice.

use std::sync::Arc;

use backup_engine::{BackupRequest, Engine, EngineError};
use job_queue::{JobCall, JobFault, MemoryJobs};
use vault_store::{VaultCall, VaultFault, VaultId};

use super::support::{HOUR, World, done, full, goes_on};

async fn asked(engine: &Engine) -> String {
    engine.backup(BackupRequest::default()).await.unwrap()
}

/// The id of the present second, and of so many more.
fn second(world: &World, more: i64) -> String {
    let time = world.now() + time::Duration::seconds(more);
    VaultId::from_time(time).unwrap().to_string()
}

#[tokio::test]
async fn a_second_request_in_a_second_gets_the_next_one() {
    let world = World::new();
    let engine = world.start().engine;
    assert_eq!(asked(&engine).await, "20261121T000000");
    world.set_clock(time::Duration::milliseconds(999));
    assert_eq!(asked(&engine).await, "20261121T000001");
    assert_eq!(asked(&engine).await, "20261121T000002");
    world.set_clock(time::Duration::milliseconds(2));
    let last = asked(&engine).await;
    assert_eq!(last, "20261121T000003", "the clock is behind what was given out");
    done(&engine, &last).await;
    world.pass(HOUR);
    assert_eq!(asked(&engine).await, "20261121T010001");
    done(&engine, "20261121T010001").await;
    let all = ["000000", "000001", "000002", "000003", "010001"].map(|time| format!("20261121T{time}"));
    assert_eq!(engine.list().await.unwrap(), all);
}

#[tokio::test]
async fn requests_at_once_get_an_id_each() {
    let world = World::new();
    let engine = world.start().engine;
    let requests = (0..16).map(|_| engine.backup(BackupRequest::default()));
    let mut ids: Vec<_> = futures::future::join_all(requests)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    ids.sort();
    assert_eq!(ids, (0..16).map(|more| second(&world, more)).collect::<Vec<_>>());
    done(&engine, &ids[0]).await;
    assert_eq!(engine.list().await.unwrap(), ids);
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_no_id_again() {
    let world = World::new();
    let engine = world.start().engine;
    let first = full(&engine).await;
    world.set_clock(time::Duration::hours(-1));
    let second = full(&engine).await;
    assert_eq!((&*first, &*second), ("20261121T000000", "20261121T000001"));
    assert_eq!(engine.list().await.unwrap(), [first, second]);
}

#[tokio::test]
async fn a_new_engine_goes_on_after_whatever_is_the_newest() {
    let mut world = World::new();
    // A backup that nothing is stored of: only its job tells.
    let running = world.start();
    running.vaults.plan(VaultCall::Stage, 1, VaultFault::Fail);
    running.vaults.plan(VaultCall::Stage, 2, VaultFault::Fail);
    let unstored = asked(&running.engine).await;
    done(&running.engine, &unstored).await;
    assert!(running.engine.list().await.unwrap().is_empty());
    let engine = world.start().engine;
    assert_eq!(full(&engine).await, second(&world, 1));
    // One that is gone.
    engine.evict_one(&second(&world, 1)).await.unwrap();
    let engine = world.start().engine;
    assert_eq!(full(&engine).await, second(&world, 2));
    // Jobs that are gone.
    world.jobs = Arc::new(MemoryJobs::new());
    assert_eq!(full(&world.start().engine).await, second(&world, 3));
}

#[tokio::test]
async fn a_request_that_is_refused_takes_no_id() {
    let world = World::new();
    let running = world.start_with(|builder| builder.max_queued(1));
    let engine = &running.engine;
    for call in [JobCall::GreatestId, JobCall::Enqueue] {
        running.jobs.plan(call, 1, JobFault::Fail);
        let refused = engine.backup(BackupRequest::default()).await.unwrap_err();
        assert!(matches!(&refused, EngineError::Storage(_)), "{refused}");
        assert_eq!(engine.job(&second(&world, 0)).await.unwrap(), None);
    }
    assert_eq!(asked(engine).await, second(&world, 0));
    let refused = engine.backup(BackupRequest::default()).await.unwrap_err();
    assert!(matches!(refused, EngineError::QueueFull(1)), "{refused}");
    assert_eq!(engine.job(&second(&world, 1)).await.unwrap(), None);
    done(engine, &second(&world, 0)).await;
    assert_eq!(goes_on(&world, engine).await, second(&world, 1));
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_stands_in_nobodys_way() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    asked(engine).await;
    running.jobs.plan(JobCall::Enqueue, 1, JobFault::LoseAnswer);
    assert!(engine.backup(BackupRequest::default()).await.is_err());
    assert_eq!(asked(engine).await, second(&world, 2), "the one before is queued");
    done(engine, &second(&world, 2)).await;
    let all = [0, 1, 2].map(|more| second(&world, more));
    assert_eq!(engine.list().await.unwrap(), all);
}
