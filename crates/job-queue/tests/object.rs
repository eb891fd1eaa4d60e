//! The behaviour suite over jobs on object storage, several processes on one storage, and how many requests that takes.
#![cfg(feature = "object-store")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod requests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use job_queue::{
    JobState, JobStore, Lease, LeaseTiming, MAIN_LANE, NewJob, Note, ObjectJobs, Outcome, QueueError,
    conformance,
};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use requests::{Counted, Fault};
use serde_json::json;
use time::OffsetDateTime;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap()
}

fn open(store: &Arc<Counted>) -> ObjectJobs {
    let store = Arc::clone(store) as Arc<dyn ObjectStore>;
    ObjectJobs::open_within(&store, "here/and there", Duration::from_secs(5)).unwrap()
}

fn put(jobs: &dyn JobStore, id: &str) {
    jobs.enqueue(NewJob::new(id, "kind"), now(), 100).unwrap();
}

fn do_one(jobs: &dyn JobStore, id: &str, result: serde_json::Value) {
    put(jobs, id);
    assert_eq!(jobs.claim("w", MAIN_LANE, now()).unwrap().unwrap().id, id);
    jobs.finish(id, Outcome::success(result), now()).unwrap();
}

#[test]
fn jobs_on_object_storage_conform() {
    conformance::all(|| open(&Arc::new(Counted::default())));
}

#[test]
fn jobs_on_object_storage_outlive_the_process() {
    let store = Arc::new(Counted::default());
    conformance::what_is_told_outlives_the_process(|| open(&store));
}

/// A directory as `object_store` has it creates objects by condition, and replaces none. It is told at once, and nothing is replaced.
#[test]
fn a_storage_that_replaces_nothing_by_condition_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(directory.path()).unwrap());
    let jobs = ObjectJobs::open_within(&store, "here", Duration::from_secs(600)).unwrap();
    put(&jobs, "a");
    let claimed = jobs.claim("w", MAIN_LANE, now()).unwrap_err().to_string();
    assert!(claimed.contains("PutMode::Update"), "{claimed}");
    let other = ObjectJobs::open(&store, "here").unwrap();
    assert_eq!(other.get("a").unwrap().unwrap().state, JobState::Queued);
}

#[test]
fn no_two_claims_of_several_processes_get_the_same_job() {
    let store = Arc::new(Counted::default());
    let handles = [open(&store), open(&store), open(&store)];
    let handles: Vec<&dyn JobStore> = handles.iter().map(|jobs| jobs as &dyn JobStore).collect();
    conformance::no_two_claims_get_the_same_job(&handles);
}

#[tokio::test]
async fn it_may_be_called_and_dropped_within_a_runtime() {
    let jobs = Arc::new(open(&Arc::new(Counted::default())));
    put(&*jobs, "a");
    let other = Arc::clone(&jobs);
    let counted = tokio::task::spawn_blocking(move || other.counts().unwrap().queued).await;
    assert_eq!(counted.unwrap(), 1);
}

/// One write for each call that changes something and one read for each that does not: all that costs, as long as nobody else
/// writes.
#[test]
fn each_call_takes_one_request_and_a_job_takes_three() {
    let store = Arc::new(Counted::default());
    let jobs = open(&store);
    store.take();
    put(&jobs, "a");
    assert_eq!(store.take(), (0, 1), "enqueue");
    assert!(jobs.claim("w", MAIN_LANE, now()).unwrap().is_some());
    assert_eq!(store.take(), (0, 1), "claim");
    jobs.renew("a", "w", now()).unwrap();
    assert_eq!(store.take(), (0, 1), "renew");
    jobs.finish("a", Outcome::success(json!(null)), now()).unwrap();
    assert_eq!(store.take(), (0, 1), "finish");
    assert!(jobs.claim("w", MAIN_LANE, now()).unwrap().is_none());
    assert_eq!(store.take(), (1, 0), "nothing to claim");
    jobs.counts().unwrap();
    jobs.get("a").unwrap();
    assert!(jobs.finish("a", Outcome::failure("no"), now()).is_err());
    assert_eq!(store.take(), (3, 0), "what changes nothing");

    let other = open(&store);
    store.take();
    put(&other, "b");
    assert_eq!(store.take(), (0, 1), "another process");
    put(&jobs, "c");
    assert_eq!(
        store.take(),
        (1, 2),
        "after another process: a write that is refused, and a look"
    );
}

