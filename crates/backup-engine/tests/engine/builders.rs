//! How an engine is put together: in which order, and of what it cannot be.

use std::io;
use std::sync::Arc;

use backup_engine::{EngineBuilder, EngineError, InvalidRequest};
use health_metrics::{FixedProcess, Problem, ProcessUsage, StorageProbe, StorageUsage};
use vault_store::object_store::memory::InMemory;
use vault_store::{FaultyObjects, MemoryStore, ObjectCall, ObjectVaults};

use super::support::{HOUR, World, copied, full};

fn bucket() -> (FaultyObjects, ObjectVaults) {
    let objects = FaultyObjects::new(Arc::new(InMemory::new()));
    let vaults = ObjectVaults::open(Arc::new(objects.clone()), "some/where").unwrap();
    objects.asked();
    (objects, vaults)
}

/// What is asked how full the storage is, and does not know.
struct Measured;

impl StorageProbe for Measured {
    fn usage(&self) -> io::Result<Option<StorageUsage>> {
        Err(io::Error::other("it was not measured"))
    }
}

/// Whether [`Measured`] is asked.
async fn is_measured(builder: EngineBuilder) -> bool {
    let problems = builder.build().unwrap().health().await.problems;
    problems.contains(&Problem::StorageUnreadable("it was not measured".to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vaults_are_where_was_said_last_and_nothing_is_left_of_what_was_said_before() {
    let world = World::new();
    let (objects, vaults) = bucket();
    let store = MemoryStore::new();
    let last = Arc::new(store.clone());
    let engine = world
        .start_with(|builder| builder.objects(vaults, "memory://some/where").vaults(last))
        .engine;
    let id = full(&engine).await;
    assert_eq!(engine.list().await.unwrap(), [&*id]);
    // What another process writes into a bucket is told seconds later only.
    let copy = copied(&store, &id, |bytes| bytes, |_| {}).to_string();
    assert_eq!(engine.list().await.unwrap(), [id, copy]);
    assert_eq!(engine.health().await.storage.place, None);
    assert_eq!(objects.asked(), []);

    let (objects, vaults) = bucket();
    let directory = tempfile::tempdir().unwrap();
    let engine = world
        .start_with(|builder| {
            let builder = builder.objects(vaults, "memory://some/where");
            builder.storage(directory.path()).unwrap()
        })
        .engine;
    let id = full(&engine).await;
    assert!(directory.path().join(id).is_dir());
    assert_eq!(engine.health().await.storage.place, None);
    assert_eq!(objects.asked(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_besides_is_asked_for_as_little_wherever_the_others_are_said_to_be_later() {
    let world = World::new();
    let (objects, archive) = bucket();
    let engine = world
        .start_with(|builder| {
            let builder = builder.further_objects("archive", archive);
            builder.vaults(Arc::new(MemoryStore::new()))
        })
        .engine;
    assert_eq!(engine.storages(), ["default", "archive"]);
    assert!(engine.list().await.unwrap().is_empty());
    objects.asked();
    for _ in 0..3 {
        engine.list().await.unwrap();
    }
    let asked = objects.asked();
    let lists = asked.iter().filter(|(call, _)| *call == ObjectCall::List).count();
    assert!(lists < 3, "{asked:?}");
}

#[tokio::test]
async fn what_measures_the_storage_is_said_after_the_storage() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let builder = || world.builder().0;
    let after = builder()
        .storage(directory.path())
        .unwrap()
        .storage_probe(Arc::new(Measured));
    assert!(is_measured(after).await);
    let before = builder()
        .storage_probe(Arc::new(Measured))
        .storage(directory.path())
        .unwrap();
    assert!(!is_measured(before).await);
}

#[tokio::test]
async fn storages_of_one_name_are_refused() {
    let world = World::new();
    let further = |names: &[&str]| {
        let mut builder = world.builder().0;
        for name in names {
            builder = builder.further_vaults(*name, Arc::new(MemoryStore::new()));
        }
        builder.build()
    };
    assert_eq!(
        further(&["archive", "other"]).unwrap().storages(),
        ["default", "archive", "other"]
    );
    for (names, twice) in [
        (&["archive", "other", "archive"][..], "archive"),
        (&["other", "default"], "default"),
    ] {
        let refused = further(names).unwrap_err();
        let EngineError::Invalid(why @ InvalidRequest::StorageTwice(name)) = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(name, twice);
        assert_eq!(why.to_string(), format!("two storages are called {twice:?}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_measures_the_process_is_what_was_given() {
    let usage = ProcessUsage {
        memory_bytes: 12_345,
        cpu_percent: 6.5,
        uptime: HOUR,
    };
    let probe = Arc::new(FixedProcess(Some(usage)));
    let engine = World::new()
        .start_with(|builder| builder.process_probe(probe))
        .engine;
    assert_eq!(engine.health().await.process, Some(usage));
}

#[test]
fn health_says_so_where_no_thread_can_be_started() {
    let engine = World::new().start().engine;
    // There is no room for a stack of that size.
    let threadless = tokio::runtime::Builder::new_current_thread()
        .thread_stack_size(1 << 60)
        .enable_all()
        .build()
        .unwrap();
    let problems = threadless.block_on(engine.health()).problems;
    assert_eq!(
        problems,
        [Problem::NoReport("no thread can be started".to_owned())]
    );
}
