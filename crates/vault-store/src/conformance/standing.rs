//! The rules of what stands: lists, removal, checks, sizes, and what is there the next time.

use std::sync::Barrier;
use std::thread;

use super::{
    ARCHIVE, LOG, Subject, begun, commit, finished, granular, id, is_unknown, manifest, nothing_is_left, put,
    refused, same, staged,
};
use crate::FileName;
use crate::{Damage, StoreError, Tested, Verification, verify};

/// Whatever their kind, and in which order they were committed.
pub fn ids_are_in_the_order_of_time(subject: &Subject) {
    let store = subject.open();
    for (second, is_granular) in [(30, true), (10, false), (20, true), (4000, false)] {
        let id = id(second);
        let manifest = manifest(&id, Vec::new());
        let manifest = if is_granular { granular(manifest) } else { manifest };
        commit(staged(&*store, &id), &manifest);
    }
    same(
        &store.ids().unwrap(),
        &vec![id(10), id(20), id(30), id(4000)],
        "Ids are listed oldest first, full and granular ones together",
    );
}

/// Also while others are known.
pub fn what_is_unknown_is_not_found(subject: &Subject) {
    let store = subject.open();
    is_unknown(&*store, &id(9), "An id that nobody has used");
    put(&*store, &id(8), b"bytes");
    is_unknown(&*store, &id(9), "An id that nobody has used");
    same(&store.ids().unwrap(), &vec![id(8)], "Asking makes no vault");
}

/// With all that was about it, and its id is free again.
pub fn a_removed_vault_is_gone(subject: &Subject) {
    let store = subject.open();
    let kept = put(&*store, &id(2), b"kept");
    for is_granular in [false, true] {
        let mut stage = staged(&*store, &id(1));
        let manifest = manifest(&id(1), vec![finished(&mut *stage, &ARCHIVE, b"bytes")]);
        let manifest = if is_granular { granular(manifest) } else { manifest };
        commit(stage, &manifest);
        let result = verify(&*store, &id(1), id(1).time()).unwrap();
        store.record_verification(&id(1), &result).unwrap();
        store.remove(&id(1)).unwrap();
        is_unknown(&*store, &id(1), "A removed vault is gone");
        same(
            &store.ids().unwrap(),
            &vec![id(2)],
            "A removed vault is not listed",
        );
    }
    let mut stage = staged(&*store, &id(1));
    let files = vec![finished(&mut *stage, &LOG, b"new")];
    commit(stage, &manifest(&id(1), files));
    same(
        &store.verification(&id(1)).unwrap(),
        &None,
        "A vault has no check of one that was removed",
    );
    refused(
        store.open(&id(1), &ARCHIVE),
        |error| matches!(error, StoreError::Damaged { .. }),
        "A vault has no file of one that was removed",
    );
    same(&store.manifest(&id(2)).unwrap(), &kept, "Others stay");
}

/// Beside the vault, which stays as it is.
pub fn the_last_verification_is_remembered(subject: &Subject) {
    let (store, id) = (subject.open(), id(1));
    let manifest = put(&*store, &id, b"bytes");
    same(
        &store.verification(&id).unwrap(),
        &None,
        "A new vault was not checked",
    );
    let sound = verify(&*store, &id, id.time()).unwrap();
    let damaged = Verification {
        at: id.time() + time::Duration::DAY,
        damage: vec![Damage {
            file: "archive".to_owned(),
            frame: Some(7),
            what: "ü \"\n".to_owned(),
        }],
        tested: Some(Tested {
            at: id.time(),
            took_ms: 5,
            place: "memory".to_owned(),
            job: "ü".to_owned(),
            by: "schedule".to_owned(),
            znodes: 7,
            sha256: "00".to_owned(),
            difference: Some("/a\n".to_owned()),
        }),
    };
    for result in [&sound, &damaged, &sound] {
        store.record_verification(&id, result).unwrap();
        same(
            &store.verification(&id).unwrap().as_ref(),
            &Some(result),
            "The last verification is remembered in place of the one before",
        );
    }
    same(
        &store.manifest(&id).unwrap(),
        &manifest,
        "A verification does not change the vault",
    );
    same(
        &verify(&*store, &id, id.time()).unwrap(),
        &sound,
        "A verification does not change the vault",
    );
}

