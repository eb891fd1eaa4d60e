//! What the predecessor left, as a store tells it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_store::{
    FsStore, Manifest, Mode, Outcome, PredecessorStore, StoreError, VaultId, VaultStore, Verification, verify,
};
use zip::write::{SimpleFileOptions, ZipWriter};

const DONE: &str = "[INFO] Started\n[INFO] Backup completed successfully.\n\n";

fn id() -> VaultId {
    "20261123T140000".parse().unwrap()
}

fn opened(root: &Path) -> PredecessorStore {
    let place = Arc::new(FsStore::open(root).unwrap());
    PredecessorStore::new(Arc::clone(&place) as _, place)
}

/// The directory of a backup with these files.
fn left(directory: PathBuf, files: &[(&str, &str)]) -> PathBuf {
    fs::create_dir_all(&directory).unwrap();
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
    directory
}

fn archive(directory: &Path, entries: &[&str]) {
    let mut zip = ZipWriter::new(File::create(directory.join("znodes.zip")).unwrap());
    for name in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(b"text").unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn what_the_predecessor_left_is_told_beside_ours_and_checked_beside_itself() {
    let directory = tempfile::tempdir().unwrap();
    let theirs: VaultId = "20240105T100000".parse().unwrap();
    let left = directory.path().join("granular").join(theirs.as_str());
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join(".metrics"), r#"{"exit_code": "0", "spent_time": 1500}"#).unwrap();
    fs::write(left.join(".evictlock"), "").unwrap();
    fs::write(left.join("log.1"), "a log").unwrap();
    fs::write(left.join("snapshot.0"), "a snapshot").unwrap();
    let files = || fs::read_dir(&left).unwrap().count();
    let place = Arc::new(FsStore::open(directory.path()).unwrap());
    let own = Manifest::new(&id(), Mode::Hierarchical, id().time(), Outcome::Complete);
    place.stage(&id()).unwrap().commit(&own).unwrap();
    assert_eq!(place.ids().unwrap(), [id()]);
    let store = PredecessorStore::new(Arc::clone(&place) as _, place);
    assert_eq!(store.ids().unwrap(), [theirs.clone(), id()]);
    assert!(matches!(store.stage(&theirs), Err(StoreError::AlreadyExists(_))));

    let told = store.manifest(&theirs).unwrap();
    assert_eq!(
        (told.mode, told.outcome.clone(), told.pinned),
        (Mode::Transactional, Outcome::Complete, true)
    );
    assert_eq!((told.roots.clone(), told.files.len()), (None, 0));
    assert_eq!(
        told.finished_at - told.started_at,
        time::Duration::milliseconds(1_500)
    );
    let names: Vec<_> = told
        .predecessor
        .as_ref()
        .unwrap()
        .files
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["snapshot.0", "log.1"]);
    assert!(!told.lacks().is_empty() && store.manifest(&id()).unwrap().lacks().is_empty());
    // Nobody who reads it elsewhere takes it for one of ours.
    let kept = Manifest::parse(&theirs, &told.to_bytes().unwrap()).unwrap();
    assert_eq!(kept.predecessor, None);

    assert_eq!(store.verification(&theirs).unwrap(), None);
    // Nothing says what its bytes must be.
    assert!(matches!(
        verify(&store, &theirs, id().time()),
        Err(StoreError::Failed { transient: false, .. })
    ));
    let result = Verification::new(id().time(), Vec::new());
    store.record_verification(&theirs, &result).unwrap();
    assert_eq!((store.verification(&theirs).unwrap(), files()), (Some(result), 4));
    store.remove(&theirs).unwrap();
    assert_eq!(
        fs::read_dir(directory.path().join(".checked")).unwrap().count(),
        0
    );
    assert_eq!((store.ids().unwrap(), left.exists()), (vec![id()], false));
}

#[test]
fn what_notes_no_exit_code_is_told_by_the_last_line_of_its_console() {
    const GO: &str = r#"{"spent_time": 812, "size": 2048}"#;
    const ENDED: &str = r#"{"exit_code": 0}"#;
    const DROPPED: &str = "Creation of the directory /tmp/x/name failed\nBackup completed successfully.\n";
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[(".metrics", GO), (".console", DONE)], "complete"),
        (
            &[
                (".metrics", GO),
                (".console", "Backup completed successfully.\nTraceback"),
            ],
            "partial",
        ),
        (&[(".metrics", GO)], "partial"),
        (&[(".console", DONE)], "complete"),
        (&[], "partial"),
        (
            &[(".metrics", r#"{"exception": "no room"}"#), (".console", DONE)],
            "failed",
        ),
        (&[(".metrics", ENDED)], "complete"),
        (&[(".metrics", ENDED), (".console", DROPPED)], "partial"),
        (&[(".metrics", GO), (".console", DROPPED)], "partial"),
    ];
    for (files, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        archive(&left(directory.path().join(id().as_str()), files), &["a/content"]);
        let told = opened(directory.path()).manifest(&id()).unwrap();
        let outcome = match told.outcome {
            Outcome::Complete => "complete",
            Outcome::Partial { .. } => "partial",
            Outcome::Failed { .. } => "failed",
        };
        assert_eq!(outcome, expected, "{files:?}");
    }
}

