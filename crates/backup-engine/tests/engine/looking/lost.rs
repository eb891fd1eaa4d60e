//! A backup whose index is gone, damaged, or could not be written.

use std::sync::Arc;

use backup_engine::JobState;
use futures::TryStreamExt as _;
use vault_store::object_store::memory::InMemory;
use vault_store::object_store::path::Path;
use vault_store::object_store::{ObjectStore as _, ObjectStoreExt as _};
use vault_store::{Damage, ObjectVaults, SealedStore, VaultId, VaultStore as _, Verification};
use zk_snapshot::tree::Acl;

use super::super::support::{HOUR, World, full, restored};
use super::{FIRST, INDEX, noise, path, verified};

const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

/// The object of a bucket that has the index of its only backup.
async fn index_object(bucket: &InMemory) -> Path {
    let all: Vec<_> = bucket.list(None).try_collect().await.unwrap();
    let mut all = all.into_iter().map(|object| object.location);
    all.find(|location| location.as_ref().contains("index.zst"))
        .unwrap()
}

#[tokio::test]
async fn a_backup_is_looked_into_without_its_index_where_that_is_gone_or_was_not_sealed_so() {
    let world = World::new();
    for child in 0..6_000 {
        let name: String = noise(child, 20)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        world
            .tree
            .put(&format!("/wide/{name}"), b"", Acl::open())
            .unwrap();
    }
    for sealed in [false, true] {
        let bucket = Arc::new(InMemory::new());
        let start = || {
            let vaults = ObjectVaults::open(Arc::clone(&bucket) as _, "some/where").unwrap();
            let seal = move |below| match sealed {
                true => Arc::new(SealedStore::new(
                    below,
                    PUBLIC.parse().unwrap(),
                    Some(SECRET.parse().unwrap()),
                )) as _,
                false => below,
            };
            world
                .start_with(|builder| builder.objects(vaults, "memory://some/where").around_vaults(seal))
                .engine
        };
        let id = full(&start()).await;
        let index = index_object(&bucket).await;
        let whole = bucket.get(&index).await.unwrap().bytes().await.unwrap();
        assert!(whole.len() > 100_000, "{} bytes are in one chunk", whole.len());
        // The header of the sealed file, its first chunk, its last one; and nothing of it.
        for place in [Some(30), Some(40_000), Some(whole.len() - 40), None] {
            match place {
                Some(place) => {
                    let mut bytes = whole.to_vec();
                    bytes[place] ^= 1;
                    bucket.put(&index, bytes.into()).await.unwrap();
                }
                None => bucket.delete(&index).await.unwrap(),
            }
            let engine = start();
            let page = engine.znodes(&id, path("/wide"), FIRST).await;
            let page = page.unwrap_or_else(|error| panic!("{sealed} {place:?}: {error}"));
            assert_eq!((page.total, page.znodes.len()), (6_000, 1_000));
            let znode = engine.znode(&id, path("/b/c")).await.unwrap();
            assert_eq!(znode.data, b"one", "{sealed} {place:?}");
        }
    }
}

/// In a process of its own, as the directory for temporary files is that of the process.
#[test]
fn where_no_temporary_file_can_be_written_only_the_index_is_gone_without() {
    const ALONE: &str = "ALONE_WITHOUT_TEMPORARY_FILES";
    let name = "looking::lost::where_no_temporary_file_can_be_written_only_the_index_is_gone_without";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let ended = alone.args(["--exact", name]).env(ALONE, "1").output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        assert!(String::from_utf8_lossy(&ended.stdout).contains("1 passed"));
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let world = World::new();
        // More than is sorted in memory.
        for child in 0..20_000 {
            let path = format!("/wide/{child:0900}");
            world.tree.put(&path, b"", Acl::open()).unwrap();
        }
        let engine = world.start().engine;
        let id = full(&engine).await;
        let vault: VaultId = id.parse().unwrap();
        let has_index = |id| {
            let manifest = world.vaults.manifest(id).unwrap();
            manifest.files.iter().any(|file| file.name == INDEX)
        };
        assert!(has_index(&vault));
        let nowhere = tempfile::tempdir().unwrap().path().to_owned();
        tempfile::env::override_temp_dir(&nowhere).unwrap();

        assert_eq!(verified(&engine, &id).await.status, JobState::Successful);
        // What was found before is told again, as nobody has looked at it since.
        let wrong = Damage {
            file: INDEX.to_string(),
            frame: None,
            what: "it tells something else of /a".to_owned(),
        };
        let found = Verification::new(world.now(), vec![wrong.clone()]);
        world.vaults.record_verification(&vault, &found).unwrap();
        assert_eq!(verified(&engine, &id).await.status, JobState::Failed);
        assert_eq!(
            world.vaults.verification(&vault).unwrap().unwrap().damage,
            std::slice::from_ref(&wrong)
        );
        assert_eq!(restored(&engine, &id).await.status, JobState::Successful);
        assert_eq!(
            world.vaults.verification(&vault).unwrap().unwrap().damage,
            [wrong]
        );

        world.pass(HOUR);
        let without = full(&engine).await;
        assert!(!has_index(&without.parse().unwrap()));
        assert_eq!(engine.znode(&without, path("/b/c")).await.unwrap().data, b"one");
    });
}
