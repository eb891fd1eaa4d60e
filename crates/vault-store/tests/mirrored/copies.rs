//! Copying, and reading from whichever copy is whole.

use std::fs;
use std::sync::Arc;

use vault_store::{
    CopiedNote, FsStore, MemoryStore, MirroredStore, StoreError, StoredCopy, VaultCall, VaultFault,
    VaultStore, verify,
};

use super::support::{ARCHIVE, NOTE, Pair, damage, id, put, read};

const BYTES: &[u8] = b"one two three four";

#[test]
fn a_copy_has_the_same_bytes_and_what_was_lost_is_read_from_it() {
    let places = ["first", "second"].map(|_| tempfile::tempdir().unwrap());
    {
        let [first, second] = places
            .each_ref()
            .map(|place| Arc::new(FsStore::open(place.path()).unwrap()));
        let store = MirroredStore::new(first, second, []);
        put(&store, &id(), BYTES).unwrap();
        assert!(store.lacks(&id()));
        store.refresh().unwrap();
        assert!(store.copy(&id(), &mut |_| true).unwrap());
        assert!(!store.lacks(&id()));
    }
    for file in ["archive.zst", "manifest.json", "manifest.json.sha256"] {
        let [first, second] = places
            .each_ref()
            .map(|place| std::fs::read(place.path().join(id().as_str()).join(file)));
        assert_eq!(first.unwrap(), second.unwrap(), "{file}");
    }
    let empty = tempfile::tempdir().unwrap();
    let [first, second] = [&empty, &places[1]].map(|place| Arc::new(FsStore::open(place.path()).unwrap()));
    let store = MirroredStore::new(first, second, []);
    assert_eq!(store.ids().unwrap(), []);
    store.refresh().unwrap();
    assert_eq!(store.ids().unwrap(), [id()]);
    assert_eq!(store.copy_read(&id()), StoredCopy::Second);
    assert_eq!(read(&store).unwrap(), BYTES);
    assert!(verify(&store, &id(), id().time()).unwrap().is_sound());
    let taken = store.stage(&id()).err();
    assert!(matches!(taken, Some(StoreError::AlreadyExists(_))), "{taken:?}");
}

#[test]
fn a_frame_that_is_damaged_is_read_from_the_copy_and_told() {
    let pair = Pair::copied(BYTES);
    damage(&pair.first, b"one two thrEe four");
    let before = pair.store.reads_of_second(&id());
    assert_eq!(read(&pair.store).unwrap(), BYTES);
    assert!(verify(&pair.store, &id(), id().time()).unwrap().is_sound());
    assert!(pair.store.reads_of_second(&id()) > before);
    let found = &pair.store.damage()[&id()];
    assert!(
        found.len() == 1 && found[0].frame == Some(2) && found[0].what.contains("SHA-256"),
        "{found:?}"
    );
    assert_eq!(pair.store.copy_read(&id()), StoredCopy::Second);
    pair.store.forget_damage(&id());
    assert_eq!(pair.store.copy_read(&id()), StoredCopy::First);
}

#[test]
fn files_that_are_cut_missing_or_no_manifest_are_those_of_the_copy() {
    let place = tempfile::tempdir().unwrap();
    let first = Arc::new(FsStore::open(place.path()).unwrap());
    let store = MirroredStore::new(first, Arc::new(MemoryStore::new()), []);
    let manifest = put(&store, &id(), BYTES).unwrap();
    store.refresh().unwrap();
    store.copy(&id(), &mut |_| true).unwrap();
    let path = |file: &str| place.path().join(id().as_str()).join(file);
    let cut = || fs::write(path("archive.zst"), &BYTES[..13]).unwrap();
    let long = || fs::write(path("archive.zst"), [BYTES, b" five"].concat()).unwrap();
    let missing = || fs::remove_file(path("archive.zst")).unwrap();
    let no_manifest = || fs::write(path("manifest.json"), b"{}").unwrap();
    let harm: [(&dyn Fn(), &str, &str); 4] = [
        (&cut, "archive.zst", "13 bytes of 18 are there"),
        (&long, "archive.zst", "23 bytes of 18 are there"),
        (&missing, "archive.zst", "it is missing"),
        (&no_manifest, "manifest.json", "SHA-256"),
    ];
    for (harm, file, what) in harm {
        store.forget_damage(&id());
        harm();
        assert_eq!(store.manifest(&id()).unwrap(), manifest);
        assert_eq!(read(&store).unwrap(), BYTES);
        let found = &store.damage()[&id()];
        let told = found
            .iter()
            .any(|found| found.file == file && found.what.contains(what));
        assert!(told, "{found:?}");
    }
    store.forget_damage(&id());
    fs::remove_dir_all(path("")).unwrap();
    assert_eq!(read(&store).unwrap(), BYTES);
    assert_eq!(store.copy_read(&id()), StoredCopy::Second);
}