#[test]
fn a_granular_one_is_of_the_first_znodes_that_may_have_been_asked_for() {
    let cases: [(&[&str], &[&str]); 4] = [
        (&["a/", "a/b/", "a/b/content", "a/b/c/"], &["/a/b"]),
        (&["a/content", "a/b/content"], &["/a"]),
        (&["a/"], &["/a"]),
        (
            &["a/b/content", "a/c/content", "d/content"],
            &["/a/b", "/a/c", "/d"],
        ),
    ];
    for (entries, roots) in cases {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("granular");
        let path = left(home.join(id().as_str()), &[(".console", DONE)]);
        archive(&path, entries);
        let store = opened(directory.path());
        let told = || store.manifest(&id()).unwrap().roots.unwrap();
        assert_eq!(told(), roots, "{entries:?}");
        archive(&path, &["another/content"]);
        assert_eq!(told(), ["/another"], "what was read before is of another archive");
    }
}

#[test]
fn what_has_no_list_or_no_snapshot_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = left(directory.path().join(id().as_str()), &[(".console", DONE)]);
    let store = opened(directory.path());
    let is_damaged = || matches!(store.manifest(&id()), Err(StoreError::Damaged { .. }));
    // Nobody knows that it is whole, and a restore of it would delete everything.
    for empty in [&[][..], &["content"], &["/", "content"]] {
        archive(&path, empty);
        assert!(is_damaged(), "{empty:?}");
    }
    archive(&path, &["a/content"]);
    assert!(!is_damaged());
    let whole = fs::read(path.join("znodes.zip")).unwrap();
    for cut in [0, 10, whole.len() - 1] {
        fs::write(path.join("znodes.zip"), &whole[..cut]).unwrap();
        assert!(is_damaged(), "{cut}");
    }
    // More entries than the list has room for.
    let mut claims = whole.clone();
    let end = whole.len() - 22;
    claims[end + 10..end + 12].copy_from_slice(&9_u16.to_le_bytes());
    fs::write(path.join("znodes.zip"), &claims).unwrap();
    assert!(is_damaged());

    fs::remove_file(path.join("znodes.zip")).unwrap();
    left(path.clone(), &[("log.1", "a log")]);
    assert!(is_damaged());
    left(path.clone(), &[("snapshot.0", "")]);
    assert!(is_damaged());
    left(path, &[("snapshot.0", "a snapshot")]);
    assert!(!is_damaged());
}

#[test]
fn two_of_one_id_are_told_damaged_and_neither_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = opened(directory.path());
    let own = Manifest::new(&id(), Mode::Hierarchical, id().time(), Outcome::Complete);
    store.stage(&id()).unwrap().commit(&own).unwrap();
    let path = left(
        directory.path().join("granular").join(id().as_str()),
        &[(".console", DONE)],
    );
    archive(&path, &["a/content"]);
    assert_eq!(store.ids().unwrap(), [id()]);
    assert!(matches!(store.manifest(&id()), Err(StoreError::Damaged { .. })));
    assert!(matches!(store.remove(&id()), Err(StoreError::Damaged { .. })));
    fs::remove_dir_all(path).unwrap();
    assert_eq!(store.manifest(&id()).unwrap(), own);
    store.remove(&id()).unwrap();
    assert_eq!(store.ids().unwrap(), []);
}

#[test]
fn a_vault_of_ours_that_was_copied_to_the_granular_ones_is_removed_with_its_copy() {
    let directory = tempfile::tempdir().unwrap();
    let store = opened(directory.path());
    let own = Manifest::new(&id(), Mode::Hierarchical, id().time(), Outcome::Complete);
    store.stage(&id()).unwrap().commit(&own).unwrap();
    let copy = left(directory.path().join("granular").join(id().as_str()), &[]);
    for file in fs::read_dir(directory.path().join(id().as_str())).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    assert!(matches!(store.manifest(&id()), Err(StoreError::Damaged { .. })));
    store.remove(&id()).unwrap();
    assert_eq!(store.ids().unwrap(), []);
    assert!(!copy.exists());
}

/// Files that were copied by hand, without the marks, and directories with nothing in them.
#[test]
fn nothing_is_written_into_what_tells_nobody_whose_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let ids: [VaultId; 3] =
        ["20240103T000000", "20240104T000000", "20240105T000000"].map(|id| id.parse().unwrap());
    let root = directory.path();
    let copied = left(root.join(ids[0].as_str()), &[("snapshot.0", "a"), ("log.1", "b")]);
    let empty = left(root.join(ids[1].as_str()), &[]);
    let granular = left(root.join("granular").join(ids[2].as_str()), &[]);
    let store = opened(root);
    let files = || [&copied, &empty, &granular].map(|path| fs::read_dir(path).unwrap().count());
    let before = files();
    for id in &ids {
        assert_eq!(store.verification(id).unwrap(), None);
        let result = verify(&store, id, id.time()).unwrap();
        assert!(!result.is_sound());
        store.record_verification(id, &result).unwrap();
        assert_eq!(store.verification(id).unwrap(), Some(result));
    }
    assert_eq!(files(), before, "it was written into");
    let checked = || fs::read_dir(root.join(".checked")).unwrap().count();
    assert_eq!(checked(), 3);
    for id in &ids {
        store.remove(id).unwrap();
        let gone = store.record_verification(id, &Verification::new(id.time(), Vec::new()));
        assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
    }
    assert_eq!(checked(), 0);
}
