//! Sealed vaults in the first store that are others than their ids say, with sound copies in the second.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vault_store::{
    Damage, FsStore, Identities, MirroredStore, SealedStore, StoreError, StoredCopy, VaultId, VaultStore,
    Verification, verify,
};

use super::support::{id, now, put, read};

const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const ONE: &[u8] = b"one";
const OTHER: &[u8] = b"another";

/// Two directories, and who reads them.
struct Places {
    first: TempDir,
    second: TempDir,
}

impl Places {
    /// With two vaults that are copied.
    fn copied() -> Self {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let places = Self { first, second };
        let (mirrored, store) = places.open(true);
        put(&store, &id(), ONE).unwrap();
        put(&store, &other(), OTHER).unwrap();
        mirrored.refresh().unwrap();
        mirrored.mark().unwrap();
        for id in mirrored.lacking().unwrap() {
            assert!(mirrored.copy(&id, &mut |_| true).unwrap());
        }
        places
    }

    /// As a new process has them.
    fn open(&self, opens: bool) -> (MirroredStore, SealedStore) {
        let [first, second] =
            [&self.first, &self.second].map(|place| Arc::new(FsStore::open(place.path()).unwrap()));
        let identities: Option<Identities> = opens.then(|| SECRET.parse().unwrap());
        let seal = |below| SealedStore::new(below, PUBLIC.parse().unwrap(), identities.clone());
        let mirrored = MirroredStore::under(first, second, [], |store| Arc::new(seal(store)));
        mirrored.refresh().unwrap();
        let store = seal(Arc::new(mirrored.clone()));
        (mirrored, store)
    }

    /// Puts the other vault in the place of the one, with a manifest that says that it is the one.
    fn forge(&self) {
        let vault = |id: &VaultId| self.first.path().join(id.as_str());
        for file in fs::read_dir(vault(&other())).unwrap() {
            let file = file.unwrap().file_name();
            fs::copy(vault(&other()).join(&file), vault(&id()).join(&file)).unwrap();
        }
        let manifest = vault(&id()).join("manifest.json");
        let text = fs::read_to_string(&manifest).unwrap();
        let text = text.replace(other().as_str(), id().as_str());
        let sum: String = Sha256::digest(&text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        fs::write(&manifest, text).unwrap();
        fs::write(
            vault(&id()).join("manifest.json.sha256"),
            format!("{sum}  manifest.json\n"),
        )
        .unwrap();
    }

    fn copy_of_one(&self) -> Vec<(PathBuf, Vec<u8>)> {
        all(&self.second.path().join(id().as_str()))
    }
}

fn other() -> VaultId {
    "20261123T150000".parse().unwrap()
}

fn all(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn one_that_is_another_is_read_from_its_copy_and_takes_the_place_of_none() {
    let places = Places::copied();
    let before = places.copy_of_one();
    for is_known in [true, false] {
        // It is compared while the process runs, or is another one when that begins.
        let (mirrored, store) = places.open(true);
        if is_known {
            assert_eq!(mirrored.lacking().unwrap(), []);
            places.forge();
        } else {
            assert_eq!(mirrored.lacking().unwrap(), [id()]);
            let error = mirrored.copy(&id(), &mut |_| true).unwrap_err();
            assert!(
                error.to_string().contains(&format!("that of backup {}", other())),
                "{error}"
            );
            assert!(mirrored.lacks(&id()));
        }
        assert_eq!(store.manifest(&id()).unwrap().id, id());
        assert_eq!(read(&store).unwrap(), ONE);
        assert!(verify(&store, &id(), now()).unwrap().is_sound());
        assert_eq!(mirrored.copy_read(&id()), StoredCopy::Second);
        let found = &mirrored.damage()[&id()];
        assert!(
            found.iter().any(|found| found.what.contains(other().as_str())),
            "{found:?}"
        );
        assert_eq!(mirrored.copy_read(&other()), StoredCopy::First);
    }
    assert_eq!(places.copy_of_one(), before);
}

#[test]
fn where_nothing_opens_them_the_copy_stays_unless_it_is_replaced_on_purpose() {
    let places = Places::copied();
    let before = places.copy_of_one();
    places.forge();
    let (mirrored, store) = places.open(false);
    assert_eq!(mirrored.lacking().unwrap(), [id()]);
    let error = mirrored.copy(&id(), &mut |_| true).unwrap_err();
    assert!(matches!(error, StoreError::Sealed { .. }), "{error:?}");
    assert_eq!(places.copy_of_one(), before);

    let replacing = mirrored.replace(&id()).unwrap();
    put(&store, &id(), OTHER).unwrap();
    drop(replacing);
    assert_eq!(mirrored.lacking().unwrap(), [id()]);
    assert!(mirrored.copy(&id(), &mut |_| true).unwrap());
    assert_eq!(places.copy_of_one(), {
        let first = all(&places.first.path().join(id().as_str()));
        let moved = first.into_iter().map(|(path, bytes)| {
            let name = path.file_name().unwrap().to_owned();
            (places.second.path().join(id().as_str()).join(name), bytes)
        });
        moved.collect::<Vec<_>>()
    });
}

#[test]
fn one_that_is_known_to_be_damaged_takes_the_place_of_no_copy() {
    let places = Places::copied();
    let (mirrored, store) = places.open(true);
    let replacing = mirrored.replace(&id()).unwrap();
    put(&store, &id(), OTHER).unwrap();
    drop(replacing);
    let damage = Damage {
        file: "archive.zst".to_owned(),
        frame: None,
        what: "it has no znode".to_owned(),
    };
    let found = Verification::new(now(), vec![damage]);
    store.record_verification(&id(), &found).unwrap();
    let before = places.copy_of_one();
    assert_eq!(mirrored.lacking().unwrap(), [id()]);
    let error = mirrored.copy(&id(), &mut |_| true).unwrap_err();
    assert!(error.to_string().contains("it has no znode"), "{error}");
    assert_eq!(places.copy_of_one(), before);
}
