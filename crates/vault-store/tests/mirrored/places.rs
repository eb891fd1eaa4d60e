//! Which place is taken for the second one, and vaults that replace others.

use std::sync::Arc;

use vault_store::{
    FileName, MemoryStore, MirroredStore, StoreError, StoredCopy, VaultCall, VaultFault, VaultStore,
};

use super::support::{ARCHIVE, Pair, damage, id, put, read};

const PLACE: FileName = FileName::from_static("second-place");
const BYTES: &[u8] = b"one two three four";

fn refused(pair: &Pair, why: &str) {
    let error = pair.copy().unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
    let listed = pair.store.ids().unwrap();
    assert_eq!(
        listed,
        pair.first.ids().unwrap(),
        "nothing of the second is listed"
    );
}

#[test]
fn a_place_that_is_not_mounted_counts_as_away_until_it_is_back_or_accepted() {
    let pair = Pair::copied(BYTES);
    let unmounted = Pair::over(pair.first.clone(), MemoryStore::new());
    refused(&unmounted, "not be mounted");
    assert_eq!(unmounted.second.ids().unwrap(), []);
    pair.reopened().copy().unwrap();
    pair.first.keep_note(&PLACE, b"any\n").unwrap();
    unmounted.copy().unwrap();
    assert_eq!(unmounted.second.ids().unwrap(), [id()]);
    unmounted.reopened().copy().unwrap();
    refused(&pair.reopened(), "another place");
}

#[test]
fn a_place_of_another_service_is_refused() {
    let (pair, other) = (Pair::copied(BYTES), Pair::new());
    let next = id().next().unwrap();
    put(&other.first, &next, BYTES).unwrap();
    let both = Pair::over(other.first, pair.second.clone());
    refused(&both, "of another service");
    // One that has none of its own may be the same service on a new disk. It is told to whoever used the place before.
    let taken = Pair::over(MemoryStore::new(), pair.second.clone());
    taken.copy().unwrap();
    assert_eq!(taken.store.ids().unwrap(), [id()]);
    refused(&pair, "another service uses it");
}

#[test]
fn a_disk_that_was_replaced_while_the_second_place_was_away_has_it_once_it_is_back() {
    let pair = Pair::copied(BYTES);
    let new = Pair::over(MemoryStore::new(), pair.second);
    new.to_second.cut();
    assert!(new.copy().is_err());
    let next = id().next().unwrap();
    put(&new.store, &next, BYTES).unwrap();
    let new = new.reopened();
    new.copy().unwrap();
    assert_eq!(new.store.ids().unwrap(), [id(), next.clone()]);
    assert_eq!(new.second.ids().unwrap(), [id(), next]);
}

#[test]
fn a_disk_that_was_replaced_may_have_backups_before_its_copies_are_marked() {
    let pair = Pair::copied(BYTES);
    for is_writable in [true, false] {
        let mut new = Pair::over(MemoryStore::new(), pair.second.clone());
        new.store.refresh().unwrap();
        let next = id().next().unwrap();
        if !is_writable {
            new.to_second.plan(VaultCall::KeepNote, 1, VaultFault::Fail);
            assert!(new.copy().is_err());
        }
        put(&new.store, &next, BYTES).unwrap();
        if !is_writable {
            new = new.reopened();
        }
        new.copy().unwrap();
        assert_eq!(new.store.ids().unwrap(), [id(), next.clone()]);
        pair.second.remove(&next).unwrap();
    }
}

#[test]
fn the_first_place_by_another_name_is_no_second_one() {
    let only = MemoryStore::new();
    let pair = Pair::over(only.clone(), only.clone());
    put(&pair.store, &id(), BYTES).unwrap();
    pair.copy().unwrap();
    refused(&pair, "it is where backups are kept");
    assert_eq!(only.ids().unwrap(), [id()]);
}

#[test]
fn a_vault_that_is_replaced_is_read_from_its_copy_until_another_is_committed_and_copied_then() {
    let pair = Pair::copied(b"before");
    damage(&pair.first, b"befoRe");
    let replacing = pair.store.replace(&id()).unwrap();
    assert_eq!(pair.store.ids().unwrap(), [id()]);
    // The process may end here.
    let again = pair.reopened();
    again.copy().unwrap();
    assert_eq!(read(&again.store).unwrap(), b"before");
    assert!(matches!(
        again.store.stage(&id()),
        Err(StoreError::AlreadyExists(_))
    ));
    put(&pair.store, &id(), b"afterwards").unwrap();
    replacing.committed().unwrap();
    assert_eq!(read(&pair.store).unwrap(), b"afterwards");
    pair.copy().unwrap();
    assert_eq!(read(&pair.second).unwrap(), b"afterwards");
    assert_eq!(pair.store.evicted(), 0);
}

