//! Directories that links lead to, or away from, and who may read them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use vault_store::{FileName, FsStore, StoreError, VaultStore as _, verify};

use super::{ARCHIVE, id, manifest, put};

#[test]
fn links_are_never_followed_listed_or_deleted_through() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("archive"), b"precious").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = FsStore::open(directory.path()).unwrap();
    symlink(outside.path(), directory.path().join(id().as_str())).unwrap();
    assert!(store.ids().unwrap().is_empty());
    assert!(matches!(
        store.open(&id(), &ARCHIVE).map(drop),
        Err(StoreError::NotFound(_))
    ));
    assert!(matches!(store.remove(&id()), Err(StoreError::NotFound(_))));
    let stage = store.stage(&id()).unwrap();
    assert!(matches!(
        stage.commit(&manifest(&id())),
        Err(StoreError::AlreadyExists(_))
    ));

    let other = id().next().unwrap();
    put(&store, &other);
    let vault = directory.path().join(other.as_str());
    fs::remove_file(vault.join("archive")).unwrap();
    symlink(outside.path().join("archive"), vault.join("archive")).unwrap();
    symlink(outside.path(), vault.join("folder")).unwrap();
    assert!(matches!(
        store.open(&other, &ARCHIVE).map(drop),
        Err(StoreError::Damaged { .. })
    ));
    store.remove(&other).unwrap();
    assert!(!vault.exists());
    assert_precious(outside.path());

    symlink(outside.path(), directory.path().join(".staging/planted")).unwrap();
    drop(store);
    FsStore::open(directory.path()).unwrap();
    assert_precious(outside.path());
    let root = tempfile::tempdir().unwrap();
    symlink(outside.path(), root.path().join(".staging")).unwrap();
    assert!(FsStore::open(root.path()).is_err());
    assert_precious(outside.path());
}

#[test]
fn a_storage_may_be_named_by_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let [place, other, link] = ["place", "other", "link"].map(|name| directory.path().join(name));
    for made in [&place, &other] {
        fs::create_dir(made).unwrap();
    }
    fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    symlink(&place, &link).unwrap();
    assert!(!FsStore::is_at(&link).unwrap());
    let store = FsStore::open(&link).unwrap();
    assert_eq!(open_to_others(&place), Vec::<String>::new());
    put(&store, &id());
    assert_eq!(store.ids().unwrap(), [id()]);
    let next = id().next().unwrap();
    put(&store, &next);
    store.remove(&next).unwrap();
    let note = FileName::from_static("note");
    store.keep_note(&note, b"n").unwrap();
    assert!(place.join(id().as_str()).join("manifest.json").exists());
    assert!(matches!(FsStore::open(&place), Err(StoreError::Locked(_))));

    // It is not where it was any more, for whoever names it.
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    assert!(matches!(store.ids(), Err(StoreError::Moved(_))));
    fs::remove_file(&link).unwrap();
    symlink(&place, &link).unwrap();
    assert_eq!(store.ids().unwrap(), [id()]);
    // Nor where the directory went with the link: it was opened by another name.
    let aside = directory.path().join("aside");
    fs::rename(&place, &aside).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&aside, &link).unwrap();
    assert!(matches!(store.ids(), Err(StoreError::Moved(_))));
    fs::rename(&aside, &place).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&place, &link).unwrap();
    assert_eq!(store.ids().unwrap(), [id()]);
    drop(store);

    assert!(FsStore::is_at(&link).unwrap());
    assert_eq!(FsStore::open_existing(&link).unwrap().ids().unwrap(), [id()]);
    assert_eq!(
        FsStore::open_replaceable(&link)
            .unwrap()
            .note(&note)
            .unwrap()
            .as_deref(),
        Some(&b"n"[..])
    );
    fs::remove_dir_all(&place).unwrap();
    let error = FsStore::open(&link).unwrap_err().to_string();
    assert!(error.contains(&*link.to_string_lossy()), "{error}");
}

fn assert_precious(outside: &Path) {
    assert_eq!(fs::read(outside.join("archive")).unwrap(), b"precious");
}

/// What other users have of permissions below `root`.
fn open_to_others(root: &Path) -> Vec<String> {
    let (mut open, mut waiting) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = waiting.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        if !found.is_symlink() && found.permissions().mode() & 0o077 != 0 {
            open.push(path.display().to_string());
        }
        if found.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    open
}

#[test]
fn a_storage_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("new/storage");
    let store = FsStore::open(&root).unwrap();
    let mut stage = store.stage(&id().next().unwrap()).unwrap();
    stage.create(&ARCHIVE).unwrap().write_all(b"half").unwrap();
    put(&store, &id());
    let sound = verify(&store, &id(), id().time()).unwrap();
    store.record_verification(&id(), &sound).unwrap();
    assert_eq!(open_to_others(&root), [""; 0]);
    assert_eq!(store.tightened().closed, 0);
    drop((stage, store));

    // As it was written before this was so.
    let outside = directory.path().join("outside");
    fs::write(&outside, b"of others").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&outside, root.join("planted")).unwrap();
    fs::create_dir(root.join("tmp")).unwrap();
    let vault = root.join(id().as_str());
    for (path, mode) in [
        (root.clone(), 0o755),
        (vault.clone(), 0o755),
        (vault.join("archive"), 0o644),
        (root.join("tmp"), 0o770),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let store = FsStore::open(&root).unwrap();
    assert_eq!(store.tightened().closed, 3);
    assert_eq!(store.tightened().left_open, [""; 0]);
    let tmp = root.join("tmp").display().to_string();
    assert_eq!(open_to_others(&root), [tmp], "agents fill it");
    assert_eq!(
        fs::metadata(&outside).unwrap().permissions().mode() & 0o777,
        0o644
    );
    assert!(verify(&store, &id(), id().time()).unwrap().is_sound());
}
