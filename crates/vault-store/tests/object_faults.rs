//! Vaults in an object store that fails, is shared, and is counted.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use futures::TryStreamExt as _;
use futures::executor::block_on;
use object_store::ObjectStore as _;
use object_store::memory::InMemory;
use time::{Duration, OffsetDateTime};
use vault_store::ObjectCall::{Abort, Begin, Complete, Delete, Get, Head, List, Part, Put};
use vault_store::conformance::{self, Subject};
use vault_store::{
    FaultyObjects, FileName, Manifest, Mode, ObjectCall, ObjectVaults, Outcome, Reader, StoreError,
    VaultFault, VaultId, VaultStore, verify,
};

const ARCHIVE: FileName = FileName::from_static("archive");
const LOG: FileName = FileName::from_static("log");
const MIB: usize = 1 << 20;

struct Bucket {
    below: Arc<InMemory>,
    objects: FaultyObjects,
}

impl Bucket {
    fn new() -> Self {
        let below = Arc::new(InMemory::new());
        let objects = FaultyObjects::new(below.clone());
        Self { below, objects }
    }

    fn open(&self) -> ObjectVaults {
        ObjectVaults::open(Arc::new(self.objects.clone()), "some/where").unwrap()
    }

    /// As a process that meets no faults.
    fn other(&self) -> ObjectVaults {
        ObjectVaults::open(self.below.clone(), "some/where").unwrap()
    }

    /// How many objects there are, and when the last of them was written.
    fn state(&self) -> (usize, OffsetDateTime) {
        let all: Vec<_> = block_on(self.below.list(None).try_collect()).unwrap();
        let seconds = all.iter().map(|meta| meta.last_modified.timestamp()).max();
        let last = OffsetDateTime::from_unix_timestamp(seconds.unwrap_or_default()).unwrap();
        (all.len(), last)
    }

    fn count(&self) -> usize {
        self.state().0
    }

    fn calls(&self) -> Vec<ObjectCall> {
        self.objects.asked().into_iter().map(|(call, _)| call).collect()
    }
}

fn id() -> VaultId {
    "20261123T140000".parse().unwrap()
}

fn put(store: &ObjectVaults, id: &VaultId, bytes: &[u8]) -> Result<(), StoreError> {
    let mut stage = store.stage(id)?;
    let files = vec![stage.put(&ARCHIVE, bytes)?, stage.put(&LOG, b"said")?];
    let manifest = Manifest::new(id, Mode::Hierarchical, id.time(), Outcome::Complete);
    stage.commit(&Manifest { files, ..manifest })
}

fn is_whole(store: &ObjectVaults) -> bool {
    store.ids().unwrap() == [id()] && verify(store, &id(), id().time()).unwrap().is_sound()
}

#[test]
fn a_store_without_planned_faults_conforms() {
    conformance::all(|| {
        let bucket = Bucket::new();
        Subject::new(move || bucket.open())
    });
}

#[test]
fn a_commit_whose_answer_is_lost_is_looked_up() {
    let bucket = Bucket::new();
    let store = bucket.open();
    bucket.objects.plan(Put, 3, VaultFault::LoseAnswer);
    put(&store, &id(), b"bytes").unwrap();
    assert_eq!(bucket.calls(), [Head, Put, Put, Put, Get]);
    assert!(is_whole(&store) && is_whole(&bucket.other()));
}

#[test]
fn a_commit_that_fails_is_tried_again() {
    let bucket = Bucket::new();
    bucket.objects.plan(Put, 3, VaultFault::Fail);
    put(&bucket.open(), &id(), b"bytes").unwrap();
    assert!(is_whole(&bucket.other()));
}

#[test]
fn a_commit_of_which_nobody_knows_leaves_a_whole_vault_or_none() {
    // The answer is lost, and it cannot be looked up.
    let bucket = Bucket::new();
    let store = bucket.open();
    bucket.objects.plan(Put, 3, VaultFault::LoseAnswer);
    bucket.objects.plan(Get, 1, VaultFault::Fail);
    let failed = put(&store, &id(), b"bytes").unwrap_err();
    assert!(failed.may_pass(), "{failed}");
    assert!(is_whole(&store) && is_whole(&bucket.other()));

    // A request that was given up may be done later: its files stay until they are swept.
    let bucket = Bucket::new();
    let store = bucket.open();
    for nth in [3, 4, 5] {
        bucket.objects.plan(Put, nth, VaultFault::Fail);
    }
    assert!(put(&store, &id(), b"bytes").unwrap_err().may_pass());
    assert_eq!((store.ids().unwrap(), bucket.count()), (vec![], 2));
    put(&store, &id(), b"another").unwrap();
    let (_, now) = bucket.state();
    assert_eq!(store.sweep(now + Duration::HOUR).unwrap(), [""; 0]);
    assert_eq!(store.sweep(now + Duration::hours(25)).unwrap().len(), 1);
    assert_eq!(bucket.count(), 3);
    assert!(is_whole(&store));
}

