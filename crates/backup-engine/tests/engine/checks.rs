//! What is stored, verified and restored for a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_engine::{
    BackupRequest, Engine, EngineError, Ensemble, JobInfo, JobState, MemoryEnsemble, RestoreRequest,
    RestoreTestPlace, RestoreTestRequest, RestoreTests, Share, TestEnsemble, VerifyRequest,
};
use health_metrics::{Problem, Status};
use vault_store::{FsStore, VaultStore};
use zk_snapshot::archive::{ArchiveFile, ArchiveWriter, Frame, RecordSource};
use zk_snapshot::tree::{Acl, MemoryTree};

use super::support::{DAY, HOUR, World, described, done, full, of};

/// Vaults of every format version.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire/golden/vaults");

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// An engine over vaults in `directory`, by the world's clock.
fn over(world: &World, directory: &Path) -> Engine {
    let store: Arc<dyn VaultStore> = Arc::new(FsStore::open(directory).unwrap());
    world.start_with(|builder| builder.vaults(store)).engine
}

async fn verified(engine: &Engine, vault: Option<&str>, share: &str) -> JobInfo {
    let request = VerifyRequest {
        vault: vault.map(str::to_owned),
        share: share.parse().unwrap(),
    };
    let task = engine.verify(request).await.unwrap();
    done(engine, &task).await
}

async fn tested(engine: &Engine, vault: &str) -> JobInfo {
    let request = RestoreTestRequest {
        vault: vault.to_owned(),
        place: None,
        by: "ann".to_owned(),
    };
    let task = engine.restore_test(request).await.unwrap();
    done(engine, &task).await
}

#[tokio::test]
async fn vaults_of_every_version_are_sound_and_come_back_exactly() {
    let (world, storage) = (World::new(), tempfile::tempdir().unwrap());
    copy(Path::new(GOLDEN), storage.path());
    let engine = over(&world, storage.path());
    let job = verified(&engine, None, "100%").await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    let ids = engine.list().await.unwrap();
    assert_eq!(job.result["vaults"], ids.len());
    assert!(job.result["bytes"].as_u64().unwrap() > 10_000);
    for id in ids {
        let info = described(&engine, &id).await;
        assert_eq!(info.verified_at, Some(world.now()));
        if info.is_valid() {
            let job = tested(&engine, &id).await;
            assert_eq!(job.status, JobState::Successful, "{job:?}");
            let tested = described(&engine, &id).await.tested.unwrap();
            assert!(tested.is_proof() && tested.znodes > 3, "{tested:?}");
            assert_eq!((&*tested.place, &*tested.by), ("memory", "ann"));
        }
    }
    assert_eq!(
        engine.health().await.since_last_proof,
        Some(std::time::Duration::ZERO)
    );
}

/// In each file of each vault, at several places.
#[tokio::test]
async fn a_byte_that_is_flipped_is_named_by_file_and_frame_and_told_everywhere() {
    let (world, storage) = (World::new(), tempfile::tempdir().unwrap());
    copy(Path::new(GOLDEN), storage.path());
    let engine = over(&world, storage.path());
    let mut flipped = 0;
    for file in files_in(storage.path()) {
        let sound = fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let id = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        if id.parse::<vault_store::VaultId>().is_err() {
            continue; // the store's own
        }
        let places = [0, sound.len() / 3, sound.len() / 2, sound.len() - 1];
        for place in places {
            let mut bytes = sound.clone();
            bytes[place] ^= 0x20;
            fs::write(&file, &bytes).unwrap();
            let job = verified(&engine, Some(id), "100%").await;
            let what = format!("{} at {place}: {job:?}", file.display());
            assert_eq!(job.status, JobState::Failed, "{what}");
            // The manifest and its checksum stand for one another.
            let named = if name.starts_with("manifest") {
                "manifest.json"
            } else {
                name
            };
            let damage = job.result["damaged"][0]["damage"][0].clone();
            assert!(damage["file"].as_str().unwrap().starts_with(named), "{what}");
            assert_eq!(damage["frame"].is_u64(), !name.starts_with("manifest"), "{what}");
            let message = job.message.unwrap();
            assert!(message.contains(id) && message.contains(named), "{message}");

            let info = described(&engine, id).await;
            let needed = !matches!(name, "job.log" | "acls.idx" | "index.zst");
            assert!(!needed || !info.is_valid(), "{what}");
            assert_eq!(info.found.len(), 1, "{what}");
            let health = engine.health().await;
            // Nobody is kept from restoring one of which only the log is damaged.
            let damaged = u64::from(needed);
            assert_eq!(health.damaged_backups, damaged, "{what}");
            assert!(!needed || health.status() == Status::Warning, "{what}");
            let told = |problem: &Problem| problem.to_string().contains(named);
            assert_eq!(health.problems.iter().any(told), needed, "{what}");
            let metrics = engine.metrics().await.unwrap();
            assert!(metrics.contains(&format!("\nzk_backup_damaged_vaults {damaged}\n")));
            flipped += 1;
        }
        fs::write(&file, &sound).unwrap();
        let job = verified(&engine, Some(id), "100%").await;
        assert_eq!(job.status, JobState::Successful, "{job:?}");
    }
    assert!(flipped > 60, "{flipped}");
    assert_eq!(engine.health().await.damaged_backups, 0);
}

