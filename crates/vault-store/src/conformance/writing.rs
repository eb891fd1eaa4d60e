//! The rules of stages, commits and manifests.

use std::io::Write as _;
use std::sync::Barrier;
use std::thread;

use super::{
    ARCHIVE, LOG, Subject, begun, commit, finished, granular, id, is_taken, is_unknown, manifest,
    nothing_is_left, put, refused, same, staged,
};
use crate::{FileEntry, FileName, FrameEntry, Manifest, Outcome, SEALED_VERSION, StoreError};

/// Nothing shows a vault before its commit, and everything does afterwards.
pub fn a_vault_is_visible_once_it_is_committed(subject: &Subject) {
    let (store, id) = (subject.open(), id(1));
    let mut stage = staged(&*store, &id);
    let archive = finished(&mut *stage, &ARCHIVE, b"bytes");
    let open = begun(&mut *stage, &LOG, b"sa");
    same(&store.ids().unwrap(), &vec![], "A stage is not listed");
    is_unknown(&*store, &id, "A stage is no vault");
    drop(open);
    drop(stage);

    let mut stage = staged(&*store, &id);
    let files = vec![archive, finished(&mut *stage, &LOG, b"said")];
    finished(&mut *stage, &ARCHIVE, b"bytes");
    let manifest = manifest(&id, files);
    commit(stage, &manifest);
    same(
        &store.ids().unwrap(),
        &vec![id.clone()],
        "A committed vault is listed",
    );
    same(
        &store.manifest(&id).unwrap(),
        &manifest,
        "A committed vault has its manifest",
    );
    let result = crate::verify(&*store, &id, id.time()).unwrap();
    same(&result.damage, &vec![], "A committed vault is whole");
}

/// A stage that is dropped was never there.
pub fn a_dropped_stage_leaves_nothing(subject: &Subject) {
    let store = subject.open();
    let mut stage = staged(&*store, &id(1));
    finished(&mut *stage, &ARCHIVE, b"whole");
    let open = begun(&mut *stage, &LOG, b"half");
    drop(stage);
    nothing_is_left(&*store, &id(1), "a stage was dropped");
    // Whatever it says, it has nowhere to go.
    let _ = open.finish();
    nothing_is_left(&*store, &id(1), "a file was finished whose stage is gone");
    let mut stage = staged(&*store, &id(1));
    let files = vec![finished(&mut *stage, &LOG, b"another")];
    commit(stage, &manifest(&id(1), files));
    refused(
        store.open(&id(1), &ARCHIVE),
        |error| matches!(error, StoreError::Damaged { .. }),
        "A stage has nothing of the one before it: its file is not there",
    );
}

/// An id is taken by a stage, and by a vault of either kind.
pub fn an_id_is_taken_once_whether_full_or_granular(subject: &Subject) {
    let store = subject.open();
    for (second, is_granular) in [(1, false), (2, true)] {
        let id = id(second);
        let stage = staged(&*store, &id);
        refused(store.stage(&id), is_taken, "An id is taken by a stage");
        let manifest = manifest(&id, Vec::new());
        let manifest = if is_granular { granular(manifest) } else { manifest };
        commit(stage, &manifest);
        let rule = format!("An id is taken by a vault (granular: {is_granular})");
        refused(store.stage(&id), is_taken, &rule);
        same(&store.manifest(&id).unwrap(), &manifest, &rule);
    }
    same(
        &store.ids().unwrap(),
        &vec![id(1), id(2)],
        "Full and granular vaults share the ids",
    );
}

/// Two threads that stage one id at once do not both get it.
pub fn one_of_two_threads_gets_an_id(subject: &Subject) {
    let store = subject.open();
    for second in 0..20 {
        let (together, both) = (Barrier::new(2), Barrier::new(2));
        let attempt = || {
            together.wait();
            let stage = store.stage(&id(second));
            both.wait();
            stage.map(drop)
        };
        let outcomes = thread::scope(|scope| {
            let other = scope.spawn(attempt);
            [attempt(), other.join().unwrap()]
        });
        let taken = outcomes
            .iter()
            .filter(|outcome| outcome.as_ref().is_err_and(is_taken));
        let got = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(
            got == 1 && taken.count() == 1,
            "Of two threads that stage an id one gets it, and the other is told that it exists: {outcomes:?}."
        );
    }
}

/// Names of any kind, and none of them twice in a stage.
pub fn every_file_name_can_be_used_and_each_once(subject: &Subject) {
    let (store, id) = (subject.open(), id(1));
    let longest = "x".repeat(FileName::MAX_BYTES);
    let names = [
        "a",
        "0",
        "archive.zst",
        "a..b",
        "b-_.",
        "20260101T000001",
        "removed-1",
        &longest,
    ];
    let names = names.map(|name| name.parse::<FileName>().unwrap());
    let mut stage = staged(&*store, &id);
    let entries = names
        .iter()
        .map(|name| finished(&mut *stage, name, name.as_str().as_bytes()));
    let files: Vec<_> = entries.collect();
    let is_used = |error: &StoreError| matches!(error, StoreError::FileExists { .. });
    refused(stage.create(&names[0]), is_used, "A name is used once in a stage");
    commit(stage, &manifest(&id, files));
    let result = crate::verify(&*store, &id, id.time()).unwrap();
    same(
        &result.damage,
        &vec![],
        "Every file name can be used, and keeps its bytes",
    );

    let id = super::id(2);
    let mut stage = staged(&*store, &id);
    drop(begun(&mut *stage, &ARCHIVE, b"given up"));
    refused(
        stage.create(&ARCHIVE),
        is_used,
        "A name is used once in a stage, also by a file that was given up",
    );
}

