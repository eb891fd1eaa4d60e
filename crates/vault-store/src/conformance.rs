//! What every [`VaultStore`] must do. Run it over a store of your own in a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use std::io::{Read, Seek, SeekFrom, Write};

use crate::{FileEntry, Manifest, Mode, Outcome, StoreError, VaultId, VaultStore, verify};

/// Runs the suite; `empty` makes a new, empty store each time.
///
/// Panics at the first thing that does not hold.
pub fn run<S: VaultStore>(empty: impl Fn() -> S) {
    commits_are_whole(&empty());
    stages_leave_nothing(&empty());
    ids_are_taken_once(&empty());
    unknown_ids_are_not_found(&empty());
    names_are_plain(&empty());
    order_is_by_time(&empty());
    damage_is_found(&empty());
}

/// The id of a second after the first of January 2026.
fn id(second: u64) -> VaultId {
    format!(
        "20260101T{:02}{:02}{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
    .parse()
    .unwrap()
}

fn manifest(id: &VaultId, roots: Option<Vec<String>>, files: Vec<FileEntry>) -> Manifest {
    Manifest {
        roots,
        files,
        ..Manifest::new(id, Mode::Hierarchical, id.time(), Outcome::Complete)
    }
}

fn put(store: &dyn VaultStore, id: &VaultId, granular: bool, bytes: &[u8]) {
    let mut stage = store.stage(id, granular).unwrap();
    stage.create("archive").unwrap().write_all(bytes).unwrap();
    let roots = granular.then(|| vec!["a".to_owned()]);
    stage
        .commit(&manifest(id, roots, vec![FileEntry::whole("archive", bytes)]))
        .unwrap();
}

fn commits_are_whole(store: &dyn VaultStore) {
    for (second, granular) in [(1, false), (2, true)] {
        let id = id(second);
        put(store, &id, granular, b"bytes");
        let manifest = store.manifest(&id).unwrap();
        assert_eq!((&manifest.id, manifest.is_granular()), (&id, granular));
        let mut file = store.open(&id, "archive").unwrap();
        file.seek(SeekFrom::Start(2)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "tes");
        assert!(store.size(&id).unwrap() >= 5);
        assert_eq!(store.verification(&id).unwrap(), None);
        let result = verify(store, &id, id.time()).unwrap();
        assert!(result.is_sound(), "{result:?}");
        store.record_verification(&id, &result).unwrap();
        store.record_verification(&id, &result).unwrap();
        assert_eq!(store.verification(&id).unwrap(), Some(result));
        store.remove(&id).unwrap();
        assert!(matches!(store.manifest(&id), Err(StoreError::NotFound(_))));
    }
}

fn stages_leave_nothing(store: &dyn VaultStore) {
    let mut stage = store.stage(&id(1), false).unwrap();
    stage.create("archive").unwrap().write_all(b"half").unwrap();
    assert!(store.ids().unwrap().is_empty(), "a stage must not be listed");
    assert!(matches!(
        store.open(&id(1), "archive"),
        Err(StoreError::NotFound(_))
    ));
    drop(stage);
    assert!(store.ids().unwrap().is_empty());
    put(store, &id(1), false, b"whole");
    assert_eq!(store.ids().unwrap(), [id(1)]);
}

fn ids_are_taken_once(store: &dyn VaultStore) {
    let first = store.stage(&id(1), false).unwrap();
    assert!(matches!(
        store.stage(&id(1), true),
        Err(StoreError::AlreadyExists(_))
    ));
    first.commit(&manifest(&id(1), None, Vec::new())).unwrap();
    assert!(matches!(
        store.stage(&id(1), false),
        Err(StoreError::AlreadyExists(_))
    ));
    assert!(matches!(
        store.stage(&id(1), true),
        Err(StoreError::AlreadyExists(_))
    ));
    assert_eq!(store.manifest(&id(1)).unwrap().files, []);
}

fn unknown_ids_are_not_found(store: &dyn VaultStore) {
    let result = verify(store, &id(9), id(9).time());
    assert!(matches!(result, Err(StoreError::NotFound(_))));
    for outcome in [
        store.manifest(&id(9)).map(drop),
        store.open(&id(9), "archive").map(drop),
        store.remove(&id(9)),
        store.size(&id(9)).map(drop),
        store.verification(&id(9)).map(drop),
    ] {
        assert!(matches!(outcome, Err(StoreError::NotFound(_))), "{outcome:?}");
    }
}

fn names_are_plain(store: &dyn VaultStore) {
    let mut stage = store.stage(&id(1), false).unwrap();
    for name in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\0b",
        "manifest.json",
        ".hidden",
    ] {
        let outcome = stage.create(name).map(drop);
        assert!(
            matches!(outcome, Err(StoreError::InvalidName(_))),
            "{name:?}: {outcome:?}"
        );
    }
    drop(stage.create("twice").unwrap());
    assert!(matches!(
        stage.create("twice").map(drop),
        Err(StoreError::InvalidName(_))
    ));
}

fn order_is_by_time(store: &dyn VaultStore) {
    for (second, granular) in [(30, true), (10, false), (20, true), (4000, false)] {
        put(store, &id(second), granular, b"");
    }
    assert_eq!(store.ids().unwrap(), [id(10), id(20), id(30), id(4000)]);
}

fn damage_is_found(store: &dyn VaultStore) {
    let mut stage = store.stage(&id(1), false).unwrap();
    stage.create("archive").unwrap().write_all(b"bytfs").unwrap();
    stage
        .create("log")
        .unwrap()
        .write_all(b"longer than recorded")
        .unwrap();
    let files = vec![
        FileEntry::whole("archive", b"bytes"),
        FileEntry::whole("log", b"longer"),
        FileEntry::whole("gone", b""),
    ];
    stage.commit(&manifest(&id(1), None, files)).unwrap();
    let result = verify(store, &id(1), id(1).time()).unwrap();
    let found: Vec<_> = result.damage.iter().map(|d| (d.file.as_str(), d.frame)).collect();
    assert_eq!(found, [("archive", Some(0)), ("log", None), ("gone", None)]);
}
