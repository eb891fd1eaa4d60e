//! What every [`VaultStore`] must do: run it over a store of your own. Each function is one rule of the trait's documentation,
//! and panics with a sentence that says which and how it was broken.
//!
//! [`conformance_tests!`](crate::conformance_tests) makes a test of each; [`all`] runs one after another.
//!
//! ```
//! use vault_store::{MemoryStore, conformance};
//!
//! conformance::all(|| conformance::Subject::new(MemoryStore::new).not_durable());
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc
)]

mod reading;
mod standing;
mod writing;

use std::fmt::Debug;
use std::io::Write as _;

pub use self::reading::*;
pub use self::standing::*;
pub use self::writing::*;
use crate::{
    FileEntry, FileName, Manifest, Mode, Outcome, Stage, StoreError, VaultFile, VaultId, VaultStore,
};

/// The store under test: one place, empty at first, and what it may lawfully lack.
pub struct Subject {
    open: Box<dyn Fn() -> Box<dyn VaultStore>>,
    durable: bool,
    held_by_stages: bool,
    sizes_are_exact: bool,
}

impl Subject {
    /// Of a place that `open` opens. A second time it is called when the first store was dropped, and must find what is durable there;
    /// a stage may have been forgotten then ([`std::mem::forget`]), as in a process that was killed.
    pub fn new<S: VaultStore + 'static>(open: impl Fn() -> S + 'static) -> Self {
        Self {
            open: Box::new(move || Box::new(open())),
            durable: true,
            held_by_stages: false,
            sizes_are_exact: true,
        }
    }

    /// What it keeps ends with it: nothing is opened a second time.
    #[must_use]
    pub fn not_durable(self) -> Self {
        Self {
            durable: false,
            ..self
        }
    }

    /// A stage keeps its store, and so the place is locked ([`StoreError::Locked`]) until it is dropped, or its process ends: what a killed process leaves
    /// is nothing that a test in the same one can see.
    #[must_use]
    pub fn held_by_stages(self) -> Self {
        Self {
            held_by_stages: true,
            ..self
        }
    }

    /// [`VaultStore::size`] may be less than the files have, as of a store that packs them.
    #[must_use]
    pub fn sizes_are_estimates(self) -> Self {
        Self {
            sizes_are_exact: false,
            ..self
        }
    }

    fn open(&self) -> Box<dyn VaultStore> {
        (self.open)()
    }
}

/// Runs every rule, each over a subject of its own.
pub fn all(subject: impl Fn() -> Subject) {
    crate::conformance_tests!(@each all, subject());
}

/// A test of each rule, by its name; `$subject` makes a [`Subject`] over a place of its own each time.
///
/// ```
/// mod memory {
///     use vault_store::{MemoryStore, conformance::Subject};
///     vault_store::conformance_tests!(Subject::new(MemoryStore::new).not_durable());
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests!(@each test, $subject);
    };
    (@each $how:ident, $subject:expr) => {
        $crate::conformance_tests!(@$how $subject;
            a_vault_is_visible_once_it_is_committed,
            a_dropped_stage_leaves_nothing,
            an_id_is_taken_once_whether_full_or_granular,
            one_of_two_threads_gets_an_id,
            every_file_name_can_be_used_and_each_once,
            a_file_that_was_not_finished_fails_the_commit,
            a_manifest_of_something_else_fails_the_commit,
            a_manifest_is_read_as_it_was_committed,
            a_manifest_may_be_large,
            a_manifest_of_a_later_version_is_refused_and_listed,
            bytes_are_read_from_where_they_are_asked_for,
            a_large_file_is_read_as_it_was_written,
            several_threads_read_one_file,
            two_threads_write_and_read_at_once,
            a_file_that_is_not_there_is_damage,
            what_is_not_what_its_frames_say_is_found,
            ids_are_in_the_order_of_time,
            what_is_unknown_is_not_found,
            a_removed_vault_is_gone,
            an_open_file_never_shows_another_vault,
            the_last_verification_is_remembered,
            two_threads_record_what_they_found_at_once,
            sizes_cover_the_files,
            a_note_stays_until_the_next,
            what_was_committed_outlives_the_store,
            what_a_crash_left_is_gone,
        );
    };
    (@test $subject:expr; $($rule:ident,)+) => {
        $(
            #[test]
            fn $rule() {
                $crate::conformance::$rule(&$subject);
            }
        )+
    };
    (@all $subject:expr; $($rule:ident,)+) => {
        $( $crate::conformance::$rule(&$subject); )+
    };
}

