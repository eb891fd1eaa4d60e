//! Backups that are restored for a test, and compared.

use std::sync::Arc;

use backup_engine::{
    EngineError, Ensemble, JobState, MemoryEnsemble, RestoreTestPlace, RestoreTestRequest, RestoreTests,
    Share, TestEnsemble, VerifyRequest,
};
use health_metrics::{Problem, Status};
use zk_snapshot::tree::{Acl, MemoryTree};

use super::support::{HOUR, World, described, done, full, of, tested, verified};

fn to(tree: &Arc<MemoryTree>, never: Option<&World>) -> RestoreTests {
    RestoreTests {
        ensemble: Some(TestEnsemble {
            ensemble: Arc::new(MemoryEnsemble::new(Arc::clone(tree))),
            never: never.map(|world| Arc::clone(&world.ensemble) as Arc<dyn Ensemble>),
            is_live: false,
        }),
        ..RestoreTests::default()
    }
}

#[tokio::test]
async fn a_test_in_another_ensemble_leaves_nothing_there() {
    let (world, other) = (World::new(), Arc::new(MemoryTree::new()));
    other.put("/mine/znode", b"stays", Acl::open()).unwrap();
    let before = other.dump();
    let engine = world
        .start_with(|builder| builder.restore_tests(to(&other, Some(&world))))
        .engine;
    let id = full(&engine).await;
    let since_proof = async || {
        let metrics = engine.metrics().await.unwrap();
        let mut lines = metrics.lines();
        lines.find_map(|line| {
            line.strip_prefix("zk_backup_seconds_since_last_proof ")
                .map(str::to_owned)
        })
    };
    assert_eq!(since_proof().await, None, "there was none");
    let job = tested(&engine, &id).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    assert_eq!(since_proof().await.as_deref(), Some("0"));
    assert_eq!(
        (&job.result["znodes"], &job.result["differing"]),
        (&4.into(), &0.into())
    );
    assert_eq!(other.dump(), before);
    let first = described(&engine, &id).await.tested.unwrap();
    assert!(
        first.place.starts_with("memory 0x") && first.sha256.len() == 64,
        "{first:?}"
    );

    // The same in this process, by request: the digest of what was read is the same.
    let request = RestoreTestRequest {
        vault: id.clone(),
        place: Some(RestoreTestPlace::Memory),
        by: String::new(),
    };
    let task = engine.restore_test(request).await.unwrap();
    assert_eq!(done(&engine, &task).await.status, JobState::Successful);
    let second = described(&engine, &id).await.tested.unwrap();
    assert_eq!((&*second.place, &second.sha256), ("memory", &first.sha256));
    // Neither forgets the other.
    assert_eq!(
        verified(&engine, Some(&id), "100%").await.status,
        JobState::Successful
    );
    assert_eq!(described(&engine, &id).await.tested, Some(second));
    world.pass(HOUR);
    assert_eq!(since_proof().await.as_deref(), Some("3600"));
}

#[tokio::test]
async fn what_a_test_left_is_swept_by_the_next_and_what_others_left_is_not() {
    let (world, other) = (World::new(), Arc::new(MemoryTree::new()));
    let engine = world
        .start_with(|builder| builder.restore_tests(to(&other, None)))
        .engine;
    let id = full(&engine).await;
    let left = format!("/zk-backup-test-{}", tested(&engine, &id).await.id);
    let closed = Acl::new(Vec::new());
    other.put(&format!("{left}/a/b/c"), b"left", closed).unwrap();
    other.put("/zk-backup-test-another/a", b"", Acl::open()).unwrap();
    let job = tested(&engine, &id).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    let paths: Vec<_> = other.dump().into_iter().map(|(path, ..)| path).collect();
    assert_eq!(
        paths,
        ["/", "/zk-backup-test-another", "/zk-backup-test-another/a"]
    );
}

#[tokio::test]
async fn the_ensemble_that_is_backed_up_is_not_restored_to() {
    let world = World::new();
    let engine = world
        .start_with(|builder| builder.restore_tests(to(&world.tree, Some(&world))))
        .engine;
    let (id, before) = (full(&engine).await, world.znodes());
    let job = tested(&engine, &id).await;
    let message = job.message.unwrap();
    assert!(message.contains("is the ensemble that is backed up"), "{message}");
    assert_eq!(world.znodes(), before);
    assert_eq!(described(&engine, &id).await.tested, None);
}

