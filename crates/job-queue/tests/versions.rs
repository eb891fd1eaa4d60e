//! Databases of earlier versions, made by the schemas that they had.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use job_queue::{JobState, JobStore, MAIN_LANE, NewJob, Note, Outcome, QueueError, SqliteJobs};
use rusqlite::Connection;
use time::OffsetDateTime;

const VERSION_1: &str = "
    CREATE TABLE job (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        vault TEXT NOT NULL,
        payload TEXT NOT NULL,
        scheduled INTEGER NOT NULL,
        state TEXT NOT NULL,
        message TEXT,
        log_tail TEXT NOT NULL,
        result TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        finished_at INTEGER
    );
    CREATE INDEX job_by_state ON job (state, seq);
    CREATE INDEX job_by_kind ON job (kind, id);
    PRAGMA user_version = 1;";

const ROWS_1: &str = r#"
    INSERT INTO job (id, kind, vault, payload, scheduled, state, message, log_tail, result, created_at, started_at, finished_at)
    VALUES ('20260101T000000', 'backup', '20260101T000000', '{"roots":["a"]}', 1, 'Failed', 'why', '["one","two"]',
            '{"n":1}', 1700000000001, 1700000000002, 1700000000003),
           ('cut', 'restore', '20260101T000000', 'null', 0, 'Processing', NULL, '[]', 'null', 1700000000004, 1700000000005, NULL),
           ('bad', 'restore', x'ff01', 'null', 0, 'Queued', NULL, '[]', 'null', 1700000000006, NULL, NULL),
           ('waits', 'restore', '20260102T000000', '{"policy":"replace"}', 0, 'Queued', NULL, '[]', 'null', 1700000000007, NULL, NULL),
           ('20260103T000000', 'backup', '20260103T000000', '{"half', 0, 'Queued', NULL, '[]', 'null', 1700000000008, NULL, NULL),
           ('20260104T000000', 'backup', '20260104T000000', 'null', 1, 'Queued', NULL, '[]', 'null', 1700000000009, NULL, NULL);"#;

fn at(millisecond: i64) -> OffsetDateTime {
    let since = i128::from(1_700_000_000_000 + millisecond) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(since).unwrap()
}

/// A database of the first version, as a process leaves it that was killed.
fn version_1(path: &Path) -> Connection {
    let old = Connection::open(path).unwrap();
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    old.execute_batch(VERSION_1).unwrap();
    old.execute_batch(ROWS_1).unwrap();
    old
}

fn version(path: &Path) -> i64 {
    let other = Connection::open(path).unwrap();
    other
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

#[test]
fn the_first_version_becomes_this_one_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    std::mem::forget(version_1(&path));
    for _ in 0..2 {
        let opened = SqliteJobs::open(&path).unwrap();
        assert_eq!(opened.moved_aside, None);
        std::mem::forget(opened); // no orderly close: it is on disk all the same
        assert_eq!(version(&path), 2);
    }
    let jobs = SqliteJobs::open(&path).unwrap().jobs;
    let get = |id: &str| jobs.get(id).unwrap().unwrap();

    let ended = get("20260101T000000");
    assert_eq!(
        (&*ended.kind, &*ended.lane, ended.scheduled),
        ("backup", MAIN_LANE, true)
    );
    assert_eq!(ended.needs, Vec::<String>::new());
    assert_eq!(ended.payload, serde_json::json!({"roots": ["a"]}));
    assert_eq!(
        (ended.state, ended.message.as_deref()),
        (JobState::Failed, Some("why"))
    );
    assert_eq!(ended.log_tail, ["one", "two"]);
    assert_eq!(ended.result, serde_json::json!({"n": 1}));
    assert_eq!(
        (ended.created_at, ended.started_at, ended.finished_at),
        (at(1), Some(at(2)), Some(at(3)))
    );
    assert_eq!(
        (ended.worker, ended.renewed_at, ended.cancel_requested),
        (None, None, false)
    );

    // What was being done is what nobody has now.
    assert_eq!(get("cut").state, JobState::Processing);
    assert!(jobs.is_needed("20260101T000000").unwrap() && jobs.is_needed("20260102T000000").unwrap());
    assert!(!jobs.is_needed("20260104T000000").unwrap());
    assert_eq!(jobs.claim("w", MAIN_LANE, at(20)).unwrap(), None);
    let cut = jobs.recover("w", None, at(20)).unwrap();
    assert_eq!(cut.iter().map(|job| &*job.id).collect::<Vec<_>>(), ["cut"]);

    let (bad, half) = (get("bad"), get("20260103T000000"));
    assert_eq!((bad.state, half.state), (JobState::Failed, JobState::Failed));
    assert_eq!(jobs.unreadable().unwrap().len(), 2);

    let next = jobs.claim("w", MAIN_LANE, at(21)).unwrap().unwrap();
    assert_eq!(
        (&*next.id, next.needs),
        ("waits", vec!["20260102T000000".to_owned()])
    );
    jobs.finish("waits", Outcome::failure("no"), at(22)).unwrap();
    let next = jobs.claim("w", MAIN_LANE, at(23)).unwrap().unwrap();
    assert_eq!((&*next.id, next.needs), ("20260104T000000", Vec::new()));
    assert_eq!(
        jobs.greatest_id("backup").unwrap().as_deref(),
        Some("20260104T000000")
    );

    let new = NewJob::new("new", "restore").needing("v");
    jobs.enqueue(new, at(24), 10).unwrap();
    jobs.put_notes(&[Note::new("cut", "/a", "")]).unwrap();
    assert_eq!(jobs.notes().unwrap().len(), 1);
}

#[test]
fn one_that_cannot_be_brought_up_stays_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let old = version_1(&path);
    old.execute_batch("CREATE TABLE note (somebody, elses);").unwrap();
    drop(old);
    let refused = SqliteJobs::open(&path);
    assert!(matches!(refused, Err(QueueError::Storage(_))), "{refused:?}");
    assert_eq!(version(&path), 1);
    let old = Connection::open(&path).unwrap();
    let count = "SELECT count(*) FROM job WHERE vault = '20260102T000000'";
    let count: i64 = old.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
    old.execute_batch("DROP TABLE note;").unwrap();
    drop(old);
    let jobs = SqliteJobs::open(&path).unwrap().jobs;
    assert!(jobs.is_needed("20260102T000000").unwrap());
}

#[test]
fn one_that_lacks_a_column_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let old = version_1(&path);
    old.execute("ALTER TABLE job DROP COLUMN vault", []).unwrap();
    drop(old);
    let opened = SqliteJobs::open(&path).unwrap();
    assert_eq!(version(&opened.moved_aside.unwrap()), 1);
    assert_eq!(opened.jobs.counts().unwrap().queued, 0);
}
