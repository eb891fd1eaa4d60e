//! What is asked of a storage whose answers take their time, and what is known of it meanwhile.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use vault_store::{Damage, FileName, Manifest, MemoryStore, Mode, Outcome, Stage, VaultRead};

use super::*;

const ENOUGH: Duration = Duration::from_secs(60);

type Hook = Box<dyn Fn() + Send + Sync>;

/// A store whose answers can be held up.
#[derive(Default)]
struct Slow {
    below: MemoryStore,
    /// Done once the ids are read, before they are answered.
    listed: Mutex<Option<Hook>>,
    /// Done while a manifest is read.
    reading: Mutex<Option<Arc<Hook>>>,
    /// Their manifests cannot be read just now.
    failing: Mutex<HashSet<VaultId>>,
}

impl VaultStore for Slow {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        let ids = self.below.ids();
        if let Some(hook) = &*lock(&self.listed) {
            hook();
        }
        ids
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        let reading = lock(&self.reading).clone();
        if let Some(hook) = reading {
            hook();
        }
        match lock(&self.failing).contains(id) {
            true => Err(StoreError::failed(id, true, "not just now")),
            false => self.below.manifest(id),
        }
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.below.stage(id)
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        self.below.open(id, file)
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.below.remove(id)
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.below.size(id)
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        self.below.record_verification(id, result)
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        self.below.verification(id)
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.below.note(name)
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.below.keep_note(name, bytes)
    }
}

/// A storage with so many vaults, their ids, and what is known of them.
fn storage(vaults: usize) -> (Arc<Slow>, Arc<dyn VaultStore>, Vec<VaultId>, Arc<Remote>) {
    let slow = Arc::new(Slow::default());
    let mut next: VaultId = "20261123T140000".parse().unwrap();
    let mut ids = Vec::new();
    for _ in 0..vaults {
        put(&slow.below, &next);
        ids.push(next.clone());
        next = next.next().unwrap();
    }
    (slow.clone(), slow, ids, Arc::default())
}

fn put(store: &dyn VaultStore, id: &VaultId) {
    let manifest = Manifest::new(id, Mode::Hierarchical, id.time(), Outcome::Complete);
    store.stage(id).unwrap().commit(&manifest).unwrap();
}

fn known(remote: &Arc<Remote>) -> Vec<VaultId> {
    lock(&remote.state).vaults.keys().cloned().collect()
}

/// As if the last question had been asked long ago, and once nothing is under way.
fn let_pass(remote: &Remote) {
    until(|| lock(&remote.state).under_way.is_none());
    lock(&remote.state).at = None;
}

fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < ENOUGH);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_list_ends_though_vaults_change_all_the_time_and_does_not_undo_what_they_became() {
    let (slow, store, mut ids, remote) = storage(3);
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    let_pass(&remote);
    let (removed, new) = (ids.remove(0), ids[1].next().unwrap());
    ids.push(new.clone());
    let (there, below) = (Arc::clone(&remote), Arc::clone(&store));
    *lock(&slow.listed) = Some(Box::new(move || {
        // The ids that were read are of before.
        if below.remove(&removed).is_ok() {
            there.changed(&*below, &removed);
            put(&*below, &new);
        }
        there.changed(&*below, &new);
    }));
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    assert_eq!(known(&remote), ids);
}

#[test]
fn whoever_needs_an_answer_is_told_that_there_is_none() {
    let (slow, store, _, remote) = storage(1);
    let (go, wait) = channel::<()>();
    let wait: Mutex<Receiver<()>> = Mutex::new(wait);
    *lock(&slow.listed) = Some(Box::new(move || assert!(lock(&wait).recv().is_err())));
    let error = remote
        .listed_within(&store, Duration::from_millis(100))
        .map(drop)
        .unwrap_err();
    assert!(
        error.may_pass() && error.to_string().contains("has not listed them"),
        "{error}"
    );
    drop(go);
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    // Also whoever comes while vaults are looked at is woken.
    let_pass(&remote);
}

