//! Looking into backups: how little of one is read for it, and what is told where its index is of no use.

mod lost;

use std::io::Read as _;
use std::sync::Arc;

use backup_engine::{Engine, EngineError, JobInfo, JobState, Page, Share, StateSource, VerifyRequest};
use vault_store::object_store::memory::InMemory;
use vault_store::{
    FaultyObjects, FileEntry, FileName, FrameEntry, Manifest, MemoryStore, ObjectVaults, Reader, VaultId,
    VaultStore,
};
use zk_snapshot::archive::{IndexWriter, Record};
use zk_snapshot::tree::{Acl, ZnodePath};

use super::support::{HOUR, World, described, done, full, restored, snapshot_of, transactional};

const INDEX: FileName = FileName::from_static("index.zst");
const FIRST: Page = Page::first(1_000);

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
        let asked = objects.asked();
        let bytes: u64 = asked.iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes >= at_least, "{bytes} bytes are too few");
        (asked.len(), bytes)
    };
    let (_, whole) = moved(0);
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
        // The manifest, two lengths, the last check, the list of blocks, a block and a frame.
        let (requests, bytes) = moved(1);
        assert!(bytes < 3 << 20, "{bytes} bytes for {asked}");
        assert_eq!(requests, 7, "for {asked}");
    }
    let engine = start();
    objects.asked();
    let page = engine.znodes(&id, path("/wide"), FIRST).await.unwrap();
    assert_eq!((page.total, page.znodes.len()), (660, 660));
    assert!(page.znodes.iter().all(|znode| znode.size == 100 << 10));
    let (requests, bytes) = moved(1);
    assert!(bytes < 1 << 20, "{bytes} bytes for a page");
    assert_eq!(requests, 6, "for a page");

    // To compare checksums, to see what is there, and to bring it back; a little is asked for twice where threads begin in another order.
    assert_eq!(restored(&engine, &id).await.status, JobState::Successful);
    let (_, bytes) = moved(1);
    assert!(bytes < whole * 36 / 10, "{bytes} bytes of {whole} for a restore");
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
fn with_index(store: &MemoryStore, of: &str, index: (Vec<u8>, FileEntry)) -> String {
    with_files(store, of, Some(index))
}