/// What changes stays small whatever has ended, and what has ended stays known.
#[test]
fn what_has_ended_is_moved_and_still_known_to_everybody() {
    let store = Arc::new(Counted::default());
    let (jobs, other) = (open(&store), open(&store));
    let result = json!("x".repeat(1_500));
    let mut requests = 0;
    for number in 0..200 {
        store.take();
        do_one(&jobs, &format!("{number:03}"), result.clone());
        let (reads, writes) = store.take();
        requests += reads + writes;
    }
    assert!(requests < 3 * 200 + 20, "{requests}");
    let largest = store.largest("state.json");
    assert!(largest < 80_000, "{largest}");
    for jobs in [&jobs, &other, &open(&store)] {
        for id in ["000", "100", "199"] {
            assert_eq!(jobs.get(id).unwrap().unwrap().result, result, "{id}");
        }
        let again = jobs.enqueue(NewJob::new("000", "kind"), now(), 100);
        assert!(matches!(again, Err(QueueError::Duplicate(_))), "{again:?}");
        let ended = jobs.finish("000", Outcome::failure("no"), now());
        assert!(
            matches!(
                ended,
                Err(QueueError::Illegal {
                    from: JobState::Successful,
                    ..
                })
            ),
            "{ended:?}"
        );
        assert!(matches!(
            jobs.cancel("001", now()),
            Err(QueueError::Illegal { .. })
        ));
        assert!(matches!(
            jobs.renew("001", "w", now()),
            Err(QueueError::NotHeld { .. })
        ));
        assert_eq!(jobs.greatest_id("kind").unwrap().as_deref(), Some("199"));
    }
    put(&jobs, "aaa");
    assert_eq!(other.prune(10).unwrap(), 190);
    assert_eq!(jobs.prune(10).unwrap(), 0);
    for (id, is_there) in [
        ("000", false),
        ("189", false),
        ("190", true),
        ("199", true),
        ("aaa", true),
    ] {
        assert_eq!(jobs.get(id).unwrap().is_some(), is_there, "{id}");
    }
    assert_eq!(other.prune(0).unwrap(), 10, "the greatest waits");
    assert_eq!(store.objects(), 1, "nothing is left of what nobody needs");
    put(&other, "000");
}

#[test]
fn a_write_whose_answer_is_lost_is_known_to_be_done_or_not() {
    for fault in [Fault::Lost, Fault::Refused, Fault::TwiceBelow] {
        let store = Arc::new(Counted::default());
        let jobs = open(&store);
        let plan = || store.plan(fault);
        plan();
        put(&jobs, "a");
        plan();
        assert_eq!(
            jobs.claim("w", MAIN_LANE, now())
                .unwrap()
                .map(|job| job.id)
                .as_deref(),
            Some("a"),
            "{fault:?}"
        );
        plan();
        jobs.finish("a", Outcome::success(json!(1)), now()).unwrap();
        plan();
        jobs.put_notes(&[Note::new("a", "k", "v")]).unwrap();
        let other = open(&store);
        assert_eq!(other.get("a").unwrap().unwrap().state, JobState::Successful);
        assert_eq!(other.notes().unwrap().len(), 1);
    }
}

