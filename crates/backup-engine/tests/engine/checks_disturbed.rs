//! Checks that are disturbed: by sealed vaults, storages that fail, restores, and those who call them off.

use std::time::Duration;

use backup_engine::{
    BackupRequest, Engine, EngineError, JobState, RestoreRequest, RestoreSource, RestoreTestPlace,
    RestoreTestRequest, RestoreTests, Share, VerifyRequest,
};
use vault_store::{Contents, Damage, Manifest, Sealed, VaultCall, VaultFault, VaultStore, Verification};

use super::support::{
    ARCHIVE, HOUR, World, copied, described, done, full, gate, job, reversed, run, run_and_tell,
};

fn sealed(manifest: &mut Manifest) {
    manifest.sealed = Some(Sealed {
        recipients: vec!["age1nobody".to_owned()],
        allow_partial: false,
    });
}

fn verifying(vault: Option<&str>, share: Share) -> VerifyRequest {
    let vault = vault.map(str::to_owned);
    VerifyRequest { vault, share }
}

fn testing(vault: &str) -> RestoreTestRequest {
    RestoreTestRequest {
        place: Some(RestoreTestPlace::Memory),
        ..RestoreTestRequest::of(vault, "ann")
    }
}

#[tokio::test]
async fn of_what_cannot_be_opened_the_checksums_are_verified_and_no_test_is_made() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    let closed = copied(&world.vaults, &id, |bytes| bytes, sealed);
    let task = engine.verify(verifying(None, Share::ALL)).await.unwrap();
    let job = done(&engine, &task).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    assert_eq!(job.result["vaults"], 2);
    assert_eq!(
        described(&engine, closed.as_str()).await.verified_at,
        Some(world.now())
    );
    let refused = engine.restore_test(testing(closed.as_str())).await;
    assert!(matches!(refused, Err(EngineError::Sealed(_))), "{refused:?}");
    // What was found of the sealed bytes, which are right again, is over. What somebody who can open it has found in it stays known.
    for (what, state) in [
        ("it is cut", JobState::Successful),
        ("what is wrong is sealed", JobState::Failed),
    ] {
        let damage = Damage {
            file: ARCHIVE.to_string(),
            frame: Some(0),
            what: what.to_owned(),
        };
        let found = Verification::new(world.now(), vec![damage]);
        world.vaults.record_verification(&closed, &found).unwrap();
        let task = engine
            .verify(verifying(Some(closed.as_str()), Share::ALL))
            .await
            .unwrap();
        let job = done(&engine, &task).await;
        assert_eq!(job.status, state, "{what}: {job:?}");
        let is_valid = described(&engine, closed.as_str()).await.is_valid();
        assert_eq!(is_valid, state == JobState::Successful, "{what}");
    }
    // Also where a checksum is wrong meanwhile.
    let found = world.vaults.verification(&closed).unwrap().unwrap();
    let rotten = copied(
        &world.vaults,
        closed.as_str(),
        |bytes| bytes,
        |manifest| {
            manifest.files[0].frames[0].sha256 = "0".repeat(64);
        },
    );
    world.vaults.record_verification(&rotten, &found).unwrap();
    let task = engine
        .verify(verifying(Some(rotten.as_str()), Share::ALL))
        .await
        .unwrap();
    assert_eq!(done(&engine, &task).await.status, JobState::Failed);
    let kept = world.vaults.verification(&rotten).unwrap().unwrap();
    assert_eq!(
        kept.damage.iter().filter(|damage| damage.is_sealed()).count(),
        1,
        "{kept:?}"
    );
    assert_eq!(kept.damage.len(), 2, "{kept:?}");
}

#[tokio::test]
async fn no_older_backup_stands_in_for_one_that_cannot_be_looked_at() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    full(engine).await;
    world.pass(HOUR);
    let new = full(engine).await;
    let latest = || RestoreRequest {
        source: RestoreSource::Vault("latest".to_owned()),
        ..RestoreRequest::of(&new)
    };
    // The archive of the newer one: when all are looked at, and when it is looked at anew.
    for nth in [2, 3] {
        running.vaults.plan(VaultCall::Open, nth, VaultFault::Fail);
        let refused = engine.restore(latest()).await;
        assert!(
            matches!(refused, Err(EngineError::Storage(_))),
            "{nth}: {refused:?}"
        );
        assert_eq!(running.vaults.left(), 0);
        running.vaults.plan(VaultCall::Open, nth, VaultFault::Fail);
        let refused = engine.describe("latest").await;
        assert!(
            matches!(refused, Err(EngineError::Storage(_))),
            "{nth}: {refused:?}"
        );
        assert_eq!(running.vaults.left(), 0);
    }
    let info = engine.describe("latest").await.unwrap().unwrap();
    assert_eq!(info.id.as_str(), new);
}

/// How many checks have failed by the metrics: verifications, and tests of restores.
async fn failed(engine: &Engine) -> [String; 2] {
    let metrics = engine.metrics().await.unwrap();
    ["verifications", "restore_tests"].map(|checks| {
        let name = format!("zk_backup_{checks}_total{{outcome=\"failed\"}} ");
        let mut lines = metrics.lines();
        lines
            .find_map(|line| line.strip_prefix(&*name))
            .unwrap()
            .to_owned()
    })
}