#[test]
fn manifests_are_read_many_at_a_time_and_what_was_told_is_kept() {
    let (slow, store, ids, remote) = storage(PIECE + 20);
    let (now, most, read) = (
        AtomicUsize::new(0),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (highest, (go, wait)) = (Arc::clone(&most), channel::<()>());
    let (wait, begun, count) = (Mutex::new(wait), Instant::now(), Arc::clone(&read));
    let hook: Hook = Box::new(move || {
        highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // The first wait until there are enough of them.
        while highest.load(Ordering::SeqCst) < AT_ONCE && begun.elapsed() < ENOUGH {
            thread::yield_now();
        }
        if count.fetch_add(1, Ordering::SeqCst) >= PIECE {
            assert!(lock(&wait).recv().is_err());
        }
        now.fetch_sub(1, Ordering::SeqCst);
    });
    *lock(&slow.reading) = Some(Arc::new(hook));
    remote.refresh(&store);
    until(|| known(&remote).len() == PIECE);
    assert!(remote.listed_within(&store, Duration::ZERO).is_err());
    drop(go);
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    assert_eq!(known(&remote), ids);
    assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
}

#[test]
fn what_was_recorded_of_a_hundred_vaults_is_known_after_the_first_question() {
    let (slow, store, ids, remote) = storage(RECORDS);
    let damage = Damage {
        file: "archive.zst".to_owned(),
        frame: Some(3),
        what: "its bytes have changed".to_owned(),
    };
    let found = Verification::new(ids[40].time(), vec![damage]);
    slow.below.record_verification(&ids[40], &found).unwrap();
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    let_pass(&remote);
    let state = lock(&remote.state);
    let damaged = state.vaults.values().filter(|stored| stored.damage.is_some());
    let damaged: Vec<_> = damaged.map(|stored| stored.id.clone()).collect();
    assert_eq!(damaged, [ids[40].clone()]);
    assert_eq!((state.unseen.len(), state.turns.len()), (0, RECORDS));
}

#[test]
fn what_others_have_recorded_meanwhile_is_known_before_all_counts_as_read_again() {
    let (slow, store, ids, remote) = storage(8);
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    let_pass(&remote);
    assert_eq!(remote.unread(), 0);
    let damage = Damage {
        file: "archive.zst".to_owned(),
        frame: None,
        what: "its bytes have changed".to_owned(),
    };
    // Not one whose turn is next.
    let found = Verification::new(ids[0].time(), vec![damage]);
    slow.below.record_verification(&ids[0], &found).unwrap();
    {
        // Nobody has recorded this one.
        let mut state = lock(&remote.state);
        let mut seen = Stored::clone(&state.vaults[&ids[3]]);
        seen.damage = Some("a file is gone".to_owned());
        state.vaults.insert(ids[3].clone(), Arc::new(seen));
    }
    remote.forget();
    assert_eq!(remote.unread(), 7);
    let is_damaged = |id: &VaultId| lock(&remote.state).vaults[id].damage.is_some();
    assert!(is_damaged(&ids[3]));
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    let_pass(&remote);
    assert!(is_damaged(&ids[0]));
    assert_eq!(remote.unread(), 0);
}

#[test]
fn what_could_not_be_read_is_read_with_the_next_question() {
    let (slow, store, ids, remote) = storage(20);
    *lock(&slow.failing) = ids.iter().cloned().collect();
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    let sound = || {
        lock(&remote.state)
            .vaults
            .values()
            .filter(|stored| stored.is_sound())
            .count()
    };
    assert_eq!(sound(), 0);
    let_pass(&remote);
    lock(&slow.failing).clear();
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    assert_eq!(sound(), 20);
    let_pass(&remote);
    assert_eq!(lock(&remote.state).turns.len(), 20);
}

#[test]
fn a_storage_that_panics_is_told_and_asked_again() {
    let (slow, store, ids, remote) = storage(3);
    let panic: fn() = || panic!("it was to panic");
    *lock(&slow.listed) = Some(Box::new(panic));
    let error = remote
        .listed_within(&store, Duration::from_secs(20))
        .map(drop)
        .unwrap_err();
    assert!(
        error.may_pass() && error.to_string().contains("ended abnormally"),
        "{error}"
    );
    *lock(&slow.listed) = None;
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    // Also while one of those is looked at that were listed.
    let_pass(&remote);
    *lock(&slow.reading) = Some(Arc::new(Box::new(panic)));
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    let_pass(&remote);
    *lock(&slow.reading) = None;
    remote.listed_within(&store, ENOUGH).map(drop).unwrap();
    assert_eq!(known(&remote), ids);
}