/// A vault with the files of another one, and another index or none.
fn with_files(store: &MemoryStore, of: &str, index: Option<(Vec<u8>, FileEntry)>) -> String {
    let of: VaultId = of.parse().unwrap();
    let id = of.next().unwrap();
    let mut manifest: Manifest = store.manifest(&of).unwrap();
    let mut stage = store.stage(&id).unwrap();
    manifest.files.retain(|file| file.name != INDEX);
    for file in &manifest.files {
        let mut bytes = Vec::new();
        Reader::new(store.open(&of, &file.name).unwrap())
            .read_to_end(&mut bytes)
            .unwrap();
        stage.put(&file.name, &bytes).unwrap();
    }
    if let Some((index, entry)) = index {
        stage.put(&INDEX, &index).unwrap();
        manifest.files.push(entry);
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
    let size = async || engine.znode(&forged, path("/a")).await.unwrap().info.size;
    assert_eq!(size().await, 7, "nobody knows better yet");
    let job = verified(&engine, &forged).await;
    assert_eq!(job.status, JobState::Failed);
    let damage = &job.result["damaged"][0]["damage"];
    assert_eq!(damage[0]["file"], "index.zst", "{damage}");
    assert_eq!(damage[0]["what"], "it tells something else of /a", "{damage}");
    assert!(described(&engine, &forged).await.is_valid());
    assert_eq!(size().await, 3);
    assert_eq!(restored(&engine, &forged).await.status, JobState::Successful);
    assert_eq!(world.tree.data("/a").unwrap(), b"one");
    // A restore looks at no index, and makes nobody believe this one again.
    assert_eq!(size().await, 3);
    assert_eq!(
        world
            .start()
            .engine
            .znode(&forged, path("/a"))
            .await
            .unwrap()
            .info
            .size,
        3
    );
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

#[tokio::test]
async fn an_index_that_leads_to_no_frame_is_done_without() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    let mut index = IndexWriter::default();
    for path in [ZnodePath::root(), path("/a")] {
        index.add(&Record::unreadable(path), 7).unwrap();
    }
    let (bytes, frames) = index.finish(Vec::new()).unwrap();
    let (_, mut entry) = index_of(&world.vaults, &id);
    entry.bytes = bytes.len() as u64;
    entry.frames = frames
        .into_iter()
        .map(|frame| FrameEntry {
            offset: frame.offset,
            length: frame.length,
            records: frame.records,
            sha256: frame.sha256,
        })
        .collect();
    let lost = with_index(&world.vaults, &id, (bytes, entry));
    let page = engine.znodes(&lost, ZnodePath::root(), FIRST).await.unwrap();
    assert_eq!(page.total, 1);
    assert_eq!(engine.znode(&lost, path("/a")).await.unwrap().data, b"one");
    // What has been read through tells from then on.
    let page = engine.znodes(&lost, ZnodePath::root(), FIRST).await.unwrap();
    assert_eq!(page.total, 2);
}

/// A snapshot of 30 MiB in a bucket, looked into by what comes anew each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_look_at_a_transactional_backup_moves_little_of_it() {
    let world = World::new();
    let (files, _directory) = snapshot_of(300, 100 << 10);
    let files: Arc<dyn StateSource> = Arc::new(files);
    let objects = FaultyObjects::new(Arc::new(InMemory::new()));
    let start = || {
        let vaults = ObjectVaults::open(Arc::new(objects.clone()), "some/where").unwrap();
        let states = vec![Arc::clone(&files)];
        world
            .start_with(|builder| builder.objects(vaults, "memory://some/where").states(states))
            .engine
    };
    let id = transactional(&start()).await;
    let moved = || objects.asked().iter().map(|(_, bytes)| bytes).sum::<u64>();
    assert!(moved() > 29 << 20);

    let engine = start();
    moved();
    let page = engine.znodes(&id, path("/many"), FIRST).await.unwrap();
    assert_eq!((page.total, page.znodes.len()), (300, 300));
    let bytes = moved();
    assert!((1..1 << 20).contains(&bytes), "{bytes} bytes for a page");
    let engine = start();
    moved();
    let znode = engine.znode(&id, path("/many/0000123")).await.unwrap();
    assert_eq!((znode.data, znode.info.stat.czxid), (vec![b'd'; 100 << 10], 1));
    let bytes = moved();
    assert!((1..1 << 20).contains(&bytes), "{bytes} bytes for a znode");
}

#[tokio::test]
async fn the_index_of_a_snapshot_tells_what_reading_it_through_tells_and_is_verified() {
    let world = World::new();
    let (files, _directory) = snapshot_of(2_000, 1_000);
    let (fewer, _other) = snapshot_of(1_999, 1_000);
    let engine_over = |files| {
        world
            .start_with(|builder| builder.states(vec![Arc::new(files)]))
            .engine
    };
    let id = transactional(&engine_over(fewer)).await;
    let other = index_of(&world.vaults, &id);
    world.pass(HOUR);
    let engine = engine_over(files);
    let id = transactional(&engine).await;
    assert_eq!(verified(&engine, &id).await.status, JobState::Successful);

    // As earlier versions have left it.
    let old = with_files(&world.vaults, &id, None);
    assert_eq!(verified(&engine, &old).await.status, JobState::Successful);
    for at in ["/", "/many", "/many/0001234"] {
        let page = engine.znodes(&id, path(at), FIRST).await.unwrap();
        assert_eq!(page, engine.znodes(&old, path(at), FIRST).await.unwrap());
        let znode = engine.znode(&id, path(at)).await.unwrap();
        assert_eq!(znode, engine.znode(&old, path(at)).await.unwrap());
    }
    engine.evict_one(&old).await.unwrap();

    let forged = with_index(&world.vaults, &id, other);
    let job = verified(&engine, &forged).await;
    assert_eq!(job.status, JobState::Failed);
    let damage = &job.result["damaged"][0]["damage"];
    assert_eq!(damage[0]["file"], "index.zst", "{damage}");
    assert!(described(&engine, &forged).await.is_valid());
    let page = engine.znodes(&forged, path("/many"), FIRST).await.unwrap();
    assert_eq!(page.total, 2_000);
}