#[tokio::test]
async fn a_check_is_ended_with_the_process_though_a_backup_goes_on() {
    let world = World::new();
    let over = world.start();
    let engine = &over.engine;
    full(engine).await;
    let (mut gate, delay) = gate();
    over.vaults.plan(VaultCall::Open, 1, VaultFault::Delay(delay));
    let check = engine.verify(verifying(None, Share::ALL)).await.unwrap();
    let (stop, told, running) = run_and_tell(engine);
    gate.reached().await;
    world.ensemble.keep_waiting(true);
    let backup = engine.backup(BackupRequest::default()).await.unwrap();
    while job(engine, &backup).await.status != JobState::Processing {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    told.await.unwrap();
    drop(gate);
    let waiting = tokio::time::timeout(Duration::from_secs(60), engine.wait(&check));
    let ended = waiting.await.expect("it waits for the backup").unwrap();
    assert_eq!(ended.status, JobState::Failed, "{ended:?}");
    assert!(ended.message.unwrap().contains("stopped"));
    assert_eq!(failed(engine).await, ["0", "0"], "nothing was found");
    engine.cancel(&backup).await.unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn a_test_is_called_off_while_it_verifies() {
    let world = World::new();
    let over = world.start();
    let engine = &over.engine;
    let id = full(engine).await;
    let (mut gate, delay) = gate();
    over.vaults.plan(VaultCall::Open, 1, VaultFault::Delay(delay));
    let task = engine.restore_test(testing(&id)).await.unwrap();
    let (stop, running) = run(engine);
    gate.reached().await;
    assert_eq!(engine.cancel(&task).await.unwrap(), JobState::Processing);
    drop(gate);
    assert_eq!(engine.wait(&task).await.unwrap().status, JobState::Canceled);
    assert_eq!(described(engine, &id).await.verified_at, None, "it was cut");
    assert_eq!(failed(engine).await, ["0", "0"], "nothing was found");
    drop(stop);
    running.await.unwrap();
}

#[tokio::test]
async fn a_restore_does_not_forget_what_a_check_finds_meanwhile() {
    let world = World::new();
    let over = world.start();
    let engine = &over.engine;
    let id = full(engine).await;
    let other = copied(&world.vaults, &id, |_| reversed(&world.vaults, &id), |_| {});
    let restore = engine.restore(RestoreRequest::of(other.as_str())).await.unwrap();
    let (mut gate, delay) = gate();
    over.vaults.plan(VaultCall::Open, 1, VaultFault::Delay(delay));
    let (stop, running) = run(engine);
    gate.reached().await;
    let check = engine
        .verify(verifying(Some(other.as_str()), Share::ALL))
        .await
        .unwrap();
    assert_eq!(engine.wait(&check).await.unwrap().status, JobState::Failed);
    drop(gate);
    engine.wait(&restore).await.unwrap();
    assert!(!described(engine, other.as_str()).await.is_valid());
    drop(stop);
    running.await.unwrap();
}

#[tokio::test]
async fn a_partial_backup_that_is_called_off_while_it_is_committed_has_failed() {
    let world = World::new();
    let over = world.start();
    let engine = &over.engine;
    world.ensemble.deny("/b/c");
    let (mut gate, delay) = gate();
    over.vaults.plan(VaultCall::Commit, 1, VaultFault::Delay(delay));
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    let (stop, running) = run(engine);
    gate.reached().await;
    engine.cancel(&id).await.unwrap();
    drop(gate);
    assert_eq!(engine.wait(&id).await.unwrap().status, JobState::Failed);
    assert_eq!(engine.list().await.unwrap(), [id]);
    drop(stop);
    running.await.unwrap();
}

#[tokio::test]
async fn a_test_takes_no_more_memory_than_it_may_whatever_the_manifest_says() {
    let world = World::new();
    let tests = RestoreTests {
        ensemble: None,
        memory: 1_000,
    };
    let engine = world.start_with(|builder| builder.restore_tests(tests)).engine;
    let id = full(&engine).await;
    let saying = |znodes| {
        move |manifest: &mut Manifest| match &mut manifest.contents {
            Some(Contents::Hierarchical(contents)) => contents.captured.znodes = znodes,
            other => panic!("{other:?}"),
        }
    };
    let large = copied(&world.vaults, &id, |bytes| bytes, saying(u64::MAX));
    let refused = engine.restore_test(testing(large.as_str())).await;
    assert!(matches!(refused, Err(EngineError::Invalid(_))), "{refused:?}");
    let small = copied(&world.vaults, large.as_str(), |bytes| bytes, saying(1));
    let task = engine.restore_test(testing(small.as_str())).await.unwrap();
    let job = done(&engine, &task).await;
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    assert!(job.message.unwrap().contains("1000 are allowed"));
    assert_eq!(failed(&engine).await, ["0", "1"]);
}

#[tokio::test]
async fn a_backup_whose_test_fails_or_that_cannot_be_tested_keeps_no_other_from_it() {
    let world = World::new();
    let engine = world
        .start_with(|builder| builder.restore_test_schedule("0 * * * *".parse().unwrap()))
        .engine;
    let old = full(&engine).await;
    let closed = copied(&world.vaults, &old, |bytes| bytes, sealed);
    world.pass(HOUR);
    let (stop, running) = run(&engine);
    let waiting = tokio::time::timeout(Duration::from_secs(60), async {
        while described(&engine, &old).await.tested.is_none() {
            tokio::task::yield_now().await;
        }
    });
    waiting.await.expect("it is never tested");
    assert_eq!(described(&engine, closed.as_str()).await.tested, None);
    drop(stop);
    running.await.unwrap();
}
