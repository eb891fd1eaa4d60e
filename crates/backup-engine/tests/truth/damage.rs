//! Backups with damage, or with a part missing, and what that costs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use backup_engine::{JobState, VerifyRequest};
use eviction_policy::Action;
use health_metrics::{Problem, Status};
use vault_store::{Consistency, Contents};
use zk_snapshot::tree::Acl;

use super::{HOUR, World, backup, done, restored};

const DAY: Duration = Duration::from_hours(24);

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn only_damage_to_what_a_restore_reads_refuses_it_and_health_tells() {
    let world = World::new();
    let engine = world.start();
    let (id, _) = backup(&engine, &[]).await;
    for spare in ["acls.idx", "index.zst", "job.log"] {
        flip(&world.vault(&id).join(spare));
    }
    world.tree.put("/a", b"two", Acl::open()).unwrap();
    let job = restored(&engine, &id).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    assert_eq!(world.tree.data("/a").unwrap(), b"one");
    assert!(engine.describe(&id).await.unwrap().unwrap().is_valid());
    let health = engine.health().await;
    assert_eq!((health.status(), health.problems), (Status::Up, Vec::new()));

    let damaged = async |count: u64, file: &str| {
        let health = engine.health().await;
        assert_eq!(health.status(), Status::Warning);
        let named = |problem: &Problem| matches!(problem, Problem::DamagedBackup { id: of, damage } if *of == id && damage.contains(file));
        assert!(health.problems.iter().any(named), "{:?}", health.problems);
        assert!(health.hindrances().next().is_none());
        let line = format!("zk_backup_damaged_vaults {count}");
        assert!(engine.metrics().await.unwrap().contains(&line));
    };
    world.pass(DAY);
    let (newer, _) = backup(&engine, &[]).await;
    flip(&world.vault(&id).join("archive.zst"));
    let job = restored(&engine, &id).await;
    assert_eq!(job.status, JobState::Failed);
    assert!(job.message.unwrap().contains("archive.zst"));
    damaged(1, "archive.zst").await;
    flip(&world.vault(&id).join("archive.zst"));
    assert_eq!(restored(&engine, &id).await.status, JobState::Successful);
    assert_eq!(engine.health().await.status(), Status::Up);
    flip(&world.vault(&id).join("manifest.json"));
    damaged(1, "manifest.json").await;

    // The newest is damaged: what is fresh is what can be restored.
    fs::write(world.vault(&newer).join("archive.zst"), b"").unwrap();
    world.pass(HOUR);
    let health = engine.health().await;
    assert_eq!(health.since_full_success, Some(25 * HOUR));
    assert!(health.storage.newest_good.is_none());
}

#[tokio::test]
async fn a_backup_that_was_cut_takes_no_good_ones_place() {
    let world = World::new();
    let engine = world.start();
    let (good, _) = backup(&engine, &[]).await;
    world.pass(DAY * 2);
    let (cut, _) = backup(&engine, &[]).await;
    let archive = world.vault(&cut).join("archive.zst");
    fs::OpenOptions::new()
        .write(true)
        .open(&archive)
        .unwrap()
        .set_len(40)
        .unwrap();
    drop(engine);
    let engine = world.start_with("0/30d");
    for dry_run in [true, false] {
        let decisions = engine.evict(dry_run).await.unwrap();
        let kept = decisions.iter().all(|decision| decision.action == Action::Keep);
        assert!(kept && decisions.len() == 2, "{decisions:?}");
    }
    assert_eq!(engine.list().await.unwrap(), [good, cut]);
}

#[tokio::test]
async fn a_znode_too_large_to_be_read_again_is_named_and_costs_only_itself() {
    let world = World::new();
    let engine = world.start();
    let large = vec![7; 48 << 20];
    world.tree.put("/large", &large, Acl::open()).unwrap();
    world.tree.put("/large/below", b"b", Acl::open()).unwrap();
    world.tree.put("/z", &large[1_000..], Acl::open()).unwrap();
    let (id, state) = backup(&engine, &[]).await;
    assert_eq!(state, JobState::Failed);
    let info = engine.describe(&id).await.unwrap().unwrap();
    let manifest = info.manifest().unwrap();
    assert!(manifest.is_partial() && !info.is_valid());
    assert_eq!(manifest.consistency(), Some(Consistency::Consistent));
    let Some(Contents::Hierarchical(contents)) = &manifest.contents else {
        panic!("{manifest:?}");
    };
    assert_eq!(contents.skipped.unreadable_paths, ["/large"]);
    world.tree.put("/a", b"two", Acl::open()).unwrap();
    world.tree.put("/z", b"", Acl::open()).unwrap();
    let job = restored(&engine, &id).await;
    assert_eq!(world.tree.data("/a").unwrap(), b"one");
    assert_eq!(world.tree.data("/z").unwrap().len(), large.len() - 1_000);
    assert_eq!(world.tree.data("/large").unwrap().len(), large.len());
    assert_eq!(job.result["partial"], true, "{job:?}");
}

/// Makes a backup one that says that it is complete, and has nothing but its log, with the right checksum.
fn hollow(vault: &Path) {
    use sha2::{Digest, Sha256};
    let place = vault.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
    let files = manifest["files"].as_array_mut().unwrap();
    files.retain(|file| file["name"] == "job.log");
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let sum = Sha256::digest(&bytes);
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(place, bytes).unwrap();
    fs::write(
        vault.join("manifest.json.sha256"),
        format!("{sum}  manifest.json\n"),
    )
    .unwrap();
}

#[tokio::test]
async fn what_has_the_right_checksums_and_cannot_be_opened_is_damaged_once_that_was_found() {
    for by_restore in [true, false] {
        let world = World::new();
        let engine = world.start();
        let (good, _) = backup(&engine, &[]).await;
        world.pass(HOUR);
        let (empty, _) = backup(&engine, &[]).await;
        drop(engine);
        hollow(&world.vault(&empty));
        let engine = world.start();
        let job = match by_restore {
            true => restored(&engine, &empty).await,
            false => {
                let vault = Some(empty.clone());
                let request = VerifyRequest {
                    vault,
                    ..VerifyRequest::default()
                };
                let task = engine.verify(request).await.unwrap();
                done(&engine, &task).await
            }
        };
        assert_eq!(job.status, JobState::Failed, "{job:?}");
        assert!(job.message.unwrap().contains("archive.zst"));
        let info = engine.describe(&empty).await.unwrap().unwrap();
        assert!(!info.is_valid());
        let health = engine.health().await;
        assert_eq!(health.status(), Status::Warning);
        let newest = health.storage.newest_good.unwrap();
        assert_eq!(newest.id, good, "{:?}", health.problems);
    }
}