#[tokio::test]
async fn a_test_finds_what_an_ensemble_does_not_take_over() {
    let world = World::new();
    let other = World::new();
    // An ensemble that shows other ACLs than it was given, wherever it is asked.
    other.ensemble.show_every_acl(Acl::new(Vec::new()));
    let tests = RestoreTests {
        ensemble: Some(TestEnsemble {
            ensemble: Arc::clone(&other.ensemble) as Arc<dyn Ensemble>,
            never: None,
            is_live: true,
        }),
        ..RestoreTests::default()
    };
    let engine = world.start_with(|builder| builder.restore_tests(tests)).engine;
    let (id, before) = (full(&engine).await, other.znodes());
    let job = tested(&engine, &id).await;
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    assert!(job.message.unwrap().contains("/a: it has another ACL"));
    assert_eq!(
        job.result["differences"],
        serde_json::json!(["/", "/a", "/b", "/b/c"])
    );
    assert_eq!(other.znodes(), before, "and leaves nothing");
    let info = described(&engine, &id).await;
    assert!(info.is_valid() && !info.tested.unwrap().is_proof());
    let metrics = engine.metrics().await.unwrap();
    assert!(
        !metrics.contains("zk_backup_seconds_since_last_proof"),
        "{metrics}"
    );
    let health = engine.health().await;
    assert_eq!(health.status(), Status::Warning);
    assert!(
        matches!(&health.problems[..], [Problem::RestoreTestFailed { .. }]),
        "{:?}",
        health.problems
    );
}

#[tokio::test]
async fn what_cannot_be_tested_is_refused_in_words() {
    let world = World::new();
    let tests = RestoreTests {
        ensemble: None,
        memory: 1_000,
    };
    let engine = world.start_with(|builder| builder.restore_tests(tests)).engine;
    let ask = async |vault: &str, place| {
        let (vault, by) = (vault.to_owned(), String::new());
        engine.restore_test(RestoreTestRequest { vault, place, by }).await
    };
    let id = full(&engine).await;
    let refused = ask(&id, None).await.unwrap_err().to_string();
    assert!(refused.contains("1000 are allowed"), "{refused}");
    let refused = ask(&id, Some(RestoreTestPlace::Ensemble)).await.unwrap_err();
    assert!(refused.to_string().contains("no ensemble is set"));
    let absent = ask("20000101T000000", None).await;
    assert!(matches!(absent, Err(EngineError::BackupNotFound(_))));
    let absent = engine.verify(VerifyRequest {
        vault: Some("none".to_owned()),
        share: Share::ALL,
    });
    assert!(matches!(absent.await, Err(EngineError::BackupNotFound(_))));
    let failed = engine.backup(of(&["/none"])).await.unwrap();
    done(&engine, &failed).await;
    assert!(matches!(ask(&failed, None).await, Err(EngineError::Invalid(_))));
}

#[tokio::test]
async fn schedules_verify_and_test_what_was_not_for_longest() {
    let world = World::new();
    let engine = world
        .start_with(|builder| {
            builder
                .verify_schedule("0 * * * *".parse().unwrap(), "1%".parse().unwrap())
                .restore_test_schedule("0 * * * *".parse().unwrap())
        })
        .engine;
    let old = full(&engine).await;
    world.pass(HOUR / 2);
    let new = full(&engine).await;
    let running = || {
        let engine = engine.clone();
        tokio::spawn(async move { engine.run(std::future::pending()).await })
    };
    let soon = || tokio::time::sleep(std::time::Duration::from_millis(5));
    world.pass(HOUR / 2);
    let run = running();
    let state = async |id: &str| {
        let info = described(&engine, id).await;
        (info.verified_at, info.tested.map(|tested| (tested.at, tested.by)))
    };
    while state(&old).await.0.is_none() || state(&new).await.1.is_none() {
        soon().await;
    }
    run.abort();
    assert_eq!(state(&new).await.1.unwrap().1, "schedule");
    assert_eq!(state(&old).await.1, None, "the newest first");
    world.pass(HOUR);
    let run = running();
    while state(&old).await.1.is_none() {
        soon().await;
    }
    run.abort();
}