/// Of one vault, again and again. Whose is the last one is not said; each is kept whole.
pub fn two_threads_record_what_they_found_at_once(subject: &Subject) {
    const TIMES: usize = 20;
    let (store, id) = (subject.open(), id(1));
    put(&*store, &id, b"bytes");
    // Of different lengths, so that a mixture of both is neither.
    let found = ["short".to_owned(), "long".repeat(2_000)].map(|what| {
        let damage = Damage {
            file: "archive".to_owned(),
            frame: None,
            what,
        };
        Verification::new(id.time(), vec![damage])
    });
    let together = Barrier::new(found.len());
    thread::scope(|scope| {
        for result in &found {
            let (store, id, together) = (&*store, &id, &together);
            scope.spawn(move || {
                // Whoever fails stays until the end, or the other would wait for ever.
                let outcomes: Vec<_> = (0..TIMES)
                    .map(|_| {
                        together.wait();
                        store.record_verification(id, result)
                    })
                    .collect();
                for outcome in outcomes {
                    outcome.unwrap_or_else(|error| {
                        panic!("Two threads record what they found of a vault at once: {error}")
                    });
                }
            });
        }
    });
    let kept = store.verification(&id).unwrap();
    assert!(
        kept.as_ref().is_some_and(|kept| found.contains(kept)),
        "Of what two threads recorded at once one is kept whole: {kept:?}."
    );
}

/// Left out of stores whose sizes are estimates.
pub fn sizes_cover_the_files(subject: &Subject) {
    let store = subject.open();
    put(&*store, &id(1), &[7; 10_000]);
    let size = store.size(&id(1));
    assert!(
        size.as_ref().is_ok_and(|size| *size >= 10_000) || !subject.sizes_are_exact && size.is_ok(),
        "A vault takes at least the bytes of its files: {size:?} of 10000."
    );
}

/// It is no vault, and outlives a durable store.
pub fn a_note_stays_until_the_next(subject: &Subject) {
    let (name, other) = (FileName::from_static("mark"), FileName::from_static("other"));
    let mut store = subject.open();
    same(
        &store.note(&name).unwrap(),
        &None,
        "There is no note that was not kept",
    );
    for text in [&b"one"[..], b"", b"two \xff"] {
        store.keep_note(&name, text).unwrap();
        if subject.durable {
            drop(store);
            store = subject.open();
        }
        let rule = "The last note of a name is kept";
        same(&store.note(&name).unwrap().as_deref(), &Some(text), rule);
    }
    same(
        &store.note(&other).unwrap(),
        &None,
        "A note is kept under its name",
    );
    same(&store.ids().unwrap(), &Vec::new(), "A note is no vault");
}

/// Left out of stores that are not durable.
pub fn what_was_committed_outlives_the_store(subject: &Subject) {
    if !subject.durable {
        return;
    }
    let store = subject.open();
    let full = put(&*store, &id(1), b"bytes");
    let part = granular(manifest(&id(2), Vec::new()));
    commit(staged(&*store, &id(2)), &part);
    put(&*store, &id(3), b"removed");
    let sound = verify(&*store, &id(1), id(1).time()).unwrap();
    store.record_verification(&id(1), &sound).unwrap();
    store.remove(&id(3)).unwrap();
    drop(store);

    let store = subject.open();
    let rule = "What was committed is there when the store is opened again, and what was removed is not";
    same(&store.ids().unwrap(), &vec![id(1), id(2)], rule);
    same(&store.manifest(&id(1)).unwrap(), &full, rule);
    same(&store.manifest(&id(2)).unwrap(), &part, rule);
    same(&store.verification(&id(1)).unwrap(), &Some(sound.clone()), rule);
    same(&verify(&*store, &id(1), id(1).time()).unwrap(), &sound, rule);
    is_unknown(&*store, &id(3), rule);
}

/// Left out of stores that are not durable, or are held by stages.
pub fn what_a_crash_left_is_gone(subject: &Subject) {
    if !subject.durable || subject.held_by_stages {
        return;
    }
    let store = subject.open();
    let mut stage = staged(&*store, &id(1));
    finished(&mut *stage, &ARCHIVE, b"whole");
    // As a killed process does.
    std::mem::forget(begun(&mut *stage, &LOG, b"half"));
    std::mem::forget(stage);
    drop(store);
    nothing_is_left(
        &*subject.open(),
        &id(1),
        "a process ended that was staging a vault",
    );
}
