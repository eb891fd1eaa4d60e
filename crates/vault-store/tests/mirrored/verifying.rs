//! Copies that have become damaged are found by reading them, and made anew.

use vault_store::{StoredCopy, VaultCall, VaultFault, VaultStore};

use super::support::{Pair, damage, id, now, put, read};

const BYTES: &[u8] = b"one two three four";
const ROTTEN: &[u8] = b"one two thrEe four";

#[test]
fn a_copy_that_is_damaged_is_told_and_made_anew_from_a_first_one_that_is_whole() {
    let pair = Pair::copied(BYTES);
    let mut read_bytes = 0;
    let mut go_on = |bytes| {
        read_bytes += bytes;
        true
    };
    let found = pair.store.verify_copy(&id(), now(), &mut go_on).unwrap().unwrap();
    assert!(found.is_sound() && read_bytes == BYTES.len() as u64, "{found:?}");

    damage(&pair.second, ROTTEN);
    let found = pair.store.verify_copy(&id(), now(), &mut |_| true).unwrap();
    let found = found.unwrap().damage;
    assert!(found.len() == 1 && found[0].frame == Some(2), "{found:?}");
    assert_eq!(pair.store.damage_of_copies()[&id()], found);
    assert!(pair.store.lacks(&id()) && !pair.store.has_copy(&id()));
    assert!(pair.store.damage().is_empty(), "the first is sound");
    assert_eq!(pair.store.copy_read(&id()), StoredCopy::First);
    assert_eq!(pair.store.lacking().unwrap(), [id()]);
    pair.copy().unwrap();
    assert_eq!(read(&pair.second).unwrap(), BYTES);
    assert!(pair.store.damage_of_copies().is_empty() && !pair.store.lacks(&id()));
}

#[test]
fn a_copy_that_is_damaged_stays_where_the_first_is_damaged_as_well() {
    let pair = Pair::copied(BYTES);
    damage(&pair.second, ROTTEN);
    damage(&pair.first, b"ONE two three four");
    let found = pair.store.verify_copy(&id(), now(), &mut |_| true).unwrap();
    assert!(!found.unwrap().is_sound());
    pair.copy().unwrap_err();
    assert_eq!(read(&pair.second).unwrap(), ROTTEN);
    assert_eq!(pair.store.damage_of_copies().len(), 1);
    // Each has a part that the other lacks.
    assert_eq!(read(&pair.store).unwrap(), BYTES);
    // The copy goes with its vault, and is told no more.
    pair.store.remove(&id()).unwrap();
    assert!(pair.store.damage_of_copies().is_empty());
    pair.copy().unwrap();
    assert_eq!(pair.second.ids().unwrap(), []);
}

#[test]
fn what_is_called_off_or_cannot_be_read_tells_nothing_of_a_copy() {
    let pair = Pair::copied(BYTES);
    damage(&pair.second, ROTTEN);
    let mut asked = 0;
    let mut twice = |_| {
        asked += 1;
        asked < 3
    };
    assert!(
        pair.store
            .verify_copy(&id(), now(), &mut twice)
            .unwrap()
            .is_none()
    );
    pair.to_second.plan(VaultCall::Open, 1, VaultFault::Fail);
    pair.store.verify_copy(&id(), now(), &mut |_| true).unwrap_err();
    assert!(pair.store.damage_of_copies().is_empty() && pair.store.has_copy(&id()));

    // Nor is one looked at that is not there, or the only one.
    let next = id().next().unwrap();
    put(&pair.store, &next, BYTES).unwrap();
    pair.first.remove(&id()).unwrap();
    for id in [id(), next] {
        let found = pair.store.verify_copy(&id, now(), &mut |_| true).unwrap();
        assert!(found.is_none(), "{found:?}");
    }
}

#[test]
fn a_copy_of_another_vault_is_compared_anew() {
    let pair = Pair::copied(BYTES);
    assert_eq!(pair.store.lacking().unwrap(), []);
    pair.second.remove(&id()).unwrap();
    put(&pair.second, &id(), b"another").unwrap();
    let found = pair.store.verify_copy(&id(), now(), &mut |_| true).unwrap();
    assert!(found.is_none(), "{found:?}");
    pair.copy().unwrap();
    assert_eq!(read(&pair.second).unwrap(), BYTES);
}
