//! The behaviour suite over both stores, and what only a filesystem can do to a vault.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use vault_store::conformance::Subject;
use vault_store::{
    FaultyVaults, FileName, FsStore, Manifest, MemoryStore, Mode, Outcome, PredecessorStore, StoreError,
    VaultCall, VaultFault, VaultId, VaultStore, conformance, verify,
};

const ARCHIVE: FileName = FileName::from_static("archive");
const LOG: FileName = FileName::from_static("job.log");

fn id() -> VaultId {
    "20261123T140000".parse().unwrap()
}

fn manifest(id: &VaultId) -> Manifest {
    Manifest::new(id, Mode::Hierarchical, id.time(), Outcome::Complete)
}

fn put(store: &FsStore, id: &VaultId) {
    let mut stage = store.stage(id).unwrap();
    let files = vec![
        stage.put(&ARCHIVE, b"one two three").unwrap(),
        stage.put(&LOG, b"said").unwrap(),
    ];
    stage
        .commit(&Manifest {
            files,
            ..manifest(id)
        })
        .unwrap();
}

mod places;

mod memory {
    vault_store::conformance_tests!(super::Subject::new(super::MemoryStore::new).not_durable());
}

mod filesystem {
    use super::{FsStore, Subject};

    fn subject() -> Subject {
        let directory = tempfile::tempdir().unwrap();
        Subject::new(move || FsStore::open(directory.path()).unwrap())
    }

    vault_store::conformance_tests!(subject());
}

mod beside_the_predecessors {
    use std::sync::Arc;

    use super::{FsStore, PredecessorStore, Subject};

    fn subject() -> Subject {
        let directory = tempfile::tempdir().unwrap();
        Subject::new(move || {
            let place = Arc::new(FsStore::open(directory.path()).unwrap());
            PredecessorStore::new(Arc::clone(&place) as _, place)
        })
    }

    vault_store::conformance_tests!(subject());
}

#[test]
fn a_store_without_planned_faults_conforms() {
    let faultless = || FaultyVaults::new(Arc::new(MemoryStore::new()));
    conformance::all(|| Subject::new(faultless).not_durable());
}

#[test]
fn planned_faults_meet_the_calls_they_are_for() {
    let (below, id) = (MemoryStore::new(), id());
    let vaults = FaultyVaults::new(Arc::new(below.clone()));
    let commit = || {
        let mut stage = vaults.stage(&id)?;
        let files = vec![stage.put(&ARCHIVE, b"bytes")?];
        stage.commit(&Manifest {
            files,
            ..manifest(&id)
        })
    };
    for call in [
        VaultCall::Stage,
        VaultCall::Create,
        VaultCall::Write,
        VaultCall::Finish,
        VaultCall::Commit,
    ] {
        vaults.plan(call, 1, VaultFault::Fail);
        let refused = commit().unwrap_err().to_string();
        assert!(refused.contains(&format!("{call:?}")), "{refused}");
        assert_eq!(below.ids().unwrap(), [], "{call:?}");
    }
    vaults.plan(VaultCall::Commit, 1, VaultFault::LoseAnswer);
    assert!(commit().is_err());
    assert_eq!(below.ids().unwrap(), std::slice::from_ref(&id));
    for call in [VaultCall::Open, VaultCall::ReadAt] {
        vaults.plan(call, 1, VaultFault::Fail);
        let refused = verify(&vaults, &id, id.time()).unwrap_err().to_string();
        assert!(refused.contains(&format!("{call:?}")), "{refused}");
        assert!(verify(&vaults, &id, id.time()).unwrap().is_sound());
    }

    let other = vaults.clone();
    let delay = VaultFault::Delay(Box::new(move || other.cut()));
    vaults.plan(None, 2, delay);
    assert!(vaults.manifest(&id).is_ok());
    assert_eq!(vaults.left(), 1);
    assert!(vaults.remove(&id).is_err() && vaults.ids().is_err());
    assert_eq!((vaults.left(), below.ids().unwrap()), (0, vec![id]));
}

#[test]
fn a_second_holder_is_refused_and_told_which_storage() {
    let directory = tempfile::tempdir().unwrap();
    let first = FsStore::open(directory.path()).unwrap();
    let refused = FsStore::open(directory.path()).unwrap_err();
    assert!(matches!(refused, StoreError::Locked(_)));
    assert!(
        refused.to_string().contains(&*directory.path().to_string_lossy()),
        "{refused}"
    );
    drop(first);
    FsStore::open(directory.path()).unwrap();
}