const ARCHIVE: FileName = FileName::from_static("archive");
const LOG: FileName = FileName::from_static("log");

/// The id of a second after the first of January 2026.
fn id(second: u64) -> VaultId {
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("20260101T{hour:02}{minute:02}{:02}", second % 60)
        .parse()
        .unwrap()
}

fn manifest(id: &VaultId, files: Vec<FileEntry>) -> Manifest {
    Manifest {
        files,
        ..Manifest::new(id, Mode::Hierarchical, id.time(), Outcome::Complete)
    }
}

fn granular(manifest: Manifest) -> Manifest {
    Manifest {
        roots: Some(vec!["a".to_owned()]),
        ..manifest
    }
}

fn staged(store: &dyn VaultStore, id: &VaultId) -> Box<dyn Stage> {
    let stage = store.stage(id);
    stage.unwrap_or_else(|error| panic!("An id that is free can be staged: {id}: {error}"))
}

fn begun(stage: &mut dyn Stage, name: &FileName, bytes: &[u8]) -> Box<dyn VaultFile> {
    let file = stage.create(name);
    let mut file = file.unwrap_or_else(|error| panic!("A new file can be created: {name}: {error}"));
    let written = file.write_all(bytes);
    written.unwrap_or_else(|error| panic!("A file can be written: {name}: {error}"));
    file
}

fn finished(stage: &mut dyn Stage, name: &FileName, bytes: &[u8]) -> FileEntry {
    let ended = begun(stage, name, bytes).finish();
    ended.unwrap_or_else(|error| panic!("A file that was written can be finished: {name}: {error}"));
    FileEntry::whole(name, bytes)
}

fn commit(stage: Box<dyn Stage>, manifest: &Manifest) {
    let committed = stage.commit(manifest);
    committed.unwrap_or_else(|error| {
        panic!(
            "A stage can be committed by a manifest of its files: {}: {error}",
            manifest.id
        )
    });
}

/// Commits a full vault of one file.
fn put(store: &dyn VaultStore, id: &VaultId, bytes: &[u8]) -> Manifest {
    let mut stage = staged(store, id);
    let manifest = manifest(id, vec![finished(&mut *stage, &ARCHIVE, bytes)]);
    commit(stage, &manifest);
    manifest
}

fn refused<T>(outcome: Result<T, StoreError>, kind: fn(&StoreError) -> bool, rule: &str) {
    match outcome {
        Ok(_) => panic!("{rule}, and it succeeded."),
        Err(error) => assert!(kind(&error), "{rule}, and it was {error:?}."),
    }
}

fn is_not_found(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound(_))
}

fn is_taken(error: &StoreError) -> bool {
    matches!(error, StoreError::AlreadyExists(_))
}

fn same<T: PartialEq + Debug>(found: &T, expected: &T, rule: &str) {
    assert!(found == expected, "{rule}: {found:?} is not {expected:?}.");
}

/// That no call knows of a vault, and that its id is free.
fn nothing_is_left(store: &dyn VaultStore, id: &VaultId, after: &str) {
    let rule = format!("Nothing is left after {after}");
    same(
        &store.ids().unwrap(),
        &vec![],
        &format!("{rule}: no id is listed"),
    );
    is_unknown(store, id, &rule);
    drop(
        store
            .stage(id)
            .unwrap_or_else(|error| panic!("{rule}, and the id can be staged again: {error}")),
    );
}

fn is_unknown(store: &dyn VaultStore, id: &VaultId, rule: &str) {
    let sound = crate::Verification::new(id.time(), Vec::new());
    for (call, outcome) in [
        ("manifest", store.manifest(id).map(drop)),
        ("open", store.open(id, &ARCHIVE).map(drop)),
        ("remove", store.remove(id)),
        ("size", store.size(id).map(drop)),
        ("verification", store.verification(id).map(drop)),
        ("record_verification", store.record_verification(id, &sound)),
        ("verify", crate::verify(store, id, id.time()).map(drop)),
    ] {
        refused(
            outcome,
            is_not_found,
            &format!("{rule}: `{call}` says that it is not found"),
        );
    }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}