/// Others write on top of a write whose answer was lost, before it is looked for.
#[test]
fn a_write_whose_answer_is_lost_is_found_below_those_of_others() {
    let store = Arc::new(Counted::default());
    let (jobs, other) = (open(&store), open(&store));
    put(&jobs, "a");
    for number in 0..5 {
        put(&other, &format!("b{number}"));
    }
    let other = Arc::new(other);
    let writing = Arc::clone(&other);
    assert_eq!(jobs.counts().unwrap().queued, 6);
    store.plan_then(Fault::Lost, move || {
        for number in 0..10 {
            put(&*writing, &format!("c{number}"));
        }
    });
    put(&jobs, "d");
    assert_eq!(other.counts().unwrap().queued, 17);
    assert!(jobs.get("d").unwrap().is_some());
}

#[test]
fn a_storage_that_fails_is_told_in_time_and_what_has_changed_hands_is_not_overwritten() {
    let store = Arc::new(Counted::default());
    let below = Arc::clone(&store) as Arc<dyn ObjectStore>;
    let jobs = ObjectJobs::open_within(&below, "p", Duration::from_secs(2)).unwrap();
    put(&jobs, "a");
    store.break_down(true);
    let begun = Instant::now();
    assert!(matches!(
        jobs.claim("w", MAIN_LANE, now()),
        Err(QueueError::Storage(_))
    ));
    let told = jobs.counts().unwrap_err();
    assert!(matches!(told, QueueError::Storage(_)));
    assert_eq!(
        told.to_string(),
        "the job database failed: AccessDenied: as was planned"
    );
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    store.break_down(false);
    assert!(jobs.recover("w", None, now()).unwrap().is_empty());
    assert_eq!(jobs.claim("w", MAIN_LANE, now()).unwrap().unwrap().id, "a");
}

#[test]
fn it_begins_without_its_storage_and_waits_for_it() {
    let store = Arc::new(Counted::default());
    let below = Arc::clone(&store) as Arc<dyn ObjectStore>;
    store.break_down(true);
    let jobs = Arc::new(ObjectJobs::unread(&below, "p").unwrap());
    let asked = Arc::clone(&jobs);
    let asked = std::thread::spawn(move || asked.get("a"));
    store.break_down(false);
    assert!(asked.join().unwrap().unwrap().is_none());
    put(&*jobs, "a");
    assert_eq!(jobs.counts().unwrap().queued, 1);
}