/// Its checksums are right, and what is in it is not what it says.
#[tokio::test]
async fn what_lies_deeper_than_checksums_is_found_and_refuses_restores() {
    let (world, storage) = (World::new(), tempfile::tempdir().unwrap());
    let engine = over(&world, storage.path());
    let id = full(&engine).await;
    let id = id.parse::<vault_store::VaultId>().unwrap();
    let store = FsStore::open(storage.path());
    assert!(store.is_err(), "it is held");
    drop(engine);
    let store = FsStore::open(storage.path()).unwrap();
    let manifest = store.manifest(&id).unwrap();
    let other = manifest.id.next().unwrap();
    let name = vault_store::FileName::from_static("archive.zst");
    // The same archive with its records the other way round.
    let frame = manifest.files[0].frames[0].clone();
    let file = vault_store::Reader::new(store.open(&id, &name).unwrap());
    let (offset, length, records, sha256) = (frame.offset, frame.length, frame.records, frame.sha256);
    let frame = Frame {
        offset,
        length,
        records,
        sha256,
    };
    let found = ArchiveFile::new(file, vec![frame]).frame(0).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArchiveWriter::new(&mut bytes);
    found.iter().rev().for_each(|record| writer.push(record).unwrap());
    writer.finish().unwrap();
    let mut stage = store.stage(&other).unwrap();
    let mut entry = stage.put(&name, &bytes).unwrap();
    entry.frames[0].records = records;
    let wrong = vault_store::Manifest {
        id: other.clone(),
        files: vec![entry],
        ..manifest
    };
    stage.commit(&wrong).unwrap();
    drop(store);

    let engine = over(&world, storage.path());
    assert!(described(&engine, other.as_str()).await.is_valid());
    let job = verified(&engine, None, "100%").await;
    let message = job.message.unwrap();
    assert!(
        message.contains(other.as_str())
            && message.contains("archive.zst, frame 0: ")
            && message.contains("comes after"),
        "{message}"
    );
    // A restore's own check finds the checksums right, and does not forget the rest.
    for _ in 0..2 {
        let task = engine.restore(RestoreRequest::of(other.as_str())).await.unwrap();
        assert_eq!(done(&engine, &task).await.status, JobState::Failed);
        assert!(!described(&engine, other.as_str()).await.is_valid());
    }
    // It stands in for no other: the sound one stays, and so does the damaged one, for whoever is to look at it.
    world.pass(2 * DAY);
    engine.evict(false).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), [id.to_string(), other.to_string()]);
}

/// A newer one that is damaged keeps no older one from standing in for it, nor a still older damaged one.
#[tokio::test]
async fn damage_displaces_no_sound_backup() {
    let (world, storage) = (World::new(), tempfile::tempdir().unwrap());
    let store: Arc<dyn VaultStore> = Arc::new(FsStore::open(storage.path()).unwrap());
    let policy: eviction_policy::RulePolicy = "1/delete".parse().unwrap();
    let start = world.start_with(|builder| builder.vaults(store).full_policy(Arc::new(policy)));
    let engine = start.engine;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(full(&engine).await);
        world.pass(HOUR);
    }
    for index in [1, 3] {
        let file = storage.path().join(&ids[index]).join("archive.zst");
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    assert_eq!(verified(&engine, None, "100%").await.status, JobState::Failed);
    world.pass(2 * DAY);
    engine.evict(false).await.unwrap();
    assert_eq!(
        engine.list().await.unwrap(),
        ids[1..],
        "the newest sound one stays"
    );
}