#[test]
fn what_both_copies_have_damaged_is_found_by_whoever_reads() {
    let pair = Pair::copied(BYTES);
    damage(&pair.first, b"one two thrEe four");
    damage(&pair.second, b"one two thrEe four");
    let found = verify(&pair.store, &id(), id().time()).unwrap().damage;
    assert!(found.len() == 1 && found[0].frame == Some(2), "{found:?}");
    assert!(pair.store.damage().is_empty());
    // Each has a part that the other lacks.
    damage(&pair.second, b"ONE two three four");
    assert_eq!(read(&pair.store).unwrap(), BYTES);
}

#[test]
fn another_vault_with_the_same_id_is_no_copy() {
    let (pair, other) = (Pair::new(), b"ONE two three four");
    put(&pair.first, &id(), BYTES).unwrap();
    put(&pair.second, &id(), other).unwrap();
    damage(&pair.first, b"one two thrEe four");
    pair.store.refresh().unwrap();
    assert!(!verify(&pair.store, &id(), id().time()).unwrap().is_sound());
    assert_eq!(pair.store.reads_of_second(&id()), 0);
}

#[test]
fn a_first_store_that_fails_is_replaced_and_what_only_it_has_fails() {
    let pair = Pair::copied(BYTES);
    let open = pair.store.open(&id(), &ARCHIVE).unwrap();
    pair.to_first.cut();
    let mut bytes = [0; 4];
    assert_eq!(open.read_at(4, &mut bytes).unwrap(), 4);
    assert_eq!(&bytes, b"two ");
    assert_eq!(read(&pair.store).unwrap(), BYTES);
    assert_eq!(pair.store.ids().unwrap(), [id()]);
    assert!(pair.store.trouble().is_some());
    assert!(pair.store.damage().is_empty(), "nothing is known to be damaged");
    let next = id().next().unwrap();
    put(&pair.first, &next, BYTES).unwrap();
    assert!(pair.store.manifest(&next).is_err());
    assert!(put(&pair.store, &next.next().unwrap(), BYTES).is_err());
}

#[test]
fn a_second_store_that_is_away_is_in_nobodys_way() {
    let pair = Pair::copied(BYTES);
    let next = id().next().unwrap();
    put(&pair.second, &next, BYTES).unwrap();
    pair.copy().unwrap();
    assert_eq!(pair.store.ids().unwrap(), [id(), next.clone()]);
    pair.to_second.cut();
    assert!(pair.copy().is_err());
    assert_eq!(pair.store.ids().unwrap(), [id()]);
    assert_eq!(read(&pair.store).unwrap(), BYTES);
    let missing = pair.store.manifest(&next);
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    put(&pair.store, &next.next().unwrap(), BYTES).unwrap();
    pair.store.remove(&id()).unwrap();
}

#[test]
fn whatever_fails_while_it_is_copied_it_is_copied_the_next_time() {
    for (call, fault) in [
        (VaultCall::Ids, VaultFault::Fail),
        (VaultCall::Stage, VaultFault::Fail),
        (VaultCall::Create, VaultFault::Fail),
        (VaultCall::Write, VaultFault::Fail),
        (VaultCall::Finish, VaultFault::Fail),
        (VaultCall::Commit, VaultFault::Fail),
        (VaultCall::Commit, VaultFault::LoseAnswer),
    ] {
        let pair = Pair::new();
        put(&pair.store, &id(), BYTES).unwrap();
        pair.to_second.plan(call, 1, fault);
        assert!(pair.copy().is_err(), "{call:?}");
        assert_eq!(pair.to_second.left(), 0, "{call:?}");
        let pair = pair.reopened();
        pair.copy().unwrap();
        assert_eq!(read(&pair.second).unwrap(), BYTES, "{call:?}");
        assert!(!pair.store.lacks(&id()));
    }
}

#[test]
fn what_is_damaged_is_not_copied_and_what_is_called_off_leaves_nothing() {
    let pair = Pair::new();
    put(&pair.store, &id(), BYTES).unwrap();
    pair.store.refresh().unwrap();
    let mut asked = 0;
    let mut twice = |_| {
        asked += 1;
        asked < 3
    };
    assert!(!pair.store.copy(&id(), &mut twice).unwrap());
    assert_eq!(pair.second.ids().unwrap(), []);
    damage(&pair.first, b"one two thrEe four");
    let refused = pair.copy().unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
    assert_eq!(pair.second.ids().unwrap(), []);
}