#[test]
fn another_process_that_was_first_is_told_of() {
    let bucket = Bucket::new();
    let store = bucket.open();
    let other = bucket.other();
    let (wait, go) = channel::<()>();
    let delay = VaultFault::Delay(Box::new(move || assert!(go.recv().is_err())));
    bucket.objects.plan(Put, 3, delay);
    let late = thread::spawn(move || put(&store, &id(), b"late"));
    put(&other, &id(), b"first").unwrap();
    drop(wait);
    let refused = late.join().unwrap();
    assert!(
        matches!(refused, Err(StoreError::AlreadyExists(_))),
        "{refused:?}"
    );
    assert_eq!(bucket.count(), 3, "nothing is left of the late one");
    assert!(is_whole(&other));
    let refused = put(&bucket.open(), &id(), b"later");
    assert!(
        matches!(refused, Err(StoreError::AlreadyExists(_))),
        "{refused:?}"
    );
}

#[test]
fn a_part_that_fails_fails_the_file_and_leaves_nothing() {
    for (call, nth) in [(Begin, 1), (Part, 1), (Part, 3), (Part, 5), (Complete, 1)] {
        let bucket = Bucket::new();
        let store = bucket.open();
        bucket.objects.plan(call, nth, VaultFault::Fail);
        let mut stage = store.stage(&id()).unwrap();
        let mut file = stage.create(&ARCHIVE).unwrap();
        let written = file.write_all(&vec![7; 36 * MIB]);
        let ended = file.finish();
        assert!(
            ended.is_err() && bucket.objects.left() == 0,
            "{call:?} {nth}: {written:?}"
        );
        let calls = bucket.calls();
        assert_eq!(calls.contains(&Abort), call != Begin, "{call:?} {nth}: {calls:?}");
        let manifest = Manifest::new(&id(), Mode::Hierarchical, id().time(), Outcome::Complete);
        let refused = stage.commit(&manifest);
        assert!(
            matches!(refused, Err(StoreError::Unfinished { .. })),
            "{refused:?}"
        );
        assert_eq!(bucket.count(), 0);
        put(&store, &id(), b"bytes").unwrap();
    }
    let bucket = Bucket::new();
    let store = bucket.open();
    bucket.objects.plan(Complete, 1, VaultFault::LoseAnswer);
    put(&store, &id(), &vec![7; 9 * MIB]).unwrap();
    assert!(is_whole(&store));
}

#[test]
fn a_removal_that_fails_leaves_it_whole_or_gone() {
    for (nth, fault, is_told, stays) in [
        (1, VaultFault::Fail, true, true),
        (1, VaultFault::LoseAnswer, true, false),
        (2, VaultFault::Fail, false, false),
        (3, VaultFault::Fail, false, false),
    ] {
        let bucket = Bucket::new();
        let store = bucket.open();
        put(&store, &id(), b"bytes").unwrap();
        bucket.objects.plan(Delete, nth, fault);
        let removed = store.remove(&id());
        assert_eq!(removed.is_err(), is_told, "{removed:?}");
        for store in [&store, &bucket.other()] {
            match stays {
                true => assert!(is_whole(store)),
                false => assert_eq!(store.ids().unwrap(), []),
            }
        }
        if !stays {
            let (left, now) = bucket.state();
            assert_eq!(store.sweep(now + Duration::hours(25)).unwrap().len(), left.min(1));
            assert_eq!(bucket.count(), 0);
        }
    }
}

#[test]
fn what_processes_left_is_swept_after_a_day_and_nothing_else() {
    let bucket = Bucket::new();
    let (store, other) = (bucket.open(), bucket.other());
    put(&store, &id(), b"bytes").unwrap();
    let next = id().next().unwrap();
    let mut left = other.stage(&next).unwrap();
    left.put(&ARCHIVE, b"half").unwrap();
    std::mem::forget(left);
    let mut going_on = store.stage(&next).unwrap();
    let files = vec![going_on.put(&ARCHIVE, b"whole").unwrap()];
    let now = bucket.state().1;
    assert_eq!(store.sweep(now + Duration::hours(23)).unwrap(), [""; 0]);
    let swept = store.sweep(now + Duration::hours(25)).unwrap();
    let expected = format!("some/where/vaults/{next}/");
    assert!(swept.len() == 1 && swept[0].starts_with(&expected), "{swept:?}");
    let manifest = Manifest::new(&next, Mode::Hierarchical, next.time(), Outcome::Complete);
    going_on.commit(&Manifest { files, ..manifest }).unwrap();
    for id in [id(), next] {
        assert!(verify(&other, &id, id.time()).unwrap().is_sound());
    }
    assert_eq!(store.sweep(now + Duration::hours(50)).unwrap(), [""; 0]);
}