/// A commit names the file that was begun and not finished.
pub fn a_file_that_was_not_finished_fails_the_commit(subject: &Subject) {
    let store = subject.open();
    for still_open in [false, true] {
        let mut stage = staged(&*store, &id(1));
        let entry = finished(&mut *stage, &ARCHIVE, b"whole");
        let open = begun(&mut *stage, &LOG, b"said");
        let open = still_open.then_some(open);
        let files = vec![entry, FileEntry::whole(&LOG, b"said")];
        refused(
            stage.commit(&manifest(&id(1), files)),
            |error| matches!(error, StoreError::Unfinished { file, .. } if *file == LOG),
            "A file that was not finished fails the commit by its name",
        );
        nothing_is_left(&*store, &id(1), "a commit with an unfinished file");
        // What its holder does with it now is lost, and hurts nobody.
        if let Some(mut open) = open {
            let _ = open.write_all(b"more").and_then(|()| open.flush());
            let _ = open.finish();
        }
        nothing_is_left(&*store, &id(1), "a file was finished whose commit had failed");
    }
}

/// A manifest has to have the id, the files and the sizes that were staged.
pub fn a_manifest_of_something_else_fails_the_commit(subject: &Subject) {
    let store = subject.open();
    let good = manifest(&id(1), vec![FileEntry::whole(&ARCHIVE, b"bytes")]);
    let files = |files: Vec<FileEntry>| Manifest {
        files,
        ..good.clone()
    };
    let entry = &good.files[0];
    let (more, nothing) = (FileEntry::whole(&LOG, b""), FileEntry::whole(&ARCHIVE, b""));
    for (what, wrong) in [
        (
            "the id of another vault",
            Manifest {
                id: id(2),
                ..good.clone()
            },
        ),
        ("a file too few", files(Vec::new())),
        ("a file that was not staged", files(vec![entry.clone(), more])),
        ("a file twice", files(vec![entry.clone(), entry.clone()])),
        (
            "another size",
            files(vec![FileEntry {
                bytes: 4,
                ..entry.clone()
            }]),
        ),
        ("no bytes", files(vec![nothing])),
        (
            "more than 64 MiB",
            Manifest {
                outcome: Outcome::Failed {
                    reason: "x".repeat(64 << 20),
                },
                ..good.clone()
            },
        ),
    ] {
        let mut stage = staged(&*store, &id(1));
        finished(&mut *stage, &ARCHIVE, b"bytes");
        refused(
            stage.commit(&wrong),
            |error| matches!(error, StoreError::WrongManifest { id: of, .. } if *of == id(1)),
            &format!("A manifest with {what} fails the commit"),
        );
        nothing_is_left(&*store, &id(1), &format!("a commit with {what}"));
        nothing_is_left(&*store, &id(2), &format!("a commit with {what}"));
    }
    put(&*store, &id(1), b"bytes");
    same(
        &store.manifest(&id(1)).unwrap(),
        &good,
        "A commit works after those that failed",
    );
}

/// Every word of it.
pub fn a_manifest_is_read_as_it_was_committed(subject: &Subject) {
    let store = subject.open();
    let plain = manifest(&id(1), Vec::new());
    for (second, outcome) in [
        (1, Outcome::Complete),
        (
            2,
            Outcome::Partial {
                reason: "ü \0 \"\n".to_owned(),
            },
        ),
        (
            3,
            Outcome::Failed {
                reason: "no znode".to_owned(),
            },
        ),
    ] {
        let id = id(second);
        let manifest = Manifest {
            id: id.clone(),
            pinned: second > 1,
            scheduled: Some(second > 2),
            before_restore_of: (second > 1).then(|| id.clone()),
            restore_job: (second > 1).then(|| "a job".to_owned()),
            term: (second > 1).then_some(7),
            started_at: id.time() + time::Duration::nanoseconds(1),
            outcome,
            ..granular(plain.clone())
        };
        commit(staged(&*store, &id), &manifest);
        let found = store.manifest(&id).unwrap();
        same(&found, &manifest, "A manifest is read as it was committed");
    }
}

/// As that of a backup of many gigabytes.
pub fn a_manifest_may_be_large(subject: &Subject) {
    const FRAMES: usize = 100_000;
    let (store, id) = (subject.open(), id(1));
    let mut stage = staged(&*store, &id);
    let mut entry = finished(&mut *stage, &ARCHIVE, &vec![7; FRAMES]);
    let sha256 = FileEntry::whole(&ARCHIVE, &[7]).frames.remove(0).sha256;
    let frame = |offset| FrameEntry {
        offset,
        length: 1,
        records: 1,
        sha256: sha256.clone(),
    };
    entry.frames = (0..FRAMES as u64).map(frame).collect();
    let manifest = manifest(&id, vec![entry]);
    commit(stage, &manifest);
    assert!(
        store.manifest(&id).unwrap() == manifest,
        "A manifest may have {FRAMES} frames, and is read as it was committed."
    );
}

/// What else is in it nobody knows; but that the vault is there, everybody.
pub fn a_manifest_of_a_later_version_is_refused_and_listed(subject: &Subject) {
    let (store, id) = (subject.open(), id(1));
    let later = Manifest {
        version: SEALED_VERSION + 1,
        ..manifest(&id, Vec::new())
    };
    commit(staged(&*store, &id), &later);
    refused(
        store.manifest(&id),
        |error| matches!(error, StoreError::Unsupported { version, .. } if *version == SEALED_VERSION + 1),
        "A manifest of a later version is refused by its version",
    );
    let rule = "A vault of a later version is listed, and can be removed";
    same(&store.ids().unwrap(), &vec![id.clone()], rule);
    store.remove(&id).unwrap();
    same(&store.ids().unwrap(), &vec![], rule);
}