#[test]
fn notes_are_copied_and_taken_back_whenever_they_were_lost() {
    let pair = Pair::new();
    pair.store.keep_note(&NOTE, b"one").unwrap();
    pair.copy().unwrap();
    assert_eq!(pair.second.note(&NOTE).unwrap().unwrap(), b"one");
    pair.store.keep_note(&NOTE, b"two").unwrap();
    // This process knows which is newer.
    pair.store.refresh().unwrap();
    assert_eq!(pair.store.note(&NOTE).unwrap().unwrap(), b"two");
    pair.copy().unwrap();
    assert_eq!(pair.second.note(&NOTE).unwrap().unwrap(), b"two");
    let lost = Pair::over(MemoryStore::new(), pair.second);
    lost.store.refresh().unwrap();
    assert_eq!(lost.store.note(&NOTE).unwrap().unwrap(), b"two");
    lost.copy().unwrap();
    assert_eq!(lost.first.note(&NOTE).unwrap().unwrap(), b"two");
}

#[test]
fn a_note_that_is_lost_while_its_copy_is_known_is_read_from_that() {
    let first = tempfile::tempdir().unwrap();
    let open = Arc::new(FsStore::open(first.path()).unwrap());
    let note = CopiedNote {
        name: NOTE,
        merge: |_, _| None,
        is_sound: |_| true,
    };
    let store = MirroredStore::new(open, Arc::new(MemoryStore::new()), [note]);
    store.keep_note(&NOTE, b"one").unwrap();
    let copy = || {
        store.refresh().unwrap();
        store.mark().unwrap();
        store.copy_notes().unwrap();
    };
    put(&store, &id(), BYTES).unwrap();
    copy();
    for note in [NOTE.as_str(), "second-place"] {
        fs::remove_file(first.path().join(note)).unwrap();
    }
    assert_eq!(store.note(&NOTE).unwrap().unwrap(), b"one");
    copy();
    assert_eq!(fs::read(first.path().join(NOTE.as_str())).unwrap(), b"one");
}

#[test]
fn what_an_earlier_process_has_noted_in_both_places_is_merged_once() {
    let pair = Pair::new();
    pair.first.keep_note(&NOTE, b"one").unwrap();
    pair.second.keep_note(&NOTE, b"two").unwrap();
    pair.store.refresh().unwrap();
    assert_eq!(pair.store.note(&NOTE).unwrap().unwrap(), b"one+two");
    assert_eq!(pair.first.note(&NOTE).unwrap().unwrap(), b"one", "not by looking");
    pair.copy().unwrap();
    for place in [&pair.first, &pair.second] {
        assert_eq!(place.note(&NOTE).unwrap().unwrap(), b"one+two");
    }
    pair.store.keep_note(&NOTE, b"three").unwrap();
    pair.copy().unwrap();
    assert_eq!(pair.second.note(&NOTE).unwrap().unwrap(), b"three");
}

#[test]
fn a_note_that_cannot_be_understood_is_not_copied_and_its_copy_counts() {
    let pair = Pair::new();
    pair.store.keep_note(&NOTE, b"one").unwrap();
    pair.copy().unwrap();
    pair.first.keep_note(&NOTE, b"{garb").unwrap();
    assert_eq!(pair.store.note(&NOTE).unwrap().unwrap(), b"one");
    pair.copy().unwrap();
    for place in [&pair.first, &pair.second] {
        assert_eq!(place.note(&NOTE).unwrap().unwrap(), b"one");
    }
    // Where there is no other it stays for whoever mends it.
    let pair = Pair::new();
    pair.first.keep_note(&NOTE, b"{garb").unwrap();
    pair.copy().unwrap();
    assert_eq!(pair.store.note(&NOTE).unwrap().unwrap(), b"{garb");
    assert_eq!(pair.second.note(&NOTE).unwrap(), None);
}

#[test]
fn without_the_first_store_the_second_is_looked_at_again_and_again_and_by_new_processes() {
    let pair = Pair::copied(BYTES);
    pair.to_first.cut();
    for pair in [&pair, &{
        let again = pair.reopened();
        again.to_first.cut();
        again
    }] {
        for _ in 0..2 {
            assert!(pair.copy().is_err());
            assert_eq!(pair.store.ids().unwrap(), [id()]);
            assert_eq!(read(&pair.store).unwrap(), BYTES);
        }
    }
}

#[test]
fn each_frame_of_a_file_that_is_cut_is_read_where_it_is_whole() {
    let place = tempfile::tempdir().unwrap();
    let second = MemoryStore::new();
    let first = Arc::new(FsStore::open(place.path()).unwrap());
    let store = MirroredStore::new(first, Arc::new(second.clone()), []);
    put(&store, &id(), BYTES).unwrap();
    store.refresh().unwrap();
    store.copy(&id(), &mut |_| true).unwrap();
    let file = place.path().join(id().as_str()).join("archive.zst");
    fs::write(file, &BYTES[..13]).unwrap();
    damage(&second, b"ONE two three four");
    assert_eq!(read(&store).unwrap(), BYTES);
}
