//! The behaviour suite over both stores, what only a database can suffer, and the runner.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use job_queue::{
    Clock, FaultyJobs, Job, JobCall, JobFault, JobHandler, JobState, JobStore, MAIN_LANE, MemoryJobs, NewJob,
    Note, Outcome, QueueError, Runner, SqliteJobs, Stop, conformance,
};
use time::OffsetDateTime;
use tokio::sync::Notify;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap()
}

fn put(store: &dyn JobStore, id: &str) {
    store.enqueue(NewJob::new(id, "kind"), now(), 100).unwrap();
}

#[test]
fn the_memory_store_conforms() {
    conformance::all(MemoryJobs::new);
}

#[test]
fn a_store_without_planned_faults_conforms() {
    conformance::all(|| FaultyJobs::new(Arc::new(MemoryJobs::new())));
}

#[test]
fn planned_faults_meet_the_calls_they_are_for() {
    let below = Arc::new(MemoryJobs::new());
    let jobs = FaultyJobs::new(Arc::clone(&below) as Arc<dyn JobStore>);
    let enqueue = |id: &str| jobs.enqueue(NewJob::new(id, "kind"), now(), 10);
    jobs.plan(JobCall::Enqueue, 2, JobFault::LoseAnswer);
    jobs.plan(JobCall::Enqueue, 3, JobFault::Fail);
    assert!(enqueue("a").is_ok());
    let lost = enqueue("b").unwrap_err().to_string();
    assert!(lost.contains("Enqueue"), "{lost}");
    assert!(enqueue("c").is_err());
    assert!(below.get("b").unwrap().is_some() && below.get("c").unwrap().is_none());

    let other = jobs.clone();
    jobs.plan(None, 2, JobFault::Delay(Box::new(move || other.cut())));
    assert!(jobs.counts().is_ok());
    assert_eq!(jobs.left(), 1);
    assert!(jobs.claim("w", MAIN_LANE, now()).is_err() && jobs.counts().is_err());
    assert_eq!(jobs.left(), 0);
    assert_eq!(below.counts().unwrap().processing, 0);
}

#[test]
fn the_sqlite_store_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    conformance::all(|| {
        count.set(count.get() + 1);
        SqliteJobs::open(&directory.path().join(format!("{}.db", count.get())))
            .unwrap()
            .jobs
    });
}

#[test]
fn jobs_in_sqlite_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    conformance::what_is_told_outlives_the_process(|| {
        let opened = SqliteJobs::open(&path).unwrap();
        assert_eq!(opened.moved_aside, None);
        opened.jobs
    });
}

#[test]
fn no_two_claims_get_the_same_job_through_two_handles() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let open = || SqliteJobs::open(&path).unwrap().jobs;
    conformance::no_two_claims_get_the_same_job(&[&open(), &open()]);
}

#[test]
fn what_is_no_sound_database_is_moved_aside_and_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    std::fs::write(&path, b"this is not a database at all, it is text").unwrap();
    let first = SqliteJobs::open(&path).unwrap();
    let aside = first.moved_aside.expect("the file was no database");
    assert!(std::fs::read(aside).unwrap().starts_with(b"this is not"));
    for i in 0..100 {
        let id = format!("job {i}");
        put(&first.jobs, &id);
        first.jobs.claim("w", MAIN_LANE, now()).unwrap();
        first.jobs.finish(&id, Outcome::failure("no"), now()).unwrap();
    }
    drop(first.jobs);
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[4096..end].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let second = SqliteJobs::open(&path).unwrap();
    assert!(second.moved_aside.is_some());
    put(&second.jobs, "anew");
}

