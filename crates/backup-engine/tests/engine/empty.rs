//! Backups that are said to be of everything, and hold nothing, or not all.

use backup_engine::JobState;
use vault_store::{VaultId, VaultStore};

use super::support::{ARCHIVE, Running, World, backed_up, copied, described, full, of, restored, verified};

#[tokio::test]
async fn one_that_holds_nothing_deletes_nothing() {
    let world = World::new();
    let Running { engine, .. } = world.start();
    let id: VaultId = full(&engine).await.parse().unwrap();
    let there = world.znodes();
    let mut manifest = world.vaults.manifest(&id).unwrap();
    manifest.id = id.next().unwrap();
    let mut stage = world.vaults.stage(&manifest.id).unwrap();
    let mut entry = stage.put(&ARCHIVE, b"").unwrap();
    entry.frames.clear();
    manifest.files = vec![entry];
    stage.commit(&manifest).unwrap();
    let empty = manifest.id.as_str();
    let job = restored(&engine, empty).await;
    let why = job.message.clone().unwrap_or_default();
    assert!(
        job.status == JobState::Failed && why.contains("holds no znode"),
        "{job:?}"
    );
    assert_eq!(world.znodes(), there);
    let job = verified(&engine, Some(empty), "100%").await;
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    assert!(!described(&engine, empty).await.is_valid());
}

#[tokio::test]
async fn one_without_the_root_is_found_by_a_verification() {
    let world = World::new();
    let Running { engine, .. } = world.start();
    let (granular, _) = backed_up(&engine, of(&["/a"])).await;
    let id = copied(
        &world.vaults,
        &granular,
        |bytes| bytes,
        |manifest| manifest.roots = None,
    );
    let job = verified(&engine, Some(id.as_str()), "100%").await;
    let told = job.result.to_string();
    assert!(
        job.status == JobState::Failed && told.contains("no znode /"),
        "{job:?}"
    );
    assert!(!described(&engine, id.as_str()).await.is_valid());
}