#[tokio::test]
async fn what_a_newer_program_wrote_is_refused_and_what_was_deleted_is_told() {
    let store = Arc::new(Counted::default());
    let path = Path::from("p/jobs/state.json");
    store
        .put(&path, r#"{"version": 2, "later": true}"#.into())
        .await
        .unwrap();
    let below = || Arc::clone(&store) as Arc<dyn ObjectStore>;
    assert!(matches!(
        ObjectJobs::open(&below(), "p"),
        Err(QueueError::Newer(2))
    ));
    store.put(&path, "{".into()).await.unwrap();
    let told = ObjectJobs::open(&below(), "p").unwrap_err().to_string();
    assert!(told.contains("p/jobs/state.json"), "{told}");
    store.delete(&path).await.unwrap();
    let jobs = ObjectJobs::open_within(&below(), "p", Duration::from_secs(2)).unwrap();
    put(&jobs, "a");
    store.delete(&path).await.unwrap();
    let told = jobs.counts().unwrap_err().to_string();
    assert!(told.contains("deleted"), "{told}");
    let told = jobs
        .enqueue(NewJob::new("b", "kind"), now(), 9)
        .unwrap_err()
        .to_string();
    assert!(told.contains("deleted"), "{told}");
    // It does not begin anew.
    let told = jobs.counts().unwrap_err().to_string();
    assert!(told.contains("deleted"), "{told}");
    jobs.enqueue(NewJob::new("b", "kind"), now(), 9).unwrap_err();
    assert!(store.head(&path).await.is_err());
}

/// A restore of 100,000 znodes, whose notes are put 128 at once, and dropped in the end.
#[test]
fn many_notes_take_little_more_than_a_request_each_time() {
    let store = Arc::new(Counted::default());
    let jobs = open(&store);
    jobs.put_notes(&[Note::new("other", "/kept", "value")]).unwrap();
    store.take();
    let key = |number: usize| format!("/a/path/of/some/length/that/is/usual/{number}");
    let all: Vec<_> = (0..100_000).map(key).collect();
    let mut calls = 0;
    for some in all.chunks(128) {
        let notes: Vec<_> = some
            .iter()
            .map(|key| Note::new("restore", key, r#"{"created":true,"vault":"20260101T000000"}"#))
            .collect();
        jobs.put_notes(&notes).unwrap();
        calls += 1;
    }
    let (reads, writes) = store.take();
    assert!(
        reads + writes < calls * 3 / 2,
        "{reads} reads and {writes} writes for {calls} calls"
    );
    assert!(store.largest("notes.json") < 90_000);
    assert_eq!(open(&store).notes().unwrap().len(), all.len() + 1);
    store.take();
    jobs.drop_notes("restore", &all[..50_000]).unwrap();
    let (reads, writes) = store.take();
    assert!(reads <= 2 && writes <= 2, "{reads} {writes}");
    assert_eq!(open(&store).notes().unwrap().len(), 50_001);
    open(&store).drop_notes("restore", &all).unwrap();
    assert_eq!(jobs.notes().unwrap(), [Note::new("other", "/kept", "value")]);
    assert_eq!(store.objects(), 1, "nothing is left of what nobody needs");
}

#[tokio::test]
async fn a_lease_is_taken_renewed_and_given_away() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let time = Arc::new(std::sync::Mutex::new(Duration::from_secs(1_000)));
    let pass = |seconds| *time.lock().unwrap() += Duration::from_secs(seconds);
    let lease = |name: &str| {
        let time = Arc::clone(&time);
        let uptime = Arc::new(move || *time.lock().unwrap());
        let address = format!("http://{name}:8080");
        Lease::new(
            Arc::clone(&store),
            "p",
            name,
            &address,
            LeaseTiming::default(),
            uptime,
        )
    };
    let (a, b) = (lease("a"), lease("b"));
    assert_eq!((a.holder(), a.remaining()), (None, Duration::ZERO));
    assert!(a.acquire().await.unwrap());
    assert!(!b.acquire().await.unwrap());
    let holder = b.holder().unwrap();
    assert_eq!(
        (&*holder.name, &*holder.address, holder.term),
        ("a", "http://a:8080", 1)
    );
    assert_eq!(a.holder(), b.holder());
    pass(20);
    assert_eq!(a.remaining(), Duration::from_secs(10));
    assert!(a.renew().await.unwrap());
    assert_eq!(a.remaining(), Duration::from_secs(30));
    assert!(!b.acquire().await.unwrap());
    pass(33);
    assert_eq!(a.remaining(), Duration::ZERO);
    assert!(!b.acquire().await.unwrap(), "clocks differ");
    pass(2);
    assert!(b.acquire().await.unwrap());
    assert_eq!(b.holder().unwrap().term, 2);
    assert!(!a.renew().await.unwrap());
    assert_eq!(a.holder().unwrap().name, "b");
    b.release().await.unwrap();
    assert_eq!(b.remaining(), Duration::ZERO);
    assert!(a.acquire().await.unwrap(), "at once");
    assert_eq!(a.holder().unwrap().term, 3);
    assert!(!b.acquire().await.unwrap());
    // A process that is started anew does not take over what it held.
    let again = lease("a");
    assert!(!again.acquire().await.unwrap());
    // Who lost it by his own clock alone has it again at once, in another term.
    pass(31);
    assert_eq!(a.held(), None);
    assert!(a.acquire().await.unwrap());
    assert_eq!(a.held().unwrap().term, 4);
}
