//! What every [`JobStore`] must do: one function for each rule of its documentation. Run [`all`] over a store of your own
//! in a test, and [`what_is_told_outlives_the_process`] where it is durable.
//!
//! Each panics at the first thing that does not hold, with a sentence that names the rule. The store that it is given is
//! empty, and nobody else uses it.
#![allow(clippy::missing_panics_doc, clippy::needless_pass_by_value)] // what was found is of no use to the callers

mod claims;

use std::fmt::Debug;

use serde_json::json;
use time::{Duration, OffsetDateTime};

pub use self::claims::{
    claims_are_renewed_by_who_has_them, first_in_first_out, jobs_are_called_off,
    lanes_are_apart_and_do_one_job_at_a_time, lapsed_claims_are_recovered_by_others,
    no_two_claims_get_the_same_job, recovery_fails_what_was_cut_off,
};
use crate::{Job, JobState, JobStore, MAIN_LANE, NewJob, Note, Outcome, QueueError};

/// All rules; `empty` makes a new, empty store each time.
pub fn all<S: JobStore>(empty: impl Fn() -> S) {
    refused_calls_change_nothing(&empty());
    what_is_told_is_kept(&empty());
    first_in_first_out(&empty());
    lanes_are_apart_and_do_one_job_at_a_time(&empty());
    no_two_claims_get_the_same_job(&[&empty()]);
    only_legal_steps(&empty());
    needs_last_until_the_end(&empty());
    the_bound_holds(&empty());
    claims_are_renewed_by_who_has_them(&empty());
    recovery_fails_what_was_cut_off(&empty());
    lapsed_claims_are_recovered_by_others(&empty());
    jobs_are_called_off(&empty());
    lists_begin_with_the_last_queued(&empty());
    pruning_keeps_the_newest(&empty());
    notes_outlast_their_jobs(&empty());
}

/// The worker of most rules.
const WORKER: &str = "worker";

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(1_700_000_000 + second)
}

#[track_caller]
fn ok<T>(rule: &str, call: Result<T, QueueError>) -> T {
    match call {
        Ok(value) => value,
        Err(error) => panic!("{rule} A call failed: {error}"),
    }
}

#[track_caller]
fn same<T: PartialEq + Debug>(rule: &str, found: T, due: T) {
    assert!(found == due, "{rule} Found {found:?}, where {due:?} was due.");
}

#[track_caller]
fn is_illegal<T: Debug>(rule: &str, call: Result<T, QueueError>) {
    let illegal = matches!(call, Err(QueueError::Illegal { .. }));
    assert!(illegal, "{rule} Found {call:?}, where `Illegal` was due.");
}

#[track_caller]
fn put(rule: &str, store: &dyn JobStore, id: &str, second: i64) {
    ok(rule, store.enqueue(NewJob::new(id, "kind"), at(second), 100));
}

/// The job that is claimed by [`WORKER`] in the main lane.
#[track_caller]
fn claim(rule: &str, store: &dyn JobStore, second: i64) -> Option<Job> {
    ok(rule, store.claim(WORKER, MAIN_LANE, at(second)))
}

/// Claims the job `id`, which is the first that waits.
#[track_caller]
fn claim_first(rule: &str, store: &dyn JobStore, id: &str, second: i64) {
    let claimed = claim(rule, store, second).map(|job| job.id);
    same(rule, claimed.as_deref(), Some(id));
}

#[track_caller]
fn finish(rule: &str, store: &dyn JobStore, id: &str, second: i64) {
    ok(rule, store.finish(id, Outcome::success(json!(null)), at(second)));
}

#[track_caller]
fn get(rule: &str, store: &dyn JobStore, id: &str) -> Job {
    match ok(rule, store.get(id)) {
        Some(job) => job,
        None => panic!("{rule} The job {id} is gone."),
    }
}

