//! Vaults in an object store: how little it is asked, and what is told while it cannot be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backup_engine::{BackupRequest, Engine, EngineBuilder, JobState};
use health_metrics::Problem;
use tokio::time::timeout;
use vault_store::object_store::memory::InMemory;
use vault_store::{
    FaultyObjects, FaultyVaults, FileName, Manifest, MemoryStore, Mode, ObjectCall, ObjectVaults, Outcome,
    VaultCall, VaultFault, VaultId, VaultStore,
};

use super::support::{DAY, World, done, full, gate};

fn open(objects: &FaultyObjects) -> ObjectVaults {
    ObjectVaults::open(Arc::new(objects.clone()), "some/where").unwrap()
}

fn with(objects: &FaultyObjects) -> impl FnOnce(EngineBuilder) -> EngineBuilder {
    let vaults = open(objects);
    move |builder| builder.objects(vaults, "memory://some/where")
}

/// An engine of its own world over these objects.
fn engine(world: &World, objects: &FaultyObjects) -> Engine {
    world.start_with(with(objects)).engine
}

fn put(vaults: &ObjectVaults, id: &VaultId) {
    let mut stage = vaults.stage(id).unwrap();
    let file = FileName::from_static("archive.zst");
    let manifest = Manifest {
        files: vec![stage.put(&file, b"some znodes").unwrap()],
        ..Manifest::new(id, Mode::Hierarchical, id.time(), Outcome::Complete)
    };
    stage.commit(&manifest).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_vaults_are_told_of_for_a_list_and_a_few_requests() {
    const VAULTS: usize = 10_000;
    let objects = FaultyObjects::new(Arc::new(InMemory::new()));
    let world = World::new();
    let mut id = VaultId::from_time(world.now() - Duration::from_secs(VAULTS as u64)).unwrap();
    let before = open(&objects);
    for _ in 0..VAULTS {
        put(&before, &id);
        id = id.next().unwrap();
    }
    let engine = engine(&world, &objects);
    assert_eq!(engine.list().await.unwrap().len(), VAULTS);
    // Nobody takes what was not looked at for sound.
    let unread = engine.health().await.unread_backups;
    assert!(
        (VAULTS as u64 - 1_000..=VAULTS as u64).contains(&unread),
        "{unread}"
    );
    objects.asked();

    let begun = Instant::now();
    assert_eq!(engine.list().await.unwrap().len(), VAULTS);
    for _ in 0..3 {
        assert_eq!(engine.health().await.storage.backups, VAULTS);
        engine.metrics().await.unwrap();
    }
    assert_eq!(engine.evict(true).await.unwrap().len(), VAULTS);
    let asked = objects.asked();
    let lists = asked.iter().filter(|(call, _)| *call == ObjectCall::List).count();
    // One is due every ten seconds, and reads what was recorded of some of them along with it.
    let due = 1 + usize::try_from(begun.elapsed().as_secs() / 10).unwrap();
    assert!(
        lists <= due && asked.len() <= (due + 1) * 160,
        "{lists} of {}",
        asked.len()
    );

    engine
        .describe(&engine.list().await.unwrap()[17])
        .await
        .unwrap()
        .unwrap();
    let due = 1 + usize::try_from(begun.elapsed().as_secs() / 10).unwrap();
    let asked = objects.asked();
    assert!(asked.len() <= due * 160, "{}", asked.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_this_process_writes_and_removes_is_told_at_once() {
    let objects = FaultyObjects::new(Arc::new(InMemory::new()));
    let world = World::new();
    let engine = engine(&world, &objects);
    assert!(engine.list().await.unwrap().is_empty());
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id = engine.backup(BackupRequest::default()).await.unwrap();
        assert_eq!(done(&engine, &id).await.status, JobState::Successful);
        ids.push(id);
        assert_eq!(engine.list().await.unwrap(), ids);
        let health = engine.health().await;
        assert_eq!(health.storage.newest_good.unwrap().id, *ids.last().unwrap());
    }
    assert_eq!(engine.health().await.unread_backups, 0);
    engine.evict_one(&ids.remove(2)).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), ids);
    // The policy keeps nothing but the newest, a day after they were asked for.
    world.pass(DAY * 2);
    engine.evict(false).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), ids[3..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_and_remove_is_told_within_seconds() {
    let objects = FaultyObjects::new(Arc::new(InMemory::new()));
    let world = World::new();
    let other = open(&objects);
    let first = VaultId::from_time(world.now()).unwrap();
    put(&other, &first);
    let engine = engine(&world, &objects);
    assert_eq!(engine.list().await.unwrap(), [first.to_string()]);
    let second = first.next().unwrap();
    put(&other, &second);
    other.remove(&first).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while engine.list().await.unwrap() != [second.to_string()] {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_cannot_be_reached_is_told_and_stops_no_start_and_evicts_nothing() {
    let objects = FaultyObjects::new(Arc::new(InMemory::new()));
    let world = World::new();
    let old = VaultId::from_time(world.now() - Duration::from_secs(60)).unwrap();
    put(&open(&objects), &old);
    put(&open(&objects), &old.next().unwrap());
    let gone = FaultyObjects::new(Arc::new(objects.clone()));
    gone.cut();
    let engine = engine(&world, &gone);
    for _ in 0..2 {
        let health = engine.health().await;
        let storage = |problem: &&Problem| matches!(problem, Problem::StorageUnreadable(_));
        assert!(health.hindrances().any(|problem| storage(&problem)), "{health:?}");
        assert_eq!(health.storage.place.as_deref(), Some("memory://some/where"));
    }
    assert!(engine.list().await.is_err());
    assert!(engine.evict(false).await.is_err());
    assert_eq!(open(&objects).ids().unwrap().len(), 2);
}

/// It keeps to what is asked of every store, and its answers take long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_store_of_ones_own_that_is_said_to_be_remote() {
    let (world, below) = (World::new(), MemoryStore::new());
    let store = FaultyVaults::new(Arc::new(below));
    let vaults = Arc::new(store.clone());
    let engine = world
        .start_with(|builder| builder.remote_vaults(vaults, "https://vaults.example"))
        .engine;
    let (mut held, delay) = gate();
    store.plan(VaultCall::Ids, 1, VaultFault::Delay(delay));
    let health = timeout(Duration::from_secs(60), engine.health()).await.unwrap();
    held.reached().await;
    let silent = |problem: &&Problem| matches!(problem, Problem::StorageUnreadable(_));
    assert!(health.hindrances().any(|problem| silent(&problem)), "{health:?}");
    assert_eq!(health.storage.place.as_deref(), Some("https://vaults.example"));
    drop(held);
    let id = full(&engine).await;
    assert_eq!(engine.list().await.unwrap(), [id]);
    assert_eq!(engine.health().await.storage.backups, 1);
}
