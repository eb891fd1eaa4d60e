//! Several stores as one: the behaviour suite, and what only several can do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;

use vault_store::conformance::Subject;
use vault_store::{
    FaultyVaults, FileName, FsStore, Manifest, MemoryStore, MirroredStore, Mode, NamedVaults, Outcome, Stage,
    StoreError, VaultCall, VaultFault, VaultId, VaultRead, VaultStore, Verification,
};

const ARCHIVE: FileName = FileName::from_static("archive");

fn id(second: u8) -> VaultId {
    format!("20261123T1400{second:02}").parse().unwrap()
}

fn write(stage: Result<Box<dyn Stage>, StoreError>, id: &VaultId) {
    let mut stage = stage.unwrap();
    let files = vec![stage.put(&ARCHIVE, id.as_str().as_bytes()).unwrap()];
    let manifest = Manifest::new(id, Mode::Hierarchical, id.time(), Outcome::Complete);
    stage.commit(&Manifest { files, ..manifest }).unwrap();
}

fn put(store: &dyn VaultStore, id: &VaultId) {
    write(store.stage(id), id);
}

/// Two stores in memory, and both as one.
struct World {
    first: FaultyVaults,
    archive: FaultyVaults,
    all: NamedVaults,
}

fn world() -> World {
    let [first, archive] = [(); 2].map(|()| FaultyVaults::new(Arc::new(MemoryStore::new())));
    World {
        all: named(first.clone(), archive.clone()),
        first,
        archive,
    }
}

fn named(first: impl VaultStore + 'static, archive: impl VaultStore + 'static) -> NamedVaults {
    let further = [("archive".to_owned(), Arc::new(archive) as Arc<dyn VaultStore>)];
    NamedVaults::new("default", Arc::new(first), further)
}

fn directories(at: &Path) -> NamedVaults {
    named(
        FsStore::open(at.join("first")).unwrap(),
        FsStore::open(at.join("archive")).unwrap(),
    )
}

/// Begins all vaults in the second of two stores.
struct InArchive(NamedVaults);

impl VaultStore for InArchive {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        self.0.ids()
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.0.manifest(id)
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.0.stage_in(Some("archive"), id)
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        self.0.open(id, file)
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.0.remove(id)
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.0.size(id)
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        self.0.record_verification(id, result)
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        self.0.verification(id)
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.note(name)
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.keep_note(name, bytes)
    }
}

mod in_the_default_store {
    use super::*;

    fn subject() -> Subject {
        let place = tempfile::tempdir().unwrap();
        Subject::new(move || directories(place.path()))
    }

    vault_store::conformance_tests!(subject());
}

mod in_a_further_store {
    use super::*;

    fn subject() -> Subject {
        let place = tempfile::tempdir().unwrap();
        Subject::new(move || InArchive(directories(place.path())))
    }

    vault_store::conformance_tests!(subject());
}

#[test]
fn each_vault_is_in_the_store_that_was_named_and_all_are_listed() {
    let World { first, archive, all } = world();
    assert_eq!(all.names().collect::<Vec<_>>(), ["default", "archive"]);
    write(all.stage_in(Some("archive"), &id(1)), &id(1));
    write(all.stage_in(Some("default"), &id(2)), &id(2));
    write(all.stage_in(None, &id(3)), &id(3));
    put(&all, &id(4));
    assert_eq!(archive.ids().unwrap(), [id(1)]);
    assert_eq!(first.ids().unwrap(), [id(2), id(3), id(4)]);
    // One that was just made knows nothing yet.
    let anew = named(first.clone(), archive.clone());
    for vaults in [&all, &anew] {
        assert_eq!(vaults.storage_of(&id(1)).unwrap(), "archive");
        assert_eq!(vaults.storage_of(&id(4)).unwrap(), "default");
        assert!(matches!(vaults.storage_of(&id(5)), Err(StoreError::NotFound(_))));
        assert_eq!(vaults.ids().unwrap(), [id(1), id(2), id(3), id(4)]);
    }
    let nowhere = all.stage_in(Some("nowhere"), &id(5)).err().unwrap();
    assert!(matches!(&nowhere, StoreError::NoStorage(name) if name == "nowhere"));
    let alone = MemoryStore::new().stage_in(Some("archive"), &id(5)).err();
    assert!(matches!(alone, Some(StoreError::NoStorage(_))));

    all.remove(&id(1)).unwrap();
    assert!(archive.ids().unwrap().is_empty());
    assert_eq!(all.ids().unwrap().len(), 3);

    let note = FileName::from_static("pins");
    all.keep_note(&note, b"kept").unwrap();
    assert_eq!(first.note(&note).unwrap().unwrap(), b"kept");
    assert_eq!(archive.note(&note).unwrap(), None);
}

