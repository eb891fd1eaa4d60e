//! What cannot be removed is in nobody's way.
#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use vault_store::{FsStore, Manifest, Mode, Outcome, VaultId, VaultStore as _};

const NOBODY: u32 = 65_534;

fn id() -> VaultId {
    "20261123T140000".parse().unwrap()
}

fn put(store: &FsStore, id: &VaultId) {
    let stage = store.stage(id).unwrap();
    let manifest = Manifest::new(id, Mode::Hierarchical, id.time(), Outcome::Complete);
    stage.commit(&manifest).unwrap();
}

/// Does a test of this file as a user whom permissions bind; `false` if this one is such a user.
fn is_done_as_another(test: &str) -> bool {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return false;
    }
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), Permissions::from_mode(0o777)).unwrap();
    let program = root.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", test]).env("TMPDIR", root.path());
    let done = command.uid(NOBODY).gid(NOBODY).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    true
}

/// Puts a directory there of which nothing can be removed.
fn plant(directory: &Path) -> std::path::PathBuf {
    let kept = directory.join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), b"").unwrap();
    fs::set_permissions(&kept, Permissions::from_mode(0o500)).unwrap();
    kept
}

#[test]
fn what_is_in_the_way_of_a_removal_is_named_and_removed_later() {
    if is_done_as_another("what_is_in_the_way_of_a_removal_is_named_and_removed_later") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (store, staging) = (
        FsStore::open(directory.path()).unwrap(),
        directory.path().join(".staging"),
    );
    let names = || fs::read_dir(&staging).unwrap().count();
    put(&store, &id());
    plant(&directory.path().join(id().as_str()));
    store.remove(&id()).unwrap();
    assert_eq!(store.ids().unwrap(), []);
    let kept = staging.join("removed-20261123T140000/kept");
    let told = |store: &FsStore| {
        let told = store.left_over();
        assert_eq!(told.len(), 1, "{told:?}");
        let file = kept.join("file").display().to_string();
        assert!(
            told[0].starts_with(&file) && told[0].contains("denied"),
            "{told:?}"
        );
    };
    told(&store);
    assert!(!kept.with_file_name("manifest.json").exists(), "the rest is gone");
    // Another vault with its id goes as well.
    put(&store, &id());
    store.remove(&id()).unwrap();
    assert_eq!((store.ids().unwrap(), names()), (vec![], 1));
    drop(store);

    let store = FsStore::open(directory.path()).unwrap();
    assert!(store.swept().is_empty());
    told(&store);
    fs::set_permissions(&kept, Permissions::from_mode(0o700)).unwrap();
    put(&store, &id());
    assert_eq!((store.left_over(), names()), (vec![], 0));
}