/// Whenever the process ends while a damaged database is begun anew, the next one has its notes.
#[test]
fn no_note_is_lost_where_beginning_anew_is_cut_short() {
    let noted = |path: &std::path::Path| {
        let opened = SqliteJobs::open(path).unwrap();
        (opened.jobs.notes().unwrap().len(), opened.notes_lost)
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let note = [job_queue::Note::new("restore", "/a", "begun")];
    SqliteJobs::open(&path).unwrap().jobs.put_notes(&note).unwrap();
    // Cut short before the damaged one was moved aside, when a part of its successor was there.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("ALTER TABLE job DROP COLUMN result", []).unwrap();
    drop(other);
    std::fs::write(directory.path().join("jobs.db.new"), b"SQLite for").unwrap();
    assert_eq!(noted(&path), (1, false));
    // Cut short when it had been moved aside.
    std::fs::rename(&path, directory.path().join("jobs.db.new")).unwrap();
    assert_eq!(noted(&path), (1, false));
    assert!(!directory.path().join("jobs.db.new").exists());
}

#[test]
fn a_row_that_cannot_be_read_is_failed_and_named_and_the_next_job_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let store = SqliteJobs::open(&path).unwrap().jobs;
    let breaks = [
        "kind = x'00'",
        "needs = 'v'",
        "lane = x'00'",
        "payload = '{\"half'",
        "log_tail = 'x'",
        "result = ''",
        "created_at = 'noon'",
        "scheduled = 'perhaps'",
        "id = CAST(id AS BLOB)",
    ];
    let other = rusqlite::Connection::open(&path).unwrap();
    let spoil = |round: &str| {
        for (number, set) in breaks.iter().enumerate() {
            let id = format!("{round}{number}");
            put(&store, &id);
            other
                .execute(&format!("UPDATE job SET {set} WHERE id = ?1"), [&id])
                .unwrap();
        }
    };
    // While it runs.
    spoil("a");
    put(&store, "good");
    assert_eq!(store.counts().unwrap().queued, breaks.len() + 1);
    assert_eq!(store.claim("w", MAIN_LANE, now()).unwrap().unwrap().id, "good");
    assert_eq!(store.unreadable().unwrap().len(), breaks.len());
    assert!(
        store
            .unreadable()
            .unwrap()
            .pop()
            .unwrap()
            .starts_with("job a0: its row in the job database cannot be read")
    );
    assert_eq!(store.greatest_id("kind").unwrap().as_deref(), Some("good"));
    store.finish("good", Outcome::failure("no"), now()).unwrap();
    // Before it starts, whatever its state.
    spoil("b");
    other
        .execute("UPDATE job SET state = 'Processing' WHERE id = 'b1'", [])
        .unwrap();
    other
        .execute("UPDATE job SET state = 'Elsewhere' WHERE id = 'b2'", [])
        .unwrap();
    drop(store);
    let store = SqliteJobs::open(&path).unwrap().jobs;
    assert!(store.recover("w", None, now()).unwrap().is_empty());
    assert_eq!(
        store.claim("w", MAIN_LANE, now()).unwrap().map(|job| job.id),
        None
    );
    assert_eq!(store.unreadable().unwrap().len(), 2 * breaks.len());
    assert_eq!(store.prune(0).unwrap(), 2 * breaks.len(), "but for the greatest");
}

#[test]
fn a_job_whose_row_cannot_be_read_can_be_looked_at_and_takes_no_other_jobs_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let store = SqliteJobs::open(&path).unwrap().jobs;
    let other = rusqlite::Connection::open(&path).unwrap();
    put(&store, "1");
    put(&store, "2");
    put(&store, "3");
    store.claim("w", MAIN_LANE, now()).unwrap().unwrap();
    store.finish("1", Outcome::failure("no"), now()).unwrap();
    other
        .execute("UPDATE job SET payload = '{' WHERE id = '2'", [])
        .unwrap();
    other
        .execute("UPDATE job SET id = CAST(id AS BLOB) WHERE id = '3'", [])
        .unwrap();
    assert_eq!(store.claim("w", MAIN_LANE, now()).unwrap(), None);
    let before = store.greatest_id("kind").unwrap();
    store.prune(0).unwrap();
    assert_eq!(store.greatest_id("kind").unwrap(), before);
    let job = store.get("2").unwrap().unwrap();
    assert_eq!(job.state, JobState::Failed);
    assert!(job.message.unwrap().contains("cannot be read"));
}

#[test]
fn a_database_that_lacks_a_column_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let store = SqliteJobs::open(&path).unwrap().jobs;
    put(&store, "a");
    let note = Note::new("a", "key", "value");
    store.put_notes(std::slice::from_ref(&note)).unwrap();
    drop(store);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("ALTER TABLE job DROP COLUMN log_tail", []).unwrap();
    drop(other);
    let opened = SqliteJobs::open(&path).unwrap();
    assert!(opened.moved_aside.is_some());
    assert_eq!(opened.jobs.notes().unwrap(), [note], "what can be read is kept");
    put(&opened.jobs, "anew");
}

