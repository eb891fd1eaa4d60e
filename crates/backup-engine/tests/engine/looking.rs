//! Looking into backups: how little of one is read for it, and what is told where its index is of no use.

use std::io::Read as _;
use std::sync::Arc;

use backup_engine::{Engine, EngineError, JobInfo, JobState, Page, Share, VerifyRequest};
use vault_store::object_store::memory::InMemory;
use vault_store::{
    FaultyObjects, FileEntry, FileName, Manifest, MemoryStore, ObjectVaults, Reader, VaultId, VaultStore,
};
use zk_snapshot::tree::{Acl, ZnodePath};

use super::support::{HOUR, World, described, done, full, restored};

const INDEX: FileName = FileName::from_static("index.zst");
const FIRST: Page = Page {
    offset: 0,
    limit: 1_000,
};

fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

/// Bytes that do not pack.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_look_at_a_znode_moves_little_of_a_large_backup() {
    let world = World::new();
    for child in 0..660 {
        let data = noise(child, 100 << 10);
        world
            .tree
            .put(&format!("/wide/n{child:04}"), &data, Acl::open())
            .unwrap();
    }
    let deep = "/deep".repeat(300);
    world.tree.put(&deep, b"bottom", Acl::open()).unwrap();
    let objects = FaultyObjects::new(Arc::new(InMemory::new()));
    let start = || {
        let vaults = ObjectVaults::open(Arc::new(objects.clone()), "some/where").unwrap();
        world
            .start_with(|builder| builder.objects(vaults, "memory://some/where"))
            .engine
    };
    let id = full(&start()).await;
    let moved = |at_least: u64| {
        let bytes: u64 = objects.asked().iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes >= at_least, "{bytes} bytes are too few");
        bytes
    };
    let whole = moved(0);
    assert!(whole > 64 << 20);

    for (asked, size) in [
        ("/wide/n0333", 100 << 10),
        (&*deep, 6),
        ("/wide/n0000", 100 << 10),
    ] {
        let engine = start();
        objects.asked();
        let znode = engine.znode(&id, path(asked)).await.unwrap();
        assert_eq!(znode.data.len(), size);
        let bytes = moved(1);
        assert!(bytes < 3 << 20, "{bytes} bytes for {asked}");
    }
    let engine = start();
    objects.asked();
    let page = engine.znodes(&id, path("/wide"), FIRST).await.unwrap();
    assert_eq!((page.total, page.znodes.len()), (660, 660));
    assert!(page.znodes.iter().all(|znode| znode.size == 100 << 10));
    let bytes = moved(1);
    assert!(bytes < 1 << 20, "{bytes} bytes for a page");

    // To compare checksums, to see what is there, and to bring it back; a little is asked for twice where threads begin in another order.
    assert_eq!(restored(&engine, &id).await.status, JobState::Successful);
    let bytes = moved(1);
    assert!(bytes < whole * 33 / 10, "{bytes} bytes of {whole} for a restore");
}

/// The index of a vault, and what its manifest says of it.
fn index_of(store: &MemoryStore, id: &str) -> (Vec<u8>, FileEntry) {
    let id: VaultId = id.parse().unwrap();
    let mut files = store.manifest(&id).unwrap().files.into_iter();
    let mut bytes = Vec::new();
    Reader::new(store.open(&id, &INDEX).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    (bytes, files.find(|file| file.name == INDEX).unwrap())
}

/// A vault with the files of another one, and an index of its own.
fn with_index(store: &MemoryStore, of: &str, (index, entry): (Vec<u8>, FileEntry)) -> String {
    let of: VaultId = of.parse().unwrap();
    let id = of.next().unwrap();
    let mut manifest: Manifest = store.manifest(&of).unwrap();
    let mut stage = store.stage(&id).unwrap();
    for file in &mut manifest.files {
        if file.name == INDEX {
            stage.put(&INDEX, &index).unwrap();
            *file = entry.clone();
            continue;
        }
        let mut bytes = Vec::new();
        Reader::new(store.open(&of, &file.name).unwrap())
            .read_to_end(&mut bytes)
            .unwrap();
        stage.put(&file.name, &bytes).unwrap();
    }
    let manifest = Manifest {
        id: id.clone(),
        ..manifest
    };
    stage.commit(&manifest).unwrap();
    id.to_string()
}

async fn verified(engine: &Engine, id: &str) -> JobInfo {
    let task = engine.verify(VerifyRequest {
        vault: Some(id.to_owned()),
        share: Share::ALL,
    });
    done(engine, &task.await.unwrap()).await
}

#[tokio::test]
async fn an_index_of_other_znodes_is_damage_that_keeps_nobody_from_restoring() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    assert_eq!(verified(&engine, &id).await.status, JobState::Successful);
    world.pass(HOUR);
    world.tree.put("/a", b"another", Acl::open()).unwrap();
    let other = full(&engine).await;
    let forged = with_index(&world.vaults, &id, index_of(&world.vaults, &other));
    let job = verified(&engine, &forged).await;
    assert_eq!(job.status, JobState::Failed);
    let damage = &job.result["damaged"][0]["damage"];
    assert_eq!(damage[0]["file"], "index.zst", "{damage}");
    assert_eq!(damage[0]["what"], "it tells something else of /a", "{damage}");
    assert!(described(&engine, &forged).await.is_valid());
    assert_eq!(restored(&engine, &forged).await.status, JobState::Successful);
    assert_eq!(world.tree.data("/a").unwrap(), b"one");
}

#[tokio::test]
async fn a_backup_is_looked_into_without_its_index_where_that_is_damaged() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    let (index, entry) = index_of(&world.vaults, &id);
    assert_eq!(entry.frames.len(), 2);
    for damaged in 0..2 {
        let mut entry = entry.clone();
        entry.frames[damaged].sha256 = "0".repeat(64);
        let broken = with_index(&world.vaults, &id, (index.clone(), entry));
        let znode = engine.znode(&broken, path("/b/c")).await.unwrap();
        assert_eq!(znode.data, b"one");
        let page = engine.znodes(&broken, ZnodePath::root(), FIRST).await.unwrap();
        assert_eq!(page.total, 2);
        let none = engine.znode(&broken, path("/none")).await;
        assert!(matches!(none, Err(EngineError::ZnodeNotFound(_))));
        engine.evict_one(&broken).await.unwrap();
    }
}