#[test]
fn what_another_process_removed_is_not_found_and_what_it_wrote_is_read() {
    let bucket = Bucket::new();
    let (store, other) = (bucket.open(), bucket.other());
    put(&store, &id(), b"before").unwrap();
    assert!(is_whole(&store));
    let open = store.open(&id(), &ARCHIVE).unwrap();
    other.remove(&id()).unwrap();
    assert!(matches!(
        open.read_at(0, &mut [0; 6]),
        Err(StoreError::NotFound(_))
    ));
    assert!(matches!(
        store.open(&id(), &ARCHIVE),
        Err(StoreError::NotFound(_))
    ));
    assert!(matches!(store.manifest(&id()), Err(StoreError::NotFound(_))));
    assert_eq!(store.ids().unwrap(), []);

    put(&store, &id(), b"again").unwrap();
    assert!(is_whole(&store));
    other.remove(&id()).unwrap();
    put(&other, &id(), b"once more").unwrap();
    assert_eq!(store.open(&id(), &ARCHIVE).unwrap().size(), 9);
    assert!(is_whole(&store));
}

#[test]
fn a_backup_a_list_and_a_look_are_few_requests() {
    let bucket = Bucket::new();
    let store = bucket.open();
    put(&store, &id(), &vec![7; 20 * MIB]).unwrap();
    let mut calls = bucket.calls();
    calls.sort_by_key(|call| *call as u8);
    let mut expected = vec![Head, Begin, Part, Part, Part, Complete, Put, Put];
    expected.sort_by_key(|call| *call as u8);
    assert_eq!(calls, expected);

    store.ids().unwrap();
    assert_eq!(bucket.calls(), [List, Get]);
    for _ in 0..3 {
        store.ids().unwrap();
        store.manifest(&id()).unwrap();
        store.size(&id()).unwrap();
    }
    assert_eq!(bucket.calls(), [List; 3]);

    let mut reader = Reader::new(store.open(&id(), &ARCHIVE).unwrap());
    reader.seek(SeekFrom::Start(10 * MIB as u64)).unwrap();
    reader.read_exact(&mut [0; 1_000]).unwrap();
    assert_eq!(bucket.objects.asked(), [(Head, 0), (Get, MIB as u64)]);

    // What follows is asked for ahead, each byte once.
    let mut reader = Reader::new(store.open(&id(), &ARCHIVE).unwrap());
    bucket.objects.asked();
    assert_eq!(
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap(),
        20 * MIB as u64
    );
    assert_eq!(bucket.objects.asked(), [(Get, MIB as u64); 20]);

    store.remove(&id()).unwrap();
    assert_eq!(bucket.calls(), [Get, Delete, List, Delete, Delete]);
}

#[test]
fn ten_thousand_vaults_are_one_list() {
    let bucket = Bucket::new();
    let mut next = id();
    let writer = bucket.other();
    for _ in 0..10_000 {
        put(&writer, &next, b"bytes").unwrap();
        next = next.next().unwrap();
    }
    let store = bucket.open();
    let look = || {
        let begun = std::time::Instant::now();
        let ids = store.ids().unwrap();
        let listed = begun.elapsed();
        for id in &ids {
            store.manifest(id).unwrap();
        }
        (ids.len(), (listed, begun.elapsed()))
    };
    let first = look();
    assert_eq!(bucket.calls().len(), 10_001);
    let second = look();
    assert_eq!((first.0, second.0), (10_000, 10_000));
    assert_eq!(bucket.calls(), [List]);
    println!("{:?} at first, then {:?}", first.1, second.1);
}

#[test]
fn it_is_called_and_dropped_on_any_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let bucket = Bucket::new();
    let store = bucket.open();
    runtime.block_on(async {
        let there = store.clone();
        let spawned = tokio::task::spawn_blocking(move || put(&there, &id(), b"bytes"));
        spawned.await.unwrap().unwrap();
        assert!(is_whole(&store));
        drop(store);
    });
}