#[test]
fn the_database_is_the_owners_alone_and_never_behind_a_link() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let store = SqliteJobs::open(&path).unwrap().jobs;
    put(&store, "a");
    let names = ["jobs.db", "jobs.db-wal", "jobs.db-shm"];
    for name in names {
        let mode = std::fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(store);
    let elsewhere = directory.path().join("elsewhere");
    for name in names {
        let here = directory.path().join(name);
        for hard in [false, true] {
            let sound = std::fs::read(&here).ok();
            let _ = std::fs::remove_file(&here);
            std::fs::write(&elsewhere, sound.as_deref().unwrap_or_default()).unwrap();
            if hard {
                std::fs::hard_link(&elsewhere, &here).unwrap();
            } else {
                std::os::unix::fs::symlink(&elsewhere, &here).unwrap();
            }
            let refused = SqliteJobs::open(&path).unwrap_err().to_string();
            assert!(refused.contains(name) && refused.contains("link"), "{refused}");
            assert_eq!(
                std::fs::read(&elsewhere).unwrap(),
                sound.as_deref().unwrap_or_default()
            );
            std::fs::remove_file(&here).unwrap();
            std::fs::remove_file(&elsewhere).unwrap();
            if let Some(sound) = sound {
                std::fs::write(&here, sound).unwrap();
            }
        }
    }
    SqliteJobs::open(&path).unwrap();
}

#[test]
fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer
        .execute_batch("CREATE TABLE other (x); PRAGMA user_version = 7;")
        .unwrap();
    drop(newer);
    assert!(matches!(SqliteJobs::open(&path), Err(QueueError::Newer(7))));
    assert!(
        rusqlite::Connection::open(&path)
            .unwrap()
            .table_exists(None, "other")
            .unwrap()
    );
}

/// Remembers what it did; panics when it is told to.
#[derive(Default)]
struct Worker {
    done: Mutex<Vec<String>>,
    all_done: Notify,
}

#[async_trait]
impl JobHandler for Worker {
    async fn run(&self, job: Job, _stop: Stop) -> Outcome {
        assert_ne!(job.payload, "panic", "as asked");
        self.done.lock().unwrap().push(job.id.clone());
        if job.id == "last" {
            self.all_done.notify_one();
        }
        Outcome::success(serde_json::json!({ "did": job.id }))
    }
}

fn runner(store: &Arc<MemoryJobs>, worker: &Arc<Worker>) -> Runner {
    let clock: Clock = Arc::new(now);
    Runner::new(
        Arc::clone(store) as _,
        Arc::clone(worker) as _,
        clock,
        "w",
        MAIN_LANE,
    )
}

#[tokio::test]
async fn a_step_does_one_job_and_a_panic_fails_only_its_own() {
    let (store, worker) = (Arc::new(MemoryJobs::new()), Arc::new(Worker::default()));
    let runner = runner(&store, &worker);
    assert!(!runner.step().await.unwrap());
    let bad = NewJob::new("bad", "kind").with_payload("panic".into());
    store.enqueue(bad, now(), 9).unwrap();
    put(&*store, "good");
    assert!(runner.step().await.unwrap());
    assert_eq!(store.get("good").unwrap().unwrap().state, JobState::Queued);
    let bad = store.get("bad").unwrap().unwrap();
    assert_eq!(bad.state, JobState::Failed);
    assert!(bad.message.unwrap().contains("abnormally"));
    assert!(runner.step().await.unwrap());
    assert_eq!(store.get("good").unwrap().unwrap().state, JobState::Successful);
}

#[tokio::test]
async fn the_loop_wakes_for_new_jobs_and_stops_when_told() {
    let (store, worker) = (Arc::new(MemoryJobs::new()), Arc::new(Worker::default()));
    let runner = runner(&store, &worker);
    let waker = runner.waker();
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let running = tokio::spawn(async move { runner.run(stopped.notified()).await });
    for id in ["first", "last"] {
        put(&*store, id);
        waker.wake();
    }
    worker.all_done.notified().await;
    stop.notify_one();
    running.await.unwrap();
    assert_eq!(*worker.done.lock().unwrap(), ["first", "last"]);
    assert_eq!(
        store.get("last").unwrap().unwrap().state,
        JobState::Successful,
        "it was finished first"
    );
}

#[tokio::test]
async fn an_outcome_that_could_not_be_stored_is_stored_later() {
    let store = Arc::new(FaultyJobs::new(Arc::new(MemoryJobs::new())));
    store.plan(JobCall::Finish, 1, JobFault::Fail); // as on a full disk
    put(&*store, "a");
    put(&*store, "b");
    let worker = Arc::new(Worker::default());
    let clock: Clock = Arc::new(now);
    let runner = Runner::new(Arc::clone(&store) as _, worker as _, clock, "w", MAIN_LANE);
    assert!(matches!(runner.step().await, Err(QueueError::Storage(_))));
    let state = |id: &str| store.get(id).unwrap().unwrap().state;
    assert_eq!(state("a"), JobState::Processing);
    assert!(runner.step().await.unwrap());
    assert_eq!((state("a"), state("b")), (JobState::Successful, JobState::Queued));
    assert!(runner.step().await.unwrap());
    assert_eq!(state("b"), JobState::Successful);
    assert!(!runner.step().await.unwrap());
}