#[test]
fn a_store_that_is_away_is_named_and_keeps_nobody_from_the_default_one() {
    let World { first, archive, all } = world();
    put(&first, &id(1));
    put(&archive, &id(2));
    archive.cut();
    let refused = all.ids().unwrap_err();
    assert!(refused.may_pass());
    let said = refused.to_string();
    assert!(said.starts_with("storage archive: "), "{said}");
    // It is not asked again at once, and the answer is the same.
    assert_eq!(all.ids().unwrap_err().to_string(), said);
    put(&all, &id(3));
    assert_eq!(all.size(&id(3)).unwrap(), first.size(&id(3)).unwrap());
    all.manifest(&id(1)).unwrap();
    assert_eq!(all.ids_at_hand().unwrap(), [id(1), id(3)]);
    all.remove(&id(1)).unwrap();
    // Whether it has that one is not known.
    let unknown = all.manifest(&id(2)).unwrap_err();
    assert!(unknown.may_pass() && unknown.to_string().starts_with("storage archive: "));
}

#[test]
fn a_default_store_that_is_away_is_asked_each_time() {
    let World { first, all, .. } = world();
    put(&first, &id(1));
    first.plan(VaultCall::Ids, 1, VaultFault::Fail);
    let said = all.ids().unwrap_err().to_string();
    assert!(said.starts_with("storage default: "), "{said}");
    assert_eq!(all.ids().unwrap(), [id(1)]);
}

#[test]
fn one_id_in_two_stores_is_one_damaged_vault_that_is_not_removed() {
    let World { first, archive, all } = world();
    put(&first, &id(1));
    put(&archive, &id(1));
    put(&archive, &id(2));
    assert_eq!(all.ids().unwrap(), [id(1), id(2)]);
    let twins = [
        all.manifest(&id(1)).err(),
        all.manifest_as_is(&id(1)).err(),
        all.open(&id(1), &ARCHIVE).err(),
        all.remove(&id(1)).err(),
    ];
    for refused in twins {
        let refused = refused.unwrap();
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
        assert!(
            refused.to_string().contains("default, archive each have"),
            "{refused}"
        );
    }
    assert!(first.manifest(&id(1)).is_ok() && archive.manifest(&id(1)).is_ok());
    all.manifest(&id(2)).unwrap();

    archive.remove(&id(1)).unwrap();
    all.ids().unwrap();
    all.manifest(&id(1)).unwrap();
}

#[test]
fn what_another_process_has_put_elsewhere_is_found_there() {
    let World { first, archive, all } = world();
    put(&archive, &id(1));
    all.ids().unwrap();
    archive.remove(&id(1)).unwrap();
    assert!(matches!(all.manifest(&id(1)), Err(StoreError::NotFound(_))));
    all.ids().unwrap();
    put(&archive, &id(2));
    all.ids().unwrap();
    archive.remove(&id(2)).unwrap();
    put(&first, &id(2));
    all.manifest(&id(2)).unwrap();
    assert_eq!(all.storage_of(&id(2)).unwrap(), "default");
}

#[test]
fn second_copies_are_made_of_the_vaults_of_all_stores() {
    let World { archive, all, .. } = world();
    let second = Arc::new(MemoryStore::new());
    let mirror = MirroredStore::new(Arc::new(all), Arc::clone(&second) as _, []);
    write(mirror.stage_in(Some("archive"), &id(1)), &id(1));
    put(&mirror, &id(2));
    assert_eq!(archive.ids().unwrap(), [id(1)]);
    mirror.refresh().unwrap();
    mirror.mark().unwrap();
    for lacking in mirror.lacking().unwrap() {
        assert!(mirror.copy(&lacking, &mut |_| true).unwrap());
    }
    assert_eq!(second.ids().unwrap(), [id(1), id(2)]);
    archive.cut();
    assert_eq!(mirror.ids().unwrap(), [id(1), id(2)]);
    assert!(mirror.trouble().unwrap().starts_with("storage archive: "));
}