#[test]
fn a_vault_that_was_replaced_does_not_come_back_from_its_copy_once_the_other_is_lost() {
    for is_reopened in [true, false] {
        let pair = Pair::copied(b"before");
        // The second place is away meanwhile.
        pair.to_second.plan(VaultCall::Ids, 1, VaultFault::Fail);
        pair.copy().unwrap_err();
        let replacing = pair.store.replace(&id()).unwrap();
        put(&pair.store, &id(), b"afterwards").unwrap();
        replacing.committed().unwrap();
        assert!(pair.store.lacks(&id()), "what is there has no copy yet");
        pair.first.remove(&id()).unwrap(); // behind its back
        let pair = if is_reopened { pair.reopened() } else { pair };
        pair.store.refresh().unwrap();
        assert_eq!(pair.store.ids().unwrap(), []);
        read(&pair.store).unwrap_err();
        pair.copy().unwrap();
        assert_eq!(pair.second.ids().unwrap(), []);
        assert_eq!(pair.store.evicted(), 0);
    }
}

#[test]
fn a_copy_of_another_vault_with_the_same_id_is_replaced_if_the_first_is_sound() {
    for is_sound in [true, false] {
        let pair = Pair::new();
        put(&pair.first, &id(), BYTES).unwrap();
        put(&pair.second, &id(), b"another").unwrap();
        if !is_sound {
            damage(&pair.first, b"one two thrEe four");
        }
        assert_eq!(pair.copy().is_ok(), is_sound);
        let expected = if is_sound { BYTES } else { b"another" };
        assert_eq!(read(&pair.second).unwrap(), expected);
        assert_eq!(pair.store.lacks(&id()), !is_sound);
    }
}

#[test]
fn what_was_not_written_as_it_was_sent_is_no_copy() {
    let pair = Pair::new();
    put(&pair.store, &id(), BYTES).unwrap();
    let second = pair.second.clone();
    // What reads back finds other bytes than were committed.
    let spoil = Box::new(move || damage(&second, b"one two thrEe four"));
    pair.to_second.plan(VaultCall::Open, 1, VaultFault::Delay(spoil));
    let error = pair.copy().unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert_eq!(pair.second.ids().unwrap(), []);
    pair.copy().unwrap();
    assert_eq!(read(&pair.second).unwrap(), BYTES);
}

#[test]
fn a_store_that_nobody_marks_is_read_all_the_same() {
    let (first, second) = (MemoryStore::new(), MemoryStore::new());
    put(&second, &id(), BYTES).unwrap();
    let store = MirroredStore::new(Arc::new(first.clone()), Arc::new(second), []);
    store.refresh().unwrap();
    assert!(store.open(&id(), &ARCHIVE).is_ok());
    assert!(first.note(&PLACE).unwrap().is_none(), "looking changes nothing");
}

#[test]
fn what_is_committed_or_evicted_is_not_said_to_be_in_the_second_place_alone() {
    let pair = Pair::copied(BYTES);
    let next = id().next().unwrap();
    put(&pair.store, &next, BYTES).unwrap();
    pair.copy().unwrap();
    let replacing = pair.store.replace(&id()).unwrap();
    assert_eq!(pair.store.ids().unwrap().len(), 2);
    assert_eq!(pair.store.only_copies(), 1, "until the other is committed");
    put(&pair.store, &id(), BYTES).unwrap();
    assert_eq!(pair.store.only_copies(), 0);
    assert_eq!(pair.store.copy_read(&id()), StoredCopy::First);
    replacing.committed().unwrap();

    pair.first.remove(&next).unwrap(); // behind its back
    assert_eq!(pair.store.ids().unwrap().len(), 2);
    assert_eq!(pair.store.only_copies(), 1);
    pair.store.remove(&next).unwrap();
    assert_eq!(pair.store.only_copies(), 0);
    pair.copy().unwrap();
    assert_eq!(pair.store.only_copies(), 0);
}
