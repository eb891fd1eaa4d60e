//! What is stored, and verified.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_engine::{BackupRequest, Engine, EngineError, JobState, RestoreRequest, Share, VerifyRequest};
use health_metrics::{Problem, Status};
use vault_store::{FsStore, VaultCall, VaultFault, VaultStore};

use super::support::{
    DAY, HOUR, World, backed_up, copied, described, done, full, gate, job, of, reversed, run, run_and_tell,
    tested, verified,
};

/// Vaults of every format version.
pub(super) const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire/golden/vaults");

pub(super) fn copy(from: &Path, to: &Path) {
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
pub(super) fn over(world: &World, directory: &Path) -> Engine {
    let store: Arc<dyn VaultStore> = Arc::new(FsStore::open(directory).unwrap());
    world.start_with(|builder| builder.vaults(store)).engine
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
    assert!(FsStore::open(storage.path()).is_err(), "it is held");
    drop(engine);
    let store = FsStore::open(storage.path()).unwrap();
    let other = copied(&store, &id, |_| reversed(&store, &id), |_| {});
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
    assert_eq!(engine.list().await.unwrap(), [id, other.to_string()]);
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

/// It does not hold `/`, and of what is above its znodes only that it is there.
#[tokio::test]
async fn a_backup_of_some_znodes_is_sound_and_can_be_restored_then() {
    let world = World::new();
    let engine = world.start().engine;
    for roots in [&["/a"][..], &["/b/c"], &["/a", "/b"]] {
        let (id, ended) = backed_up(&engine, of(roots)).await;
        assert_eq!(ended.status, JobState::Successful, "{ended:?}");
        let ended = verified(&engine, Some(&id), "100%").await;
        assert_eq!(ended.status, JobState::Successful, "{ended:?}");
        let info = described(&engine, &id).await;
        assert!(info.verified_at.is_some() && info.damage.is_none(), "{info:?}");
        let request = RestoreRequest {
            roots: of(roots).roots,
            ..RestoreRequest::of(&id)
        };
        let task = engine.restore(request).await.unwrap();
        let ended = done(&engine, &task).await;
        assert_eq!(ended.status, JobState::Successful, "{ended:?}");
    }
}

#[tokio::test]
async fn a_verification_keeps_its_vault_and_holds_up_no_backup() {
    let world = World::new();
    let over = world.start();
    let engine = &over.engine;
    let id = full(engine).await;
    let (mut held, delay) = gate();
    over.vaults.plan(VaultCall::Open, 1, VaultFault::Delay(delay));
    let task = engine.verify(VerifyRequest {
        vault: Some(id.clone()),
        share: Share::ALL,
    });
    let task = task.await.unwrap();
    assert!(matches!(engine.evict_one(&id).await, Err(EngineError::InUse(_))));
    let (stop, told, running) = run_and_tell(engine);
    held.reached().await;
    assert_eq!(job(engine, &task).await.status, JobState::Processing);
    let backup = engine.backup(BackupRequest::default()).await.unwrap();
    let beside = tokio::time::timeout(std::time::Duration::from_secs(60), engine.wait(&backup));
    let ended = beside.await.expect("it waits for the verification").unwrap();
    assert_eq!(ended.status, JobState::Successful, "beside it");
    assert!(matches!(engine.evict_one(&id).await, Err(EngineError::InUse(_))));
    // It is called off between two frames.
    assert_eq!(engine.cancel(&task).await.unwrap(), JobState::Processing);
    drop(held);
    let ended = engine.wait(&task).await.unwrap();
    assert_eq!(ended.status, JobState::Canceled, "{ended:?}");
    assert_eq!(described(engine, &id).await.verified_at, None);
    engine.evict_one(&id).await.unwrap();

    // And so it is when the engine ends.
    let (mut held, delay) = gate();
    over.vaults.plan(VaultCall::Open, 1, VaultFault::Delay(delay));
    let task = engine.verify(VerifyRequest::default()).await.unwrap();
    held.reached().await;
    stop.send(()).unwrap();
    told.await.unwrap();
    drop(held);
    running.await.unwrap();
    let ended = job(engine, &task).await;
    assert_eq!(ended.status, JobState::Failed, "{ended:?}");
    assert!(ended.message.unwrap().contains("stopped"));
}

#[tokio::test]
async fn what_was_stored_can_be_verified_at_once() {
    let world = World::new();
    let engine = world.start_with(|builder| builder.verify_new(true)).engine;
    let (stop, running) = run(&engine);
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    assert_eq!(engine.wait(&id).await.unwrap().status, JobState::Successful);
    while described(&engine, &id).await.verified_at.is_none() {
        tokio::task::yield_now().await;
    }
    // One that holds nothing is not.
    let failed = engine.backup(of(&["/none"])).await.unwrap();
    assert_eq!(engine.wait(&failed).await.unwrap().status, JobState::Failed);
    stop.send(()).unwrap();
    running.await.unwrap();
    while engine.step().await.unwrap() {}
    assert_eq!(described(&engine, &failed).await.verified_at, None);
}
