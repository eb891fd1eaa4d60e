//! What people check by hand. Alone in its program: one that is just being started still has the locks of the one that starts it.
#![allow(clippy::unwrap_used)]

use vault_store::{FsStore, Manifest, Mode, Outcome, VaultId, VaultStore};

#[test]
fn the_checksum_beside_the_manifest_is_what_sha256sum_checks() {
    let directory = tempfile::tempdir().unwrap();
    let store = FsStore::open(directory.path()).unwrap();
    let id: VaultId = "20261123T140000".parse().unwrap();
    let manifest = Manifest::new(&id, Mode::Hierarchical, id.time(), Outcome::Complete);
    store.stage(&id).unwrap().commit(&manifest).unwrap();
    let vault = directory.path().join(id.as_str());
    let status = std::process::Command::new("sha256sum")
        .args(["--status", "-c", "manifest.json.sha256"])
        .current_dir(vault)
        .status()
        .unwrap();
    assert!(status.success());
}
