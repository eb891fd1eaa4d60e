//! A storage in whose place another directory comes while the engine runs.

use backup_engine::{BackupRequest, EngineError, JobState, RestoreRequest, VerifyRequest};
use health_metrics::{Problem, Status};

use super::{World, backup, done};

#[tokio::test]
async fn nothing_is_queued_done_or_listed_in_another_directory_than_that_of_the_start() {
    let world = World::new();
    let engine = world.start();
    let (id, _) = backup(&engine, &[]).await;
    let waiting = engine.restore(RestoreRequest::of(&id)).await.unwrap();
    let (place, aside) = (world.storage.path(), world.storage.path().with_extension("aside"));
    std::fs::rename(place, &aside).unwrap();
    for is_there in [false, true] {
        if is_there {
            std::fs::create_dir(place).unwrap();
        }
        let health = engine.health().await;
        let hindrances: Vec<_> = health.hindrances().collect();
        let named = |problem: &&Problem| matches!(problem, Problem::StorageUnreadable(why) if why.contains("is not the one that was opened"));
        assert_eq!(
            hindrances.iter().copied().filter(named).count(),
            1,
            "{hindrances:?}"
        );
        let refused = [
            engine.backup(BackupRequest::default()).await.err(),
            engine.restore(RestoreRequest::of(&id)).await.err(),
            engine.verify(VerifyRequest::default()).await.err(),
            engine.list().await.err(),
            engine.pin(&id, true).await.err(),
            engine.evict(false).await.err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(EngineError::StorageMoved(_))), "{error:?}");
        }
    }
    let job = done(&engine, &waiting).await;
    assert_eq!(job.status, JobState::Failed);
    assert!(job.message.unwrap().contains("is not the one that was opened"));
    assert_eq!(std::fs::read_dir(place).unwrap().count(), 0);

    // It is back.
    std::fs::remove_dir(place).unwrap();
    std::fs::rename(&aside, place).unwrap();
    assert_eq!(engine.health().await.status(), Status::Up);
    assert_eq!(engine.list().await.unwrap(), [id]);
    assert_eq!(backup(&engine, &[]).await.1, JobState::Successful);
}
