//! The rules of who gets which job, and loses it.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::json;

use super::{WORKER, at, claim, claim_first, finish, get, is_illegal, ok, put, same};
use crate::{Job, JobState, JobStore, NewJob, Outcome, QueueError};

/// In a lane, jobs are claimed in the order in which they were queued.
pub fn first_in_first_out(store: &dyn JobStore) {
    let rule = "Jobs of a lane must be claimed in the order of queueing, whatever their ids and times.";
    for (id, second) in [("b", 2), ("a", 1), ("c", 0)] {
        put(rule, store, id, second);
    }
    same(rule, ok(rule, store.counts()).oldest_queued_at, Some(at(0)));
    for id in ["b", "a", "c"] {
        claim_first(rule, store, id, 9);
        finish(rule, store, id, 9);
    }
    same(rule, claim(rule, store, 9), None);
}

/// While a job of a lane is Processing no other of it is claimed, and those of other lanes are.
pub fn lanes_are_apart_and_do_one_job_at_a_time(store: &dyn JobStore) {
    let rule = "While a job of a lane is Processing no other job of the lane may be claimed, by nobody.";
    for (id, lane) in [("a", "one"), ("b", "one"), ("c", "two")] {
        ok(
            rule,
            store.enqueue(NewJob::new(id, "kind").in_lane(lane), at(1), 100),
        );
    }
    let claim = |worker, lane| ok(rule, store.claim(worker, lane, at(2))).map(|job| job.id);
    same(rule, claim("x", "one").as_deref(), Some("a"));
    same(rule, claim("x", "one"), None);
    same(rule, claim("y", "one"), None);
    let other = "A lane must not wait for another one.";
    same(other, claim("y", "two").as_deref(), Some("c"));
    same(other, claim("y", "three"), None);
    finish(rule, store, "a", 3);
    let next = "The next job of a lane must be claimed once the one before has ended, by anybody.";
    same(next, claim("y", "one").as_deref(), Some("b"));
}

/// Tells the other threads of a panic: the lane of the job that is left would never be free for them.
struct Broken<'a>(&'a AtomicBool);

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// Many threads that claim at once never get the same job, nor two of one lane. Give it one store, or several that were
/// opened over the same place.
pub fn no_two_claims_get_the_same_job(handles: &[&dyn JobStore]) {
    const JOBS: usize = 30;
    const LANES: [&str; 3] = ["one", "two", "three"];
    let rule = "No two claims may get the same job.";
    let Some(store) = handles.first() else {
        return;
    };
    for number in 0..JOBS {
        let new = NewJob::new(number.to_string(), "kind").in_lane(LANES[number % LANES.len()]);
        ok(rule, store.enqueue(new, at(1), JOBS));
    }
    let seen = Mutex::new(HashSet::new());
    let (busy, broken) = (LANES.map(|_| AtomicBool::new(false)), AtomicBool::new(false));
    let work = |worker: usize| {
        let _told = Broken(&broken);
        let (store, worker) = (handles[worker % handles.len()], worker.to_string());
        while !broken.load(Ordering::SeqCst) && ok(rule, store.counts()).queued > 0 {
            for (lane, busy) in LANES.iter().zip(&busy) {
                let Some(job) = ok(rule, store.claim(&worker, lane, at(2))) else {
                    continue;
                };
                let alone = !busy.swap(true, Ordering::SeqCst);
                assert!(alone, "No two jobs of one lane may be Processing at once.");
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let new = seen.insert(job.id.clone());
                assert!(new, "{rule} {} was claimed twice.", job.id);
                drop(seen);
                same(rule, job.worker.as_deref(), Some(&*worker));
                busy.store(false, Ordering::SeqCst);
                finish(rule, store, &job.id, 3);
            }
        }
    };
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..4).map(|worker| scope.spawn(move || work(worker))).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    });
    let seen = seen.into_inner().map_or(0, |seen| seen.len());
    same("Every job must be claimed.", seen, JOBS);
    let states = (0..JOBS).map(|number| get(rule, *store, &number.to_string()).state);
    let done = states.filter(|state| *state == JobState::Successful).count();
    same("Every job that was finished must be Successful.", done, JOBS);
}

/// A claim is renewed by the worker that has it, while it has it.
pub fn claims_are_renewed_by_who_has_them(store: &dyn JobStore) {
    let rule = "A claim must be renewed by the worker that has it.";
    put(rule, store, "a", 1);
    claim_first(rule, store, "a", 2);
    let renewed = ok(rule, store.renew("a", WORKER, at(5)));
    same(rule, renewed.renewed_at, Some(at(5)));
    same(rule, get(rule, store, "a"), renewed);
    let rule = "A claim that a worker has not, or has no more, must be told as `NotHeld`.";
    let not_held = |worker, second| {
        let told = store.renew("a", worker, at(second));
        let is = matches!(told, Err(QueueError::NotHeld { .. }));
        assert!(is, "{rule} Found {told:?}.");
    };
    not_held("other", 6);
    finish(rule, store, "a", 7);
    not_held(WORKER, 8);
    same(rule, get(rule, store, "a").renewed_at, Some(at(5)));
}

