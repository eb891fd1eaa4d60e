//! A second place that cannot be used yet, or only be read.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use vault_store::conformance::Subject;
use vault_store::{FileName, FsStore, LateStore, MemoryStore, MirroredStore, StoreError, VaultStore};

use super::support::{id, now, put, read};

const BYTES: &[u8] = b"one two three four";

struct Late {
    directory: TempDir,
    root: PathBuf,
    store: MirroredStore,
}

impl Late {
    /// A vault whose copies go to a directory in which `prepare` has done something.
    fn new(prepare: impl FnOnce(&PathBuf)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("copies");
        prepare(&root);
        let second = Arc::new(LateStore::new(&root, "A_SETTING"));
        let store = MirroredStore::new(Arc::new(MemoryStore::new()), second, []);
        put(&store, &id(), BYTES).unwrap();
        Self {
            directory,
            root,
            store,
        }
    }

    fn copy(&self) -> Result<(), StoreError> {
        let listed = self.store.refresh();
        self.store.mark()?;
        listed?;
        self.store.remove_evicted(now())?;
        for id in self.store.lacking()? {
            self.store.copy(&id, &mut |_| true)?;
        }
        Ok(())
    }
}

#[test]
fn it_is_named_where_it_cannot_be_opened_and_used_once_it_can() {
    let late = Late::new(|root| fs::write(root, b"").unwrap());
    for _ in 0..2 {
        let error = late.copy().unwrap_err();
        let said = error.to_string();
        let at = late.root.display().to_string();
        assert!(
            said.starts_with("A_SETTING: ") && said.contains(&at) && error.may_pass(),
            "{said}"
        );
        assert_eq!(read(&late.store).unwrap(), BYTES);
    }
    fs::remove_file(&late.root).unwrap();
    late.copy().unwrap();
    let copies = late.root.join(id().as_str());
    assert!(copies.join("manifest.json").exists());
    let held = FsStore::open(&late.root);
    assert!(matches!(held, Err(StoreError::Locked(_))), "{held:?}");
    assert!(late.directory.path().exists());
}

#[test]
fn one_that_another_holds_is_away_until_that_has_ended() {
    let mut holder = None;
    let late = Late::new(|root| holder = Some(FsStore::open(root).unwrap()));
    let said = late.copy().unwrap_err().to_string();
    assert!(
        said.starts_with("A_SETTING: ") && said.contains("in use"),
        "{said}"
    );
    drop(holder);
    late.copy().unwrap();
    assert!(!late.store.lacks(&id()));
}

#[test]
fn what_cannot_be_written_is_read() {
    let next = id().next().unwrap();
    let late = Late::new(|root| {
        put(&FsStore::open(root).unwrap(), &next, BYTES).unwrap();
        // It cannot be opened to be written, whoever tries.
        fs::remove_dir(root.join(".staging")).unwrap();
        fs::write(root.join(".staging"), b"").unwrap();
    });
    late.store.refresh().unwrap();
    assert_eq!(late.store.ids().unwrap(), [id(), next.clone()]);
    assert_eq!(late.store.manifest(&next).unwrap().id, next);
    for _ in 0..2 {
        let said = late.copy().unwrap_err().to_string();
        assert!(said.starts_with("A_SETTING: "), "{said}");
        assert_eq!(late.store.manifest(&next).unwrap().id, next);
    }
    fs::remove_file(late.root.join(".staging")).unwrap();
    late.copy().unwrap();
    assert!(!late.store.lacks(&id()));
}

/// As a disk is that is mounted over it.
#[test]
fn another_directory_in_its_place_is_held_and_gets_all_copies_once_it_is_meant() {
    let late = Late::new(|_| {});
    late.copy().unwrap();
    let aside = late.directory.path().join("aside");
    fs::rename(&late.root, &aside).unwrap();
    fs::create_dir(&late.root).unwrap();
    let said = late.copy().unwrap_err().to_string();
    assert!(said.contains("may not be mounted"), "{said}");
    let held = FsStore::open(&late.root);
    assert!(matches!(held, Err(StoreError::Locked(_))), "{held:?}");

    let place = FileName::from_static("second-place");
    late.store.keep_note(&place, b"any").unwrap();
    late.copy().unwrap();
    assert!(late.root.join(id().as_str()).join("manifest.json").exists());
    assert!(!late.store.lacks(&id()));
    // The other one is not held any more.
    assert_eq!(FsStore::open(&aside).unwrap().ids().unwrap(), [id()]);
}

mod as_any_other {
    use super::*;

    fn subject() -> Subject {
        let directory = tempfile::tempdir().unwrap();
        Subject::new(move || LateStore::new(directory.path().join("late"), "A_SETTING"))
    }

    vault_store::conformance_tests!(subject());
}
