//! Vaults of every format version, which are read for ever: `golden/vaults`, laid out as a storage is.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backup_engine::{BackupRequest, Engine, FilesSource, MemoryEnsemble, Mode, StateSource};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::watch;
use zk_snapshot::files::DataDirs;
use zk_snapshot::tree::{Acl, MemoryTree, ZnodePath};

use crate::golden;
use crate::server::{Gated, digest, tree};

/// Oldest first.
pub(crate) fn ids() -> Vec<String> {
    let root = golden::directory().join("vaults");
    let mut ids: Vec<_> = [root.clone(), root.join("granular")]
        .iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "granular")
        .collect();
    ids.sort();
    ids
}

pub(crate) fn copy_to(storage: &Path) {
    copy(&golden::directory().join("vaults"), storage);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Makes a vault of the version that is written today, as of `at`, and puts it beside those that are there.
fn make(tree: Arc<MemoryTree>, at: OffsetDateTime, request: BackupRequest, accept: impl Fn(&Path) -> bool) {
    let storage = tempfile::tempdir().unwrap();
    let (_gate, open) = watch::channel(true);
    let memory = MemoryEnsemble::new(tree);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/zk-snapshot/tests/golden/3.9.5");
    let files = tempfile::tempdir().unwrap();
    copy(&data, &files.path().join("version-2"));
    fs::remove_file(files.path().join("version-2/znodes.jsonl")).unwrap();
    let dirs = DataDirs::same(files.path());
    let states: Vec<Arc<dyn StateSource>> = vec![Arc::new(FilesSource(dirs))];
    let engine = Engine::builder(Arc::new(Gated { memory, open }))
        .storage(storage.path())
        .unwrap()
        .clock(Arc::new(move || at))
        .states(states)
        .build()
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let id = runtime.block_on(async {
        let id = engine.backup(request).await.unwrap();
        while engine.step().await.unwrap() {}
        id
    });
    let within = ["", "granular"]
        .into_iter()
        .find(|below| storage.path().join(below).join(&id).exists());
    let place = Path::new(within.unwrap()).join(&id);
    let vault = storage.path().join(&place);
    if accept(&vault) {
        copy(&vault, &golden::directory().join("vaults").join(place));
    }
}

/// Run by hand where the format gets a new version: `cargo test -p zk-backup-testkit --test wire -- --ignored`.
/// Those of earlier versions stay as they are.
#[test]
#[ignore = "writes golden files"]
fn vaults_of_the_present_version_are_made() {
    let whole = BackupRequest::default;
    make(tree(), datetime!(2026-11-20 00:00:00 UTC), whole(), |_| true);
    let masked = tree();
    masked.put("/app/masked", b"", digest(31, "bob:x")).unwrap();
    let part = BackupRequest {
        roots: vec![ZnodePath::parse("/app").unwrap()],
        pinned: true,
        ..whole()
    };
    make(masked, datetime!(2026-11-21 00:00:00 UTC), part, |_| true);
    let transactional = BackupRequest {
        mode: Mode::Transactional,
        ..whole()
    };
    make(tree(), datetime!(2026-11-22 00:00:00 UTC), transactional, |_| {
        true
    });
    let nowhere = BackupRequest {
        roots: vec![ZnodePath::parse("/nowhere").unwrap()],
        ..whole()
    };
    make(tree(), datetime!(2026-11-23 00:00:00 UTC), nowhere, |_| true);

    let moving = tree();
    (0..300).for_each(|i| moving.put(&format!("/many/n{i:03}"), b"", Acl::open()).unwrap());
    let (stop, writing) = (Arc::new(AtomicBool::new(false)), Arc::clone(&moving));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        for i in (0..).take_while(|_| !stopped.load(Ordering::Relaxed)) {
            let path = format!("/many/n{:03}", i % 300);
            writing.put(&path, i.to_string().as_bytes(), Acl::open()).unwrap();
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
    });
    let made = std::cell::Cell::new(false);
    while !made.get() {
        make(
            Arc::clone(&moving),
            datetime!(2026-11-24 00:00:00 UTC),
            whole(),
            |vault| {
                made.set(vault.join("amendments.zst").exists());
                made.get()
            },
        );
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}