#[tokio::test]
async fn a_share_goes_on_where_the_last_one_ended() {
    let world = World::new();
    let engine = world.start().engine;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(full(&engine).await);
        world.pass(HOUR);
    }
    let mut unverified = ids.clone();
    while !unverified.is_empty() {
        world.pass(HOUR);
        let job = verified(&engine, None, "33.3%").await;
        assert_eq!((job.status, &*job.vault), (JobState::Successful, ""), "{job:?}");
        let mut left = Vec::new();
        for id in &ids {
            if described(&engine, id).await.verified_at.is_none() {
                left.push(id.clone());
            }
        }
        assert!(ids.ends_with(&left), "the oldest first");
        // A third, or one more where they are not equally large.
        let done = unverified.len() - left.len();
        assert!(done == 2 || done == 3 || left.is_empty(), "{done}");
        unverified = left;
    }
    // Then the one comes again that was not for longest.
    let times = async || {
        let mut times = Vec::new();
        for id in &ids {
            times.push(described(&engine, id).await.verified_at.unwrap());
        }
        times
    };
    let before = times().await;
    world.pass(HOUR);
    verified(&engine, None, "1%").await;
    let oldest = before.iter().min().unwrap();
    let next = before.iter().position(|at| at == oldest).unwrap();
    for (index, at) in times().await.into_iter().enumerate() {
        assert_eq!(at == world.now(), index == next, "{before:?}");
    }
    let oldest = engine.health().await.since_oldest_verification;
    assert!((HOUR..=3 * HOUR).contains(&oldest.unwrap()));
}

#[tokio::test]
async fn a_verification_keeps_its_vault_and_holds_up_no_backup() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let id = full(engine).await;
    let (mut gate, delay) = super::support::gate();
    running.vaults.plan(
        vault_store::VaultCall::Open,
        1,
        vault_store::VaultFault::Delay(delay),
    );
    let task = engine.verify(VerifyRequest {
        vault: Some(id.clone()),
        share: Share::ALL,
    });
    let task = task.await.unwrap();
    assert!(matches!(engine.evict_one(&id).await, Err(EngineError::InUse(_))));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let runs = engine.clone();
    let run = tokio::spawn(async move {
        runs.run(async {
            let _ = stopped.await;
        })
        .await;
    });
    gate.reached().await;
    assert_eq!(
        super::support::job(engine, &task).await.status,
        JobState::Processing
    );
    let backup = engine.backup(BackupRequest::default()).await.unwrap();
    let beside = tokio::time::timeout(std::time::Duration::from_secs(60), engine.wait(&backup));
    let job = beside.await.expect("it waits for the verification").unwrap();
    assert_eq!(job.status, JobState::Successful, "beside it");
    assert!(matches!(engine.evict_one(&id).await, Err(EngineError::InUse(_))));
    // It is called off between two frames.
    assert_eq!(engine.cancel(&task).await.unwrap(), JobState::Processing);
    drop(gate);
    let job = engine.wait(&task).await.unwrap();
    assert_eq!(job.status, JobState::Canceled, "{job:?}");
    assert_eq!(described(engine, &id).await.verified_at, None);
    engine.evict_one(&id).await.unwrap();

    // And so it is when the engine ends.
    let (mut gate, delay) = super::support::gate();
    running.vaults.plan(
        vault_store::VaultCall::Open,
        1,
        vault_store::VaultFault::Delay(delay),
    );
    let task = engine.verify(VerifyRequest::default()).await.unwrap();
    gate.reached().await;
    stop.send(()).unwrap();
    tokio::task::yield_now().await; // one thread: the run is told before the gate opens
    drop(gate);
    run.await.unwrap();
    let job = super::support::job(engine, &task).await;
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    assert!(job.message.unwrap().contains("stopped"));
}

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
    let job = tested(&engine, &id).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
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
}

#[tokio::test]
async fn what_a_test_left_is_swept_by_the_next_and_what_others_left_is_not() {
    let (world, other) = (World::new(), Arc::new(MemoryTree::new()));
    let engine = world
        .start_with(|builder| builder.restore_tests(to(&other, None)))
        .engine;
    let id = full(&engine).await;
    let left = format!("/zk-backup-test-{}", tested(&engine, &id).await.id);
    let closed = zk_snapshot::tree::Acl::new(Vec::new());
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

#[tokio::test]
async fn what_was_stored_can_be_verified_at_once() {
    let world = World::new();
    let engine = world.start_with(|builder| builder.verify_new(true)).engine;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let runs = engine.clone();
    let run = tokio::spawn(async move {
        runs.run(async {
            let _ = stopped.await;
        })
        .await;
    });
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    assert_eq!(engine.wait(&id).await.unwrap().status, JobState::Successful);
    while described(&engine, &id).await.verified_at.is_none() {
        tokio::task::yield_now().await;
    }
    // One that holds nothing is not.
    let failed = engine.backup(of(&["/none"])).await.unwrap();
    assert_eq!(engine.wait(&failed).await.unwrap().status, JobState::Failed);
    stop.send(()).unwrap();
    run.await.unwrap();
    while engine.step().await.unwrap() {}
    assert_eq!(described(&engine, &failed).await.verified_at, None);
}
