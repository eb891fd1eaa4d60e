//! What is read from second copies where the first is damaged, away, or only half taken in.

use std::sync::Arc;

use backup_engine::{
    CompareWith, EngineError, ImportOptions, JobResult, JobState, Page, RestoreRequest, RestoreTestPlace,
    RestoreTestRequest, Share, VerifyRequest,
};
use health_metrics::{Problem, Status};
use vault_store::{FileName, MemoryStore, StoredCopy, VaultCall, VaultFault, VaultRead, VaultStore};
use zk_snapshot::tree::{Acl, ZnodePath};

use super::{Twice, copy_of, id};
use crate::support::{DAY, Running, World, described, done, full, restored};

pub(super) const ARCHIVE: FileName = FileName::from_static("archive.zst");

pub(super) fn contents(open: &dyn VaultRead) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(open.size()).unwrap()];
    let count = open.read_at(0, &mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

/// Changes a byte in the middle of the archive.
pub(super) fn damage(store: &MemoryStore, vault: &str) {
    let vault = id(vault);
    let manifest = store.manifest(&vault).unwrap();
    let files: Vec<_> = manifest
        .files
        .iter()
        .map(|file| {
            (
                file.name.clone(),
                contents(&*store.open(&vault, &file.name).unwrap()),
            )
        })
        .collect();
    store.remove(&vault).unwrap();
    let mut stage = store.stage(&vault).unwrap();
    for (name, mut bytes) in files {
        if name == ARCHIVE {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        stage.put(&name, &bytes).unwrap();
    }
    stage.commit(&manifest).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_first_copy_is_damaged_the_second_is_read_and_told() {
    let twice = Twice::new();
    let world = &twice.world;
    let (Running { engine, .. }, _) = twice.start();
    let backup = full(&engine).await;
    engine.copy_vaults().await.unwrap();
    assert_eq!(copy_of(&restored(&engine, &backup).await), None);
    assert_eq!(described(&engine, &backup).await.copy, Some(StoredCopy::First));
    drop(engine);
    damage(&world.vaults, &backup);

    let (Running { engine, .. }, _) = twice.start();
    let page = Page { offset: 0, limit: 10 };
    let root = ZnodePath::parse("/").unwrap();
    let listed = engine.znodes(&backup, root, page).await.unwrap();
    assert_eq!(listed.total, 2);
    let same = engine.compare(&backup, CompareWith::Live, page).await.unwrap();
    assert_eq!((same.added, same.removed, same.data_changed), (0, 0, 0));
    let mut zip = Vec::new();
    engine.export(&backup).await.unwrap().write_zip(&mut zip).unwrap();

    let there = world.znodes();
    world.tree.put("/a", b"changed", Acl::open()).unwrap();
    let job = restored(&engine, &backup).await;
    assert_eq!(copy_of(&job), Some(StoredCopy::Second));
    assert_eq!(world.znodes(), there);
    let test = RestoreTestRequest {
        vault: backup.clone(),
        place: Some(RestoreTestPlace::Memory),
        by: "a test".to_owned(),
    };
    let task = engine.restore_test(test).await.unwrap();
    assert_eq!(copy_of(&done(&engine, &task).await), Some(StoredCopy::Second));
    let info = described(&engine, &backup).await;
    assert!(
        info.is_valid() && info.copy == Some(StoredCopy::Second),
        "{info:?}"
    );

    // A verification looks at the first again, and names what is wrong with it.
    let verification = VerifyRequest {
        vault: Some(backup.clone()),
        share: Share::ALL,
    };
    let task = engine.verify(verification).await.unwrap();
    let job = done(&engine, &task).await;
    assert_eq!(job.status, JobState::Failed);
    let Ok(JobResult::Verify(found)) = job.outcome() else {
        panic!("{job:?}")
    };
    let [vault] = &found.damaged[..] else {
        panic!("{found:?}")
    };
    assert_eq!((vault.copy, vault.restorable), (Some(StoredCopy::Second), true));
    assert_eq!(vault.damage[0].file, "archive.zst");
    assert!(described(&engine, &backup).await.is_valid());
    let health = engine.health().await;
    let told = |problem: &Problem| matches!(problem, Problem::FirstCopyDamaged { id, .. } if *id == backup);
    assert!(health.problems.iter().any(told), "{:?}", health.problems);

    // As does an archive that was written out: another engine takes it.
    let other = World::new();
    other.pass(DAY);
    let other = other.start().engine;
    other.import(std::io::Cursor::new(zip), any()).await.unwrap();
    damage(&twice.copies, &backup);
    let job = restored(&engine, &backup).await;
    assert_eq!(job.status, JobState::Failed, "both are damaged");
}

fn any() -> ImportOptions {
    ImportOptions::up_to(u64::MAX)
}

#[tokio::test]
async fn where_the_first_is_away_backups_are_listed_and_restored_and_none_is_evicted() {
    let twice = Twice::new();
    let (Running { engine, vaults, .. }, _) = twice.start();
    let ids = [full(&engine).await, full(&engine).await];
    engine.copy_vaults().await.unwrap();
    twice.world.pass(DAY * 2);
    vaults.cut();
    assert_eq!(engine.list().await.unwrap(), ids);
    assert_eq!(
        copy_of(&restored(&engine, &ids[0]).await),
        Some(StoredCopy::Second)
    );
    let health = engine.health().await;
    let told = |problem: &Problem| matches!(problem, Problem::StorageUnreadable(_));
    assert!(health.hindrances().any(told), "{:?}", health.problems);
    assert!(engine.evict(false).await.is_err());
    assert!(engine.evict_one(&ids[0]).await.is_err());
    assert!(engine.copy_vaults().await.is_err());
    assert_eq!(twice.copies.ids().unwrap().len(), 2);
    drop(engine);

    // So does one that begins without it.
    let (builder, vaults, _) = twice.world.builder();
    vaults.cut();
    let copies = Arc::new(twice.copies.clone());
    let engine = builder.second_copy(copies, "another place").build().unwrap();
    for _ in 0..2 {
        assert!(engine.copy_vaults().await.is_err());
        assert_eq!(engine.list().await.unwrap(), ids);
        assert_eq!(
            copy_of(&restored(&engine, &ids[1]).await),
            Some(StoredCopy::Second)
        );
    }
    // Which one is the newest is not known: the copies may not be all.
    assert!(engine.describe("latest").await.is_err());
    assert!(engine.find(0).await.is_err());
    let latest = RestoreRequest::of("latest");
    let refused = engine.restore(latest).await.unwrap_err();
    assert!(matches!(refused, EngineError::Storage(_)), "{refused:?}");
}

#[tokio::test]
async fn a_backup_that_is_taken_in_again_keeps_its_copy_until_it_is_whole() {
    let twice = Twice::new();
    let (Running { engine, vaults, .. }, _) = twice.start();
    let backup = full(&engine).await;
    engine.pin(&backup, true).await.unwrap();
    engine.copy_vaults().await.unwrap();
    damage(&twice.world.vaults, &backup);
    let mut zip = Vec::new();
    engine.export(&backup).await.unwrap().write_zip(&mut zip).unwrap();
    let over = || ImportOptions {
        overwrite: true,
        ..any()
    };
    vaults.plan(VaultCall::Commit, 1, VaultFault::Fail);
    let archive = || std::io::Cursor::new(zip.clone());
    assert!(engine.import(archive(), over()).await.is_err());
    engine.copy_vaults().await.unwrap();
    assert_eq!(
        copy_of(&restored(&engine, &backup).await),
        Some(StoredCopy::Second)
    );
    let health = engine.health().await;
    let only = |problem: &Problem| matches!(problem, Problem::OnlySecondCopies(1));
    assert!(health.problems.iter().any(only), "{:?}", health.problems);
    assert_eq!(health.status(), Status::Warning);
    let verification = VerifyRequest {
        vault: Some(backup.clone()),
        share: Share::ALL,
    };
    let task = engine.verify(verification).await.unwrap();
    let Ok(JobResult::Verify(found)) = done(&engine, &task).await.outcome() else {
        panic!("it is sound")
    };
    assert_eq!((found.damaged_vaults, found.copy), (0, Some(StoredCopy::Second)));

    engine.import(archive(), over()).await.unwrap();
    let health = engine.health().await;
    assert!(!health.problems.iter().any(only), "{:?}", health.problems);
    assert_eq!(described(&engine, &backup).await.copy, Some(StoredCopy::First));
    engine.copy_vaults().await.unwrap();
    assert_eq!(copy_of(&restored(&engine, &backup).await), None);
    assert_eq!(described(&engine, &backup).await.pinned, Some(true));
    assert_eq!(twice.copies.ids().unwrap(), [id(&backup)]);
    assert_eq!(engine.health().await.status(), Status::Up);
}
