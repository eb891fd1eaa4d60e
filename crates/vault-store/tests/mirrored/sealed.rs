//! Sealed vaults in the first store that are others than their ids say, with sound copies in the second.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vault_store::{
    Damage, FaultyVaults, FsStore, Identities, MirroredStore, SealedStore, StoreError, StoredCopy, VaultCall,
    VaultFault, VaultId, VaultStore, Verification, verify,
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
        let (mirrored, store, _) = self.open_over_faults(opens);
        (mirrored, store)
    }

    /// The same, with what is around the two places.
    fn open_over_faults(&self, opens: bool) -> (MirroredStore, SealedStore, [FaultyVaults; 2]) {
        let faulty = [&self.first, &self.second]
            .map(|place| FaultyVaults::new(Arc::new(FsStore::open(place.path()).unwrap())));
        let [first, second] = faulty.clone().map(Arc::new);
        let identities: Option<Identities> = opens.then(|| SECRET.parse().unwrap());
        let seal = |below| SealedStore::new(below, PUBLIC.parse().unwrap(), identities.clone());
        let mirrored = MirroredStore::under(first, second, [], |store| Arc::new(seal(store)));
        mirrored.refresh().unwrap();
        let store = seal(Arc::new(mirrored.clone()));
        (mirrored, store, faulty)
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

    /// Whether the copy of the one is what the first place has of it now.
    fn are_alike(&self) -> bool {
        let names = |all: Vec<(PathBuf, Vec<u8>)>| {
            let name = |path: PathBuf| path.file_name().unwrap().to_owned();
            all.into_iter()
                .map(|(path, bytes)| (name(path), bytes))
                .collect::<Vec<_>>()
        };
        names(all(&self.first.path().join(id().as_str()))) == names(self.copy_of_one())
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
    assert!(matches!(error.source, StoreError::Sealed { .. }), "{error:?}");
    assert_eq!(places.copy_of_one(), before);

    let replacing = mirrored.replace(&id()).unwrap();
    put(&store, &id(), OTHER).unwrap();
    replacing.committed().unwrap();
    mirrored.remove_evicted(now()).unwrap();
    assert_eq!(mirrored.lacking().unwrap(), [id()]);
    assert!(mirrored.copy(&id(), &mut |_| true).unwrap());
    assert!(places.are_alike());
}

#[test]
fn one_that_was_not_replaced_after_all_is_meant_no_more_than_before() {
    let places = Places::copied();
    let before = places.copy_of_one();
    places.forge();
    let (mirrored, store, [first, _]) = places.open_over_faults(false);
    assert_eq!(mirrored.lacking().unwrap(), [id()]);
    first.plan(VaultCall::Remove, 1, VaultFault::Fail);
    mirrored.replace(&id()).unwrap_err();
    let error = mirrored.copy(&id(), &mut |_| true).unwrap_err();
    assert!(matches!(error.source, StoreError::Sealed { .. }), "{error:?}");
    assert_eq!(places.copy_of_one(), before);

    // Where what is noted is lost it is meant all the same: it is there.
    let replacing = mirrored.replace(&id()).unwrap();
    put(&store, &id(), OTHER).unwrap();
    first.plan(VaultCall::KeepNote, 1, VaultFault::Fail);
    replacing.committed().unwrap_err();
    assert_eq!(mirrored.lacking().unwrap(), [id()]);
    assert!(mirrored.copy(&id(), &mut |_| true).unwrap());
    assert!(places.are_alike());
}

#[test]
fn a_second_place_that_is_away_for_a_moment_does_not_make_another_vault_the_one_that_is_meant() {
    let places = Places::copied();
    places.forge();
    for nth in [1, 2] {
        let (_, store, [_, second]) = places.open_over_faults(true);
        second.plan(VaultCall::Manifest, nth, VaultFault::Fail);
        store.manifest(&id()).unwrap_err();
        assert_eq!(second.left(), 0);
        assert_eq!(store.manifest(&id()).unwrap().id, id());
        assert_eq!(read(&store).unwrap(), ONE);
    }
}

#[test]
fn one_that_is_known_to_be_damaged_takes_the_place_of_no_copy() {
    let places = Places::copied();
    let (mirrored, store, [first, _]) = places.open_over_faults(true);
    let replacing = mirrored.replace(&id()).unwrap();
    put(&store, &id(), OTHER).unwrap();
    first.plan(VaultCall::KeepNote, 1, VaultFault::Fail);
    replacing.committed().unwrap_err(); // else its copy goes, whatever is found of it then
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

#[test]
fn a_copy_that_is_damaged_is_found_and_made_anew_by_who_cannot_open_it() {
    let places = Places::copied();
    let before = places.copy_of_one();
    let (mirrored, _store) = places.open(false);
    let verified = |mirrored: &MirroredStore| mirrored.verify_copy(&id(), now(), &mut |_| true).unwrap();
    assert!(verified(&mirrored).unwrap().is_sound());
    let archive = places.second.path().join(id().as_str()).join("archive.zst");
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    assert!(!verified(&mirrored).unwrap().is_sound());
    assert!(mirrored.copy(&id(), &mut |_| true).unwrap());
    assert_eq!(places.copy_of_one(), before);
}