/// A call that is refused leaves everything as it was.
pub fn refused_calls_change_nothing(store: &dyn JobStore) {
    let rule = "A call that is refused must change nothing.";
    put(rule, store, "a", 1);
    put(rule, store, "b", 2);
    claim_first(rule, store, "a", 3);
    let before = (
        get(rule, store, "a"),
        get(rule, store, "b"),
        ok(rule, store.counts()),
    );
    let again = NewJob::new("b", "other").with_payload(json!("other"));
    let refused = [
        store.enqueue(again, at(4), 100).is_err(),
        store.enqueue(NewJob::new("c", "kind"), at(4), 1).is_err(),
        store.renew("a", "stranger", at(4)).is_err(),
        store.renew("b", WORKER, at(4)).is_err(),
        store.finish("b", Outcome::failure("no"), at(4)).is_err(),
        store.finish("c", Outcome::failure("no"), at(4)).is_err(),
        store.cancel("c", at(4)).is_err(),
    ];
    same(
        "What cannot be done must be refused: a duplicate, one too many, a stranger's claim, the end of what was not begun, an \
         unknown id.",
        refused,
        [true; 7],
    );
    let after = (
        get(rule, store, "a"),
        get(rule, store, "b"),
        ok(rule, store.counts()),
    );
    same(rule, after, before);
    same(rule, ok(rule, store.get("c")), None);
}

/// A job is returned as it was queued and as it ended.
pub fn what_is_told_is_kept(store: &dyn JobStore) {
    let rule = "What a job was queued with must be kept.";
    let new = NewJob::new("r \"ü\"", "a kind")
        .in_lane("a lane")
        .needing("20260101T000000")
        .needing("ł \" [")
        .with_payload(json!({"roots": ["a/ü"], "n": 1}))
        .by_schedule(true);
    let queued = ok(rule, store.enqueue(new.clone(), at(1), 100));
    same(rule, queued, Job::queued(new.clone(), at(1)));
    same(rule, get(rule, store, &new.id), Job::queued(new.clone(), at(1)));
    same(rule, ok(rule, store.counts()).queued_by_schedule, 1);
    same(rule, ok(rule, store.get("unknown")), None);

    let rule = "Who has claimed a job, and when, must be kept.";
    let mut due = Job::queued(new.clone(), at(1));
    due.state = JobState::Processing;
    due.worker = Some(WORKER.to_owned());
    (due.started_at, due.renewed_at) = (Some(at(2)), Some(at(2)));
    let claimed = ok(rule, store.claim(WORKER, "a lane", at(2)));
    same(rule, claimed.as_ref(), Some(&due));
    same(rule, &get(rule, store, &new.id), &due);

    let rule = "How a job has ended must be kept.";
    let outcome = Outcome::failure("why")
        .with_log_tail(vec!["one".to_owned(), "two".to_owned()])
        .with_result(json!({"failed": 2}));
    ok(rule, store.finish(&new.id, outcome.clone(), at(3)));
    (due.state, due.message, due.log_tail) = (outcome.state, outcome.message, outcome.log_tail);
    (due.result, due.finished_at) = (outcome.result, Some(at(3)));
    same(rule, &get(rule, store, &new.id), &due);

    let rule = "The greatest id of a kind must be that of its jobs, byte by byte, ended ones included.";
    let greatest = |kind| ok(rule, store.greatest_id(kind));
    same(rule, greatest("a kind"), Some(new.id));
    same(rule, greatest("kind"), None);
    for id in ["10", "9", "a"] {
        ok(rule, store.enqueue(NewJob::new(id, "kind"), at(4), 100));
    }
    same(rule, greatest("kind"), Some("a".to_owned()));
}

