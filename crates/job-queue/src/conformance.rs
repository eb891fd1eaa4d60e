//! What every [`JobStore`] must do. Run it over a store of your own in a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::{JobKind, JobState, JobStore, NewJob, Outcome, QueueError};

/// Runs the suite; `empty` makes a new, empty store each time.
///
/// Panics at the first thing that does not hold.
pub fn run<S: JobStore>(empty: impl Fn() -> S) {
    first_in_first_out(&empty());
    what_is_told_is_kept(&empty());
    only_legal_steps(&empty());
    restores_tell_what_they_need(&empty());
    the_bound_holds(&empty());
    recovery_fails_what_was_cut(&empty());
    pruning_keeps_the_newest(&empty());
}

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap() + Duration::seconds(second)
}

fn put(store: &dyn JobStore, id: &str, second: i64) {
    store
        .enqueue(NewJob::new(id, JobKind::Backup, id), at(second), 100)
        .unwrap();
}

fn first_in_first_out(store: &dyn JobStore) {
    // In the order of queueing, not of ids or times.
    for (id, second) in [("b", 2), ("a", 1), ("c", 0)] {
        put(store, id, second);
    }
    assert_eq!(store.counts().unwrap().oldest_queued_at, Some(at(0)));
    for id in ["b", "a", "c"] {
        let job = store.claim(at(9)).unwrap().unwrap();
        assert_eq!(
            (job.id.as_str(), job.state, job.started_at),
            (id, JobState::Processing, Some(at(9)))
        );
    }
    assert_eq!(store.claim(at(9)).unwrap(), None);
}

fn what_is_told_is_kept(store: &dyn JobStore) {
    let payload = json!({"roots": ["a/ü"], "n": 1});
    let new = NewJob {
        payload,
        scheduled: true,
        ..NewJob::new("r", JobKind::Restore, "20260101T000000")
    };
    let queued = store.enqueue(new.clone(), at(1), 100).unwrap();
    assert_eq!(
        (&queued.payload, queued.scheduled, queued.created_at),
        (&new.payload, true, at(1))
    );
    assert_eq!(store.get("r").unwrap().as_ref(), Some(&queued));
    assert_eq!(store.counts().unwrap().queued_by_schedule, 1);
    store.claim(at(2)).unwrap();
    let outcome = Outcome {
        state: JobState::Failed,
        message: Some("why".to_owned()),
        log_tail: vec!["one".to_owned(), "two".to_owned()],
        result: json!({"failed": 2}),
    };
    store.finish("r", outcome.clone(), at(3)).unwrap();
    let job = store.get("r").unwrap().unwrap();
    assert_eq!(
        (job.state, &job.message, &job.log_tail),
        (JobState::Failed, &outcome.message, &outcome.log_tail)
    );
    assert_eq!(
        (job.result, job.started_at, job.finished_at),
        (outcome.result, Some(at(2)), Some(at(3)))
    );
    assert_eq!(store.get("unknown").unwrap(), None);
    assert_eq!(store.greatest_id(JobKind::Restore).unwrap().as_deref(), Some("r"));
    assert_eq!(store.greatest_id(JobKind::Backup).unwrap(), None);
}

fn restores_tell_what_they_need(store: &dyn JobStore) {
    put(store, "20260101T000000", 1); // a backup
    let restore = NewJob::new("r", JobKind::Restore, "v");
    store.enqueue(restore, at(1), 10).unwrap();
    let needs = |vault: &str| store.is_to_be_restored(vault).unwrap();
    assert!(needs("v") && !needs("other") && !needs("20260101T000000"));
    store.claim(at(2)).unwrap();
    assert_eq!(store.claim(at(2)).unwrap().unwrap().id, "r");
    assert!(needs("v"));
    store.finish("r", Outcome::success(json!(null)), at(3)).unwrap();
    assert!(!needs("v"));
}

fn only_legal_steps(store: &dyn JobStore) {
    let done = || Outcome::success(json!(null));
    put(store, "a", 1);
    assert!(matches!(
        store.finish("a", done(), at(2)),
        Err(QueueError::Illegal { .. })
    ));
    store.claim(at(2)).unwrap();
    assert!(matches!(
        store.cancel("a", at(3)),
        Err(QueueError::Illegal { .. })
    ));
    let back = Outcome {
        state: JobState::Queued,
        ..done()
    };
    assert!(matches!(
        store.finish("a", back, at(3)),
        Err(QueueError::Illegal { .. })
    ));
    assert_eq!(store.get("a").unwrap().unwrap().state, JobState::Processing);
    store.finish("a", done(), at(3)).unwrap();
    assert!(matches!(
        store.finish("a", done(), at(4)),
        Err(QueueError::Illegal { .. })
    ));
    assert_eq!(store.get("a").unwrap().unwrap().finished_at, Some(at(3)));

    put(store, "b", 5);
    store.cancel("b", at(6)).unwrap();
    assert_eq!(store.get("b").unwrap().unwrap().state, JobState::Canceled);
    assert_eq!(store.claim(at(7)).unwrap(), None, "a canceled job is not done");
    assert!(matches!(store.cancel("zz", at(7)), Err(QueueError::NotFound(_))));
    assert!(matches!(
        store.finish("zz", done(), at(7)),
        Err(QueueError::NotFound(_))
    ));
}

fn the_bound_holds(store: &dyn JobStore) {
    let put = |id: &str| store.enqueue(NewJob::new(id, JobKind::Backup, id), at(1), 2);
    put("a").unwrap();
    put("b").unwrap();
    assert!(matches!(put("a"), Err(QueueError::Duplicate(_))));
    assert!(matches!(put("c"), Err(QueueError::Full(2))));
    assert_eq!(store.get("c").unwrap(), None);
    store.claim(at(2)).unwrap();
    put("c").unwrap();
    let counts = store.counts().unwrap();
    assert_eq!((counts.queued, counts.processing), (2, 1));
}

fn recovery_fails_what_was_cut(store: &dyn JobStore) {
    put(store, "a", 1);
    put(store, "b", 2);
    store.claim(at(3)).unwrap();
    let cut = store.recover(at(4)).unwrap();
    assert_eq!(cut.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["a"]);
    let job = store.get("a").unwrap().unwrap();
    assert_eq!(
        (job.state, job.message.as_deref()),
        (JobState::Failed, Some("interrupted"))
    );
    assert_eq!(
        store.claim(at(5)).unwrap().unwrap().id,
        "b",
        "what waited still waits"
    );
}

fn pruning_keeps_the_newest(store: &dyn JobStore) {
    for id in ["9", "1", "2", "3", "4"] {
        put(store, id, 1);
    }
    for _ in 0..4 {
        let id = store.claim(at(2)).unwrap().unwrap().id;
        store.finish(&id, Outcome::success(json!(null)), at(3)).unwrap();
    }
    assert_eq!(store.prune(10).unwrap(), 0);
    assert_eq!(store.prune(2).unwrap(), 1);
    let left: Vec<_> = ["9", "1", "2", "3", "4"]
        .into_iter()
        .filter(|id| store.get(id).unwrap().is_some())
        .collect();
    assert_eq!(
        left,
        ["9", "2", "3", "4"],
        "the greatest id and what is not finished stay"
    );
}
