//! What becomes of a copy when its vault is evicted, lost, or written anew.

use vault_store::{FileName, MemoryStore, StoreError, VaultCall, VaultFault, VaultStore};

use super::support::{Pair, id, now, put, read};

#[test]
fn an_eviction_is_followed_by_that_of_the_copy_and_a_loss_is_not() {
    let pair = Pair::copied(b"bytes");
    let next = id().next().unwrap();
    put(&pair.store, &next, b"bytes").unwrap();
    pair.copy().unwrap();
    pair.store.remove(&id()).unwrap();
    pair.first.remove(&next).unwrap(); // behind its back
    assert_eq!(pair.store.ids().unwrap(), std::slice::from_ref(&next));
    let gone = pair.store.manifest(&id());
    assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
    assert_eq!(pair.second.ids().unwrap().len(), 2, "it is not waited for");
    for _ in 0..2 {
        pair.copy().unwrap();
        assert_eq!(pair.second.ids().unwrap(), std::slice::from_ref(&next));
    }
    assert_eq!(pair.store.evicted(), 0);
    // A disk that was replaced has no notes either.
    let replaced = Pair::over(MemoryStore::new(), pair.second.clone());
    replaced.copy().unwrap();
    assert_eq!(replaced.store.ids().unwrap(), std::slice::from_ref(&next));
    replaced.store.remove(&next).unwrap();
    assert_eq!(replaced.store.ids().unwrap(), []);
    replaced.copy().unwrap();
    assert_eq!(pair.second.ids().unwrap(), []);
    let again = replaced.store.remove(&next);
    assert!(matches!(again, Err(StoreError::NotFound(_))), "{again:?}");
}

#[test]
fn an_eviction_outlives_the_process_and_whatever_fails() {
    for (call, fault) in [
        (VaultCall::Remove, VaultFault::Fail),
        (VaultCall::Remove, VaultFault::LoseAnswer),
        (VaultCall::Ids, VaultFault::Fail),
    ] {
        let pair = Pair::copied(b"bytes");
        pair.store.remove(&id()).unwrap();
        let pair = pair.reopened();
        pair.to_second.plan(call, 1, fault);
        assert!(pair.copy().is_err(), "{call:?}");
        assert_eq!(pair.store.ids().unwrap(), [], "{call:?}");
        let pair = pair.reopened();
        pair.copy().unwrap();
        assert_eq!(pair.second.ids().unwrap(), [], "{call:?}");
    }
}

#[test]
fn a_vault_whose_eviction_failed_keeps_its_copy() {
    for undone in [true, false] {
        let pair = Pair::copied(b"bytes");
        pair.to_first.plan(VaultCall::Remove, 1, VaultFault::Fail);
        if !undone {
            pair.to_first.plan(VaultCall::KeepNote, 2, VaultFault::Fail);
        }
        assert!(pair.store.remove(&id()).is_err());
        pair.copy().unwrap();
        assert_eq!(pair.second.ids().unwrap(), [id()]);
        assert!(!pair.store.lacks(&id()));
        assert_eq!(pair.store.evicted(), 0);
    }
}

#[test]
fn a_vault_that_has_left_though_its_removal_failed_does_not_come_back_from_its_copy() {
    let pair = Pair::copied(b"bytes");
    pair.to_first.plan(VaultCall::Remove, 1, VaultFault::LoseAnswer);
    assert!(pair.store.remove(&id()).is_err());
    assert_eq!(pair.first.ids().unwrap(), []);
    let pair = pair.reopened();
    pair.store.refresh().unwrap();
    assert_eq!(pair.store.ids().unwrap(), []);
    pair.copy().unwrap();
    assert_eq!(pair.second.ids().unwrap(), []);
}

#[test]
fn a_vault_that_takes_the_id_of_one_that_was_evicted_gets_a_copy_of_its_own() {
    let pair = Pair::copied(b"before");
    pair.store.remove(&id()).unwrap();
    put(&pair.store, &id(), b"afterwards").unwrap();
    assert!(pair.store.lacks(&id()));
    assert_eq!(read(&pair.store).unwrap(), b"afterwards");
    // Its turn comes once the earlier one is gone.
    pair.copy().unwrap();
    assert_eq!(read(&pair.second).unwrap(), b"afterwards");
    assert!(!pair.store.lacks(&id()));
}

#[test]
fn a_vault_that_is_evicted_while_it_is_copied_leaves_no_copy() {
    let pair = Pair::new();
    put(&pair.store, &id(), b"bytes").unwrap();
    pair.store.refresh().unwrap();
    let store = pair.store.clone();
    let evict = Box::new(move || store.remove(&id()).unwrap());
    pair.to_second
        .plan(VaultCall::Commit, 1, VaultFault::Delay(evict));
    pair.store.copy(&id(), &mut |_| true).unwrap();
    assert_eq!(pair.store.ids().unwrap(), []);
    assert_eq!(pair.second.ids().unwrap(), [id()]);
    pair.copy().unwrap();
    assert_eq!(pair.second.ids().unwrap(), []);
}

#[test]
fn what_is_noted_of_evictions_and_cannot_be_read_hinders_nothing() {
    let pair = Pair::copied(b"bytes");
    let evicted = FileName::from_static("evicted-copies");
    pair.first.keep_note(&evicted, b"[\"2026").unwrap();
    let pair = pair.reopened();
    pair.copy().unwrap();
    assert_eq!(pair.store.ids().unwrap(), [id()]);
    pair.store.remove(&id()).unwrap();
    pair.copy().unwrap();
    assert_eq!(pair.second.ids().unwrap(), []);
    assert_eq!(pair.first.note(&evicted).unwrap().unwrap(), b"[]");
}

#[test]
fn a_vault_that_is_being_evicted_takes_its_copy_along() {
    let pair = Pair::copied(b"bytes");
    let store = pair.store.clone();
    let look = Box::new(move || store.remove_evicted(now()).unwrap());
    pair.to_first.plan(VaultCall::Remove, 1, VaultFault::Delay(look));
    pair.store.remove(&id()).unwrap();
    pair.copy().unwrap();
    assert_eq!(pair.second.ids().unwrap(), []);
}