/// A job moves as [`JobState::may_become`] says.
pub fn only_legal_steps(store: &dyn JobStore) {
    let done = || Outcome::success(json!(null));
    let rule = "A job that waits must not end but by being called off.";
    put(rule, store, "a", 1);
    is_illegal(rule, store.finish("a", done(), at(2)));
    is_illegal(rule, store.finish("a", Outcome::canceled(), at(2)));
    let rule = "A job that is Processing must end in a final state.";
    claim_first(rule, store, "a", 2);
    for state in [JobState::Queued, JobState::Processing] {
        let mut back = done();
        back.state = state;
        is_illegal(rule, store.finish("a", back, at(3)));
    }
    same(rule, get(rule, store, "a").state, JobState::Processing);
    let rule = "A job that has ended must stay as it is.";
    finish(rule, store, "a", 3);
    is_illegal(rule, store.finish("a", done(), at(4)));
    is_illegal(rule, store.cancel("a", at(4)));
    same(rule, get(rule, store, "a").finished_at, Some(at(3)));
    let rule = "What is not there must be told as `NotFound`.";
    let missing = [
        store.finish("zz", done(), at(7)),
        store.cancel("zz", at(7)).map(|_| ()),
        store.renew("zz", WORKER, at(7)).map(|_| ()),
    ];
    let told = |call: &Result<(), _>| matches!(call, Err(QueueError::NotFound(id)) if id == "zz");
    assert!(missing.iter().all(told), "{rule} Found {missing:?}.");
}

/// A name is needed while a job that needs it waits or is being done.
pub fn needs_last_until_the_end(store: &dyn JobStore) {
    let rule = "A name must be needed while a job that needs it waits or is being done, and no longer.";
    let needs = |name: &str| ok(rule, store.is_needed(name));
    put(rule, store, "before", 1);
    let new = NewJob::new("r", "kind").needing("v").needing("w");
    ok(rule, store.enqueue(new, at(1), 10));
    let all = || ["v", "w", "other", "before", "r", ""].map(needs);
    same(rule, all(), [true, true, false, false, false, false]);
    claim_first(rule, store, "before", 2);
    finish(rule, store, "before", 2);
    claim_first(rule, store, "r", 2);
    same(rule, all(), [true, true, false, false, false, false]);
    finish(rule, store, "r", 3);
    same(rule, all(), [false; 6]);
    let new = NewJob::new("canceled", "kind").needing("v");
    ok(rule, store.enqueue(new, at(4), 10));
    ok(rule, store.cancel("canceled", at(5)));
    same(rule, all(), [false; 6]);
}

/// No more jobs wait in a lane than may.
pub fn the_bound_holds(store: &dyn JobStore) {
    let rule = "No more jobs may wait in a lane than the call allows.";
    let put = |id: &str, lane: &str| store.enqueue(NewJob::new(id, "kind").in_lane(lane), at(1), 2);
    ok(rule, put("a", MAIN_LANE));
    ok(rule, put("b", MAIN_LANE));
    let again = put("a", MAIN_LANE);
    let told = matches!(again, Err(QueueError::Duplicate(_)));
    assert!(
        told,
        "An id that was used must be told before the bound. Found {again:?}."
    );
    let full = put("c", MAIN_LANE);
    assert!(matches!(full, Err(QueueError::Full(2))), "{rule} Found {full:?}.");
    same(rule, ok(rule, store.get("c")), None);
    let rule = "What waits in one lane must not keep jobs out of another.";
    ok(rule, put("d", "other"));
    let rule = "A job that is being done must not count as one that waits.";
    claim_first(rule, store, "a", 2);
    ok(rule, put("c", MAIN_LANE));
    let counts = ok(rule, store.counts());
    same(rule, (counts.queued, counts.processing), (3, 1));
}

/// Pages of the jobs, from the one that was queued last to the first, whatever became of them.
pub fn lists_begin_with_the_last_queued(store: &dyn JobStore) {
    let rule = "Jobs must be listed from the one that was queued last to the first, and counted.";
    let list = |offset, limit| {
        let listed = ok(rule, store.list(offset, limit));
        let ids: Vec<_> = listed.jobs.into_iter().map(|job| job.id).collect();
        (listed.total, ids.join(" "))
    };
    same(rule, list(0, 10), (0, String::new()));
    for id in ["9", "1", "5"] {
        put(rule, store, id, 1);
    }
    claim_first(rule, store, "9", 2);
    finish(rule, store, "9", 3);
    claim_first(rule, store, "1", 4);
    same(rule, list(0, 10), (3, "5 1 9".to_owned()));
    same(rule, list(1, 1), (3, "1".to_owned()));
    same(rule, list(2, usize::MAX), (3, "9".to_owned()));
    same(rule, list(3, 10), (3, String::new()));
    same(rule, list(0, 0), (3, String::new()));
    let found = ok(rule, store.list(0, 10)).jobs;
    let due = ["5", "1", "9"].map(|id| get(rule, store, id));
    same(rule, found, due.to_vec());
}

