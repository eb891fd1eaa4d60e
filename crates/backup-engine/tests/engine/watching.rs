//! Jobs that are followed, and what came of them.

use backup_engine::{BackupRequest, EngineError, JobResult, JobState, RestoreRequest};
use vault_store::{Contents, VaultCall, VaultFault};

use super::support::{HOUR, Running, World, done, full, gate};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_followed_from_the_queue_to_its_end() {
    let world = World::new();
    let Running { engine, vaults, .. } = world.start();
    full(&engine).await;
    world.pass(HOUR);

    let id = engine.backup(BackupRequest::default()).await.unwrap();
    let mut watch = engine.watch(&id);
    let told = watch.next().await.unwrap().unwrap();
    assert_eq!((told.status, told.progress), (JobState::Queued, None));

    let (mut gate, wait) = gate();
    vaults.plan(VaultCall::Commit, 1, VaultFault::Delay(wait));
    let working = tokio::spawn({
        let engine = engine.clone();
        async move { engine.step().await.unwrap() }
    });
    gate.reached().await;
    let progress = loop {
        let told = watch.next().await.unwrap().unwrap();
        assert_eq!(told.status, JobState::Processing);
        match told.progress {
            Some(progress) if progress.phase == "committing" => break progress,
            _ => {}
        }
    };
    assert_eq!((progress.znodes, progress.expected), (4, Some(4)), "{progress:?}");
    drop(gate);
    assert!(working.await.unwrap());
    let told = watch.next().await.unwrap().unwrap();
    assert_eq!((told.status, told.progress.clone()), (JobState::Successful, None));
    let JobResult::Backup(contents) = told.outcome().unwrap() else {
        panic!("{told:?}");
    };
    assert!(matches!(&*contents, Contents::Hierarchical(walked) if walked.captured.znodes == 4));
    assert_eq!(watch.next().await.unwrap(), None);
    assert_eq!(engine.wait(&id).await.unwrap(), told);
}

#[tokio::test]
async fn what_came_of_a_restore_is_told_by_type() {
    let world = World::new();
    let Running { engine, .. } = world.start();
    let id = full(&engine).await;
    world.tree.put("/a", b"two", world.znodes()[0].2.clone()).unwrap();
    for (dry_run, data) in [(true, b"two"), (false, b"one")] {
        let request = RestoreRequest {
            dry_run,
            ..RestoreRequest::of(&id)
        };
        let task = engine.restore(request).await.unwrap();
        let job = done(&engine, &task).await;
        let JobResult::Restore(restored) = job.outcome().unwrap() else {
            panic!("{job:?}");
        };
        assert_eq!(restored.dry_run, Some(dry_run));
        assert_eq!(restored.report.unwrap().data_changed, 1);
        assert!(restored.files.is_none() && !restored.source.unwrap().partial);
        assert_eq!(world.tree.data("/a").as_deref(), Some(&data[..]));
    }
}

#[tokio::test]
async fn a_job_that_is_not_there_cannot_be_followed() {
    let engine = World::new().start().engine;
    for id in ["20200101T000000", ""] {
        let refused = engine.watch(id).next().await.unwrap_err();
        assert!(matches!(refused, EngineError::JobNotFound(_)), "{refused}");
        assert!(matches!(engine.wait(id).await, Err(EngineError::JobNotFound(_))));
    }
}