/// Without another process: until a child has begun its program it holds the locks of all stores of this one.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn a_storage_that_was_replaced_is_neither_read_nor_written_until_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let (place, aside) = (directory.path().join("storage"), directory.path().join("aside"));
    let note = FileName::from_static("note");
    let store = FsStore::open(&place).unwrap();
    put(&store, &id());
    let stage = store.stage(&id().next().unwrap()).unwrap();
    fs::rename(&place, &aside).unwrap();
    for is_copied in [false, true] {
        if is_copied {
            // The files are the same, the lock is not.
            copy(&aside, &place);
        } else {
            fs::create_dir(&place).unwrap();
        }
        let failed = [
            store.check_in_place().err(),
            store.ids().err(),
            store.manifest(&id()).err(),
            store.remove(&id()).err(),
            store.stage(&id().next().unwrap()).err(),
            store.note(&note).err(),
            store.keep_note(&note, b"n").err(),
        ];
        for error in failed {
            assert!(matches!(error, Some(StoreError::Moved(_))), "{error:?}");
        }
        if is_copied {
            break;
        }
        fs::remove_dir(&place).unwrap();
        assert!(matches!(store.ids(), Err(StoreError::Moved(_))), "it is gone");
    }
    drop(stage);
    let staged = place.join(".staging").join(id().next().unwrap().as_str());
    assert!(staged.exists(), "what is there is not ours to remove");
    fs::remove_dir_all(&place).unwrap();
    fs::rename(&aside, &place).unwrap();
    assert_eq!(store.ids().unwrap(), [id()]);
    store.remove(&id()).unwrap();
    drop(store);

    // A disk that is mounted late is taken as it is.
    let replaceable = FsStore::open_replaceable(&place).unwrap();
    fs::rename(&place, &aside).unwrap();
    put(&FsStore::open(&place).unwrap(), &id());
    assert_eq!(replaceable.ids().unwrap(), [id()]);
}

#[test]
fn a_storage_is_looked_into_as_it_is() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let note = directory.path().join("note");
    fs::write(&note, b"mine").unwrap();
    fs::set_permissions(&note, fs::Permissions::from_mode(0o644)).unwrap();
    let error = FsStore::open_existing(directory.path()).unwrap_err().to_string();
    assert!(error.contains("it is no storage"), "{error}");
    assert_eq!(
        (mode(&note), fs::read_dir(directory.path()).unwrap().count()),
        (0o644, 1)
    );

    let storage = directory.path().join("storage");
    let store = FsStore::open(&storage).unwrap();
    put(&store, &id());
    assert!(matches!(
        FsStore::open_existing(&storage),
        Err(StoreError::Locked(_))
    ));
    drop(store);
    fs::write(storage.join(".staging/half"), b"").unwrap();
    fs::set_permissions(&storage, fs::Permissions::from_mode(0o755)).unwrap();
    let looked = FsStore::open_existing(&storage).unwrap();
    assert_eq!(looked.ids().unwrap(), [id()]);
    assert!(matches!(FsStore::open(&storage), Err(StoreError::Locked(_))));
    assert!(storage.join(".staging/half").exists() && mode(&storage) == 0o755);
    drop(looked);

    // A copy with nothing but vaults.
    for left in [".lock", ".reserve", ".staging/half"] {
        fs::remove_file(storage.join(left)).unwrap();
    }
    for left in [".staging", "granular"] {
        fs::remove_dir(storage.join(left)).unwrap();
    }
    assert_eq!(FsStore::open_existing(&storage).unwrap().ids().unwrap(), [id()]);
    assert_eq!(fs::read_dir(&storage).unwrap().count(), 1);
}

#[test]
fn what_a_crash_left_is_swept_and_never_listed() {
    let directory = tempfile::tempdir().unwrap();
    let store = FsStore::open(directory.path()).unwrap();
    put(&store, &id());
    let mut stage = store.stage(&id().next().unwrap()).unwrap();
    stage.create(&ARCHIVE).unwrap().write_all(b"half").unwrap();
    std::mem::forget(stage); // as a killed process does
    assert_eq!(store.ids().unwrap(), [id()]);
    drop(store);
    let store = FsStore::open(directory.path()).unwrap();
    assert_eq!(store.swept(), [id().next().unwrap().to_string()]);
    assert_eq!(
        fs::read_dir(directory.path().join(".staging")).unwrap().count(),
        0
    );
    assert!(verify(&store, &id(), id().time()).unwrap().is_sound());
}

#[test]
fn one_flipped_byte_or_a_truncation_in_any_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = FsStore::open(directory.path()).unwrap();
    put(&store, &id());
    let vault = directory.path().join(id().as_str());
    for name in ["archive", "job.log", "manifest.json", "manifest.json.sha256"] {
        let path = vault.join(name);
        let sound = fs::read(&path).unwrap();
        for broken in [
            flip(&sound),
            sound[..sound.len() - 1].to_vec(),
            [&sound[..], b"x"].concat(),
            Vec::new(),
        ] {
            fs::write(&path, broken).unwrap();
            let result = verify(&store, &id(), id().time()).unwrap();
            let blamed = name.trim_end_matches(".sha256");
            assert!(
                result.damage.iter().any(|d| d.file == blamed),
                "{name}: {result:?}"
            );
        }
        fs::write(&path, sound).unwrap();
        assert!(verify(&store, &id(), id().time()).unwrap().is_sound());
    }
}

fn flip(bytes: &[u8]) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    flipped
}

#[test]
fn storage_that_is_no_directory_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = FsStore::open(&file).unwrap_err().to_string();
    assert!(error.contains(&*file.to_string_lossy()), "{error}");
}