/// The newest ended jobs, what has not ended, and the greatest id of each kind stay.
pub fn pruning_keeps_the_newest(store: &dyn JobStore) {
    let rule = "Pruning must drop the oldest ended jobs, and neither what has not ended nor the greatest id of its kind.";
    let ids = ["9", "1", "other", "2", "3", "4"];
    for id in ids {
        let kind = if id == "other" { "other" } else { "kind" };
        ok(rule, store.enqueue(NewJob::new(id, kind), at(1), 100));
    }
    for id in &ids[..5] {
        claim_first(rule, store, id, 2);
        finish(rule, store, id, 3);
    }
    same(rule, ok(rule, store.prune(10)), 0);
    same(rule, ok(rule, store.prune(2)), 1);
    let left = ids.map(|id| ok(rule, store.get(id)).is_some());
    same(rule, left, [true, false, true, true, true, true]);
}

/// Notes stay, whatever becomes of their jobs, until they are dropped.
pub fn notes_outlast_their_jobs(store: &dyn JobStore) {
    let rule = "A note must be kept, in place of an earlier one of the same job and key.";
    let all = || ok(rule, store.notes());
    same(rule, all(), Vec::new());
    let (one, two) = (Note::new("a", "/ł \"b", "1"), Note::new("a", "/c", ""));
    let foreign = Note::new("unknown", "/c", "2");
    ok(
        rule,
        store.put_notes(&[one.clone(), two.clone(), foreign.clone()]),
    );
    same(rule, all(), vec![two, one.clone(), foreign.clone()]);
    let newer = Note::new("a", "/c", "3");
    ok(rule, store.put_notes(std::slice::from_ref(&newer)));
    ok(rule, store.put_notes(&[]));
    same(rule, all(), vec![newer.clone(), one.clone(), foreign.clone()]);

    let rule = "Notes must outlast their jobs, and also when these are dropped.";
    put(rule, store, "a", 1);
    put(rule, store, "b", 1);
    for id in ["a", "b"] {
        claim_first(rule, store, id, 2);
        finish(rule, store, id, 3);
    }
    same(rule, ok(rule, store.prune(0)), 1);
    same(rule, ok(rule, store.get("a")), None);
    same(rule, all(), vec![newer, one.clone(), foreign.clone()]);

    let rule = "Those notes of a job must be dropped that are named, and no other.";
    let keys = ["/c".to_owned(), "never noted".to_owned()];
    ok(rule, store.drop_notes("a", &keys));
    same(rule, all(), vec![one, foreign]);
}

/// What a call has done is there for a store that is opened after the first was dropped without further ado, as by the end of
/// its process. `open` opens the same place each time.
pub fn what_is_told_outlives_the_process<S: JobStore>(open: impl Fn() -> S) {
    let rule = "What a call has done must be there when the store is opened again.";
    let store = open();
    for id in ["a", "b", "c"] {
        put(rule, &store, id, 1);
    }
    claim_first(rule, &store, "a", 2);
    finish(rule, &store, "a", 3);
    claim_first(rule, &store, "b", 4);
    ok(rule, store.cancel("b", at(4)));
    ok(rule, store.put_notes(&[Note::new("a", "key", "value")]));
    let jobs = ["a", "b", "c"].map(|id| get(rule, &store, id));
    std::mem::forget(store);
    let store = open();
    same(rule, ["a", "b", "c"].map(|id| get(rule, &store, id)), jobs);
    same(
        rule,
        ok(rule, store.notes()),
        vec![Note::new("a", "key", "value")],
    );
    let cut = ok(rule, store.recover(WORKER, None, at(5)));
    same(
        rule,
        cut.into_iter().map(|job| job.id).collect(),
        vec!["b".to_owned()],
    );
    claim_first(rule, &store, "c", 6);
}
