//! A job database that others have written into, or that is damaged.

use std::fs;

use backup_engine::{BackupRequest, JobState};
use health_metrics::Problem;

use super::{HOUR, World, backup};

#[tokio::test]
async fn a_bad_row_is_a_problem_and_the_next_job_is_done() {
    let world = World::new();
    let engine = world.start();
    let bad = engine.backup(BackupRequest::default()).await.unwrap();
    let other = rusqlite::Connection::open(world.storage.path().join("jobs.db")).unwrap();
    other.execute("UPDATE job SET payload = '{'", []).unwrap();
    world.pass(HOUR);
    assert_eq!(backup(&engine, &[]).await.1, JobState::Successful);
    let health = engine.health().await;
    assert!(
        health
            .problems
            .iter()
            .any(|problem| matches!(problem, Problem::UnreadableJob(why) if why.contains(&bad))),
        "{:?}",
        health.problems
    );
    assert!(health.hindrances().next().is_none(), "it is ready");
}

#[tokio::test]
async fn what_restores_left_unfinished_is_told_after_an_upgrade_and_a_damaged_job_database() {
    let world = World::new();
    let noted = r#"{"begun":{"path":"/a","created":true,"restore":"task","vault":"20260101T000000"}}"#;
    fs::write(
        world.storage.path().join("unfinished.jsonl"),
        format!("{noted}\n"),
    )
    .unwrap();
    let told = |health: &health_metrics::Health, what: &str| {
        let said = health
            .problems
            .iter()
            .any(|problem| problem.to_string().contains(what));
        assert!(said, "{what}: {:?}", health.problems);
        assert_eq!(health.unfinished_znodes, 1);
    };
    for _ in 0..2 {
        let engine = world.start();
        told(
            &engine.health().await,
            "the znode /a is unfinished since the restore task",
        );
    }
    let other = rusqlite::Connection::open(world.storage.path().join("jobs.db")).unwrap();
    other.execute("ALTER TABLE job DROP COLUMN result", []).unwrap();
    drop(other);
    let health = world.start().health().await;
    told(&health, "the znode /a is unfinished since the restore task");
    let lost = |health: &health_metrics::Health| {
        let problems = health.problems.iter();
        problems
            .filter(|problem| matches!(problem, Problem::UnfinishedUnknown))
            .count()
    };
    assert_eq!(lost(&health), 0, "all notes could be read");
    let health = world.start().health().await;
    assert_eq!(health.unfinished_znodes, 1, "it is in the new database");
    fs::write(world.storage.path().join("jobs.db"), b"no database").unwrap();
    let health = world.start().health().await;
    assert_eq!((lost(&health), health.unfinished_znodes), (1, 0));
}

#[tokio::test]
async fn a_database_that_is_gone_from_beside_backups_is_told_until_the_next_start() {
    let world = World::new();
    let unknown = |health: &health_metrics::Health| health.problems.contains(&Problem::UnfinishedUnknown);
    let jobs = world.storage.path().join("jobs.db");
    let remove = || {
        for name in ["jobs.db", "jobs.db-wal", "jobs.db-shm"] {
            let _ = fs::remove_file(world.storage.path().join(name)); // the last one who closes it removes those beside it
        }
    };
    // What the predecessor left knows of no jobs.
    let left = world.storage.path().join("20240105T100000");
    fs::create_dir(&left).unwrap();
    fs::write(left.join(".console"), "").unwrap();
    assert!(!unknown(&world.start().health().await), "it is the first start");
    remove();
    assert!(
        !unknown(&world.start().health().await),
        "there are no backups of ours"
    );
    let engine = world.start();
    let (_, state) = backup(&engine, &[]).await;
    assert_eq!(state, JobState::Successful);
    drop(engine);
    assert!(!unknown(&world.start().health().await), "it is there");
    remove();
    assert!(unknown(&world.start().health().await));
    assert!(!unknown(&world.start().health().await), "it was told");
    remove();
    fs::write(&jobs, "").unwrap();
    assert!(unknown(&world.start().health().await), "there is nothing in it");
}

#[tokio::test]
async fn a_job_of_a_kind_that_nobody_knows_is_failed_and_the_next_one_done() {
    let world = World::new();
    let engine = world.start();
    let strange = engine.backup(BackupRequest::default()).await.unwrap();
    let other = rusqlite::Connection::open(world.storage.path().join("jobs.db")).unwrap();
    other.execute("UPDATE job SET kind = 'reboot'", []).unwrap();
    world.pass(HOUR);
    let (id, state) = backup(&engine, &[]).await;
    assert_eq!(state, JobState::Successful);
    let job = engine.job(&strange).await.unwrap().unwrap();
    assert_eq!(job.status, JobState::Failed);
    assert!(job.message.unwrap().contains("reboot"));
    assert_eq!(engine.list().await.unwrap(), [id]);
}