/// What a worker had when it was cut off is failed, and nothing else.
pub fn recovery_fails_what_was_cut_off(store: &dyn JobStore) {
    let rule = "Recovery must fail every job that the worker has, in any lane, and no other.";
    for (id, lane) in [("a", "one"), ("b", "two"), ("c", "three"), ("d", "one")] {
        ok(
            rule,
            store.enqueue(NewJob::new(id, "kind").in_lane(lane), at(1), 100),
        );
    }
    for (worker, lane) in [("mine", "one"), ("others", "two"), ("mine", "three")] {
        ok(rule, store.claim(worker, lane, at(3)));
    }
    let recover = |second| {
        let named = ok(rule, store.cut_off("mine", None));
        let still = named.iter().map(|job| get(rule, store, &job.id));
        let cut_off = "What recovery would fail must be told as it is, and stay so.";
        same(cut_off, still.collect::<Vec<_>>(), named.clone());
        let cut = ok(rule, store.recover("mine", None, at(second)));
        let ids = |jobs: &[Job]| jobs.iter().map(|job| job.id.clone()).collect::<Vec<_>>();
        same("Recovery must fail what was told before.", ids(&cut), ids(&named));
        cut.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    same(rule, recover(4), vec!["a".to_owned(), "c".to_owned()]);
    let job = get(rule, store, "a");
    same(
        "A job that was cut off must be Failed, with the message \"interrupted\".",
        (job.state, job.message.as_deref(), job.finished_at),
        (JobState::Failed, Some("interrupted"), Some(at(4))),
    );
    same(rule, get(rule, store, "b").state, JobState::Processing);
    same(rule, recover(5), Vec::new());
    let rule = "What waits must go on waiting when others are recovered, and be claimed next.";
    let next = ok(rule, store.claim("mine", "one", at(6)));
    same(rule, next.map(|job| job.id).as_deref(), Some("d"));
    let rule = "A job that was given up for lost must not be ended once more by who had it.";
    is_illegal(rule, store.finish("a", Outcome::success(json!(null)), at(7)));
}

/// What nobody was heard of for long enough is failed by others, if they ask for that.
pub fn lapsed_claims_are_recovered_by_others(store: &dyn JobStore) {
    let rule = "Recovery must fail the jobs of others that were renewed last before the time which is given.";
    for (id, lane) in [("a", "one"), ("b", "two"), ("c", "three")] {
        ok(
            rule,
            store.enqueue(NewJob::new(id, "kind").in_lane(lane), at(1), 100),
        );
        ok(rule, store.claim(id, lane, at(2)));
    }
    ok(rule, store.renew("b", "b", at(5)));
    ok(rule, store.renew("c", "c", at(6)));
    let named = ok(rule, store.cut_off("other", Some(at(5))));
    let named: Vec<_> = named.into_iter().map(|job| job.id).collect();
    same("What has lapsed must be told.", named, vec!["a".to_owned()]);
    let cut = ok(rule, store.recover("other", Some(at(5)), at(7)));
    let cut: Vec<_> = cut.into_iter().map(|job| job.id).collect();
    same(rule, cut, vec!["a".to_owned()]);
    same(rule, get(rule, store, "b").state, JobState::Processing);
    let lost = store.renew("a", "a", at(8));
    assert!(
        matches!(lost, Err(QueueError::NotHeld { .. })),
        "A worker whose claim has lapsed must be told so. Found {lost:?}."
    );
}

/// A job that waits is Canceled; the worker of one that is being done is told.
pub fn jobs_are_called_off(store: &dyn JobStore) {
    let rule = "A job that waits and is called off must be Canceled, and never claimed.";
    put(rule, store, "a", 1);
    put(rule, store, "b", 1);
    same(rule, ok(rule, store.cancel("a", at(2))), JobState::Canceled);
    let job = get(rule, store, "a");
    same(
        rule,
        (job.state, job.started_at, job.finished_at),
        (JobState::Canceled, None, Some(at(2))),
    );
    same(rule, job.message, Outcome::canceled_waiting().message);
    claim_first(rule, store, "b", 3);
    let rule = "A job that is being done and is called off must stay so, and its worker be told.";
    let asked = |job: Job| (job.state, job.cancel_requested);
    let renewed = ok(rule, store.renew("b", WORKER, at(4)));
    same(rule, asked(renewed), (JobState::Processing, false));
    for _ in 0..2 {
        same(rule, ok(rule, store.cancel("b", at(5))), JobState::Processing);
    }
    let renewed = ok(rule, store.renew("b", WORKER, at(6)));
    same(rule, asked(renewed), (JobState::Processing, true));
    same(rule, asked(get(rule, store, "b")), (JobState::Processing, true));
    let rule = "A job that is being done must be ended as Canceled when its worker says so.";
    ok(rule, store.finish("b", Outcome::canceled(), at(7)));
    same(rule, asked(get(rule, store, "b")), (JobState::Canceled, true));
}
