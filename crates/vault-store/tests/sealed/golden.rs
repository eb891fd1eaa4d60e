//! A vault as version 3 was first written, which is read for ever: `golden`, laid out as a storage is.

use std::fs;
use std::path::{Path, PathBuf};

use vault_store::{VaultStore, verify};

use crate::support::{ARCHIVE, DATA, MANIFEST_AGE, expected, id, identities, put, sealed};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sealed/golden")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_sealed_vault_of_version_3_is_read() {
    let storage = tempfile::tempdir().unwrap();
    let vault = Path::new("granular").join(id(1).as_str());
    copy(&golden().join(&vault), &storage.path().join(&vault));
    for identities in [None, Some(identities())] {
        let opens = identities.is_some();
        let store = sealed(storage.path(), identities);
        assert_eq!(store.ids().unwrap(), [id(1)]);
        assert!(verify(&store, &id(1), id(1).time()).unwrap().is_sound());
        let manifest = store.manifest(&id(1)).unwrap();
        let mut bytes = vec![0; DATA.len()];
        let read = store.open(&id(1), &ARCHIVE).unwrap().read_at(0, &mut bytes);
        assert_eq!(read.unwrap(), DATA.len());
        assert_eq!((manifest.sealed.is_none(), bytes == DATA), (opens, opens));
        if opens {
            assert_eq!(manifest, expected(&id(1), manifest.files.clone()));
        } else {
            let names: Vec<_> = manifest.files.iter().map(|file| &file.name).collect();
            assert_eq!(names, [&ARCHIVE, &MANIFEST_AGE]);
        }
    }
}

#[test]
#[ignore = "makes the vault anew"]
fn make() {
    let storage = tempfile::tempdir().unwrap();
    put(&sealed(storage.path(), None), &id(1), DATA);
    let vault = Path::new("granular").join(id(1).as_str());
    copy(&storage.path().join(&vault), &golden().join(&vault));
}
