//! A clock that was moved, and how old the newest backups are by it.

use std::time::Duration;

use backup_engine::{BackupRequest, Engine, JobState};
use eviction_policy::Action;
use health_metrics::{Problem, Status};

use super::{HOUR, World, backup};

/// Whether the clock is said to have moved.
async fn doubted(engine: &Engine) -> bool {
    let health = engine.health().await;
    let doubted = health
        .problems
        .iter()
        .any(|problem| matches!(problem, Problem::ClockMoved { .. }));
    assert_eq!(
        health.status() == Status::Warning,
        doubted,
        "{:?}",
        health.problems
    );
    assert!(health.hindrances().next().is_none());
    doubted
}

#[tokio::test]
async fn a_clock_that_jumps_ten_years_ahead_lets_no_policy_evict_anything() {
    let (world, jump) = (World::new(), time::Duration::days(3_650));
    let engine = world.start();
    let (a, _) = backup(&engine, &[]).await;
    world.pass(HOUR);
    let (b, _) = backup(&engine, &["/a"]).await;
    let (c, _) = backup(&engine, &[]).await;
    assert!(!doubted(&engine).await);

    world.set_clock(jump);
    let (ahead, _) = backup(&engine, &[]).await;
    let all = [&a, &b, &c, &ahead].map(Clone::clone);
    assert_eq!(engine.list().await.unwrap(), all);
    assert!(doubted(&engine).await);
    let plan = engine.evict(true).await.unwrap();
    assert!(plan.iter().all(|decision| decision.action == Action::Keep));
    assert!(plan[0].reason.contains("days ahead"), "{}", plan[0].reason);

    // A new process does not take it for years without a server, nor does one that finds the clock set right.
    drop(engine);
    world.times.lock().unwrap().1 = Duration::ZERO;
    let engine = world.start();
    assert!(doubted(&engine).await);
    engine.evict(false).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), all);
    world.set_clock(-jump);
    assert!(!doubted(&engine).await);
    world.pass(HOUR);
    assert!(!doubted(&engine).await);
    world.set_clock(time::Duration::hours(-26));
    assert!(doubted(&engine).await);
    world.set_clock(time::Duration::hours(26));

    // A week without a server is none of this, and policies go on.
    drop(engine);
    world.set_clock(time::Duration::days(8));
    world.times.lock().unwrap().1 = Duration::ZERO;
    let engine = world.start();
    assert!(!doubted(&engine).await);
    let (d, _) = backup(&engine, &[]).await;
    assert_eq!(
        engine.list().await.unwrap(),
        [b.clone(), ahead.clone(), d.clone()],
        "the newest granular one stays"
    );

    // An operator says that it is right.
    let (e, _) = backup(&engine, &[]).await;
    world.set_clock(jump);
    engine.evict(false).await.unwrap();
    assert!(engine.list().await.unwrap().contains(&d));
    engine.evict_trusting_clock(true).await.unwrap();
    assert!(doubted(&engine).await, "only asked what would be done");
    engine.evict_trusting_clock(false).await.unwrap();
    let left = engine.list().await.unwrap();
    assert!(!left.contains(&d) && !left.contains(&e), "{left:?}");
    drop(engine);
    assert!(!doubted(&world.start()).await);
}

#[tokio::test]
async fn freshness_counts_from_the_start_and_tells_full_from_granular() {
    let world = World::new();
    let engine = world.start();
    let fresh = async || {
        let health = engine.health().await;
        let (full, granular) = (
            health.since_full_success.unwrap().as_secs(),
            health.since_granular_success.unwrap().as_secs(),
        );
        let text = engine.metrics().await.unwrap();
        for (name, value) in [
            ("zk_backup_seconds_since_last_success", full.min(granular)),
            ("zk_backup_seconds_since_last_full_success", full),
            ("zk_backup_seconds_since_last_granular_success", granular),
        ] {
            let line = format!("{name} {value}");
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert_eq!(health.since_success.unwrap().as_secs(), full.min(granular));
        (full, granular)
    };
    world.pass(2 * HOUR);
    assert_eq!(fresh().await, (7_200, 7_200));
    assert_eq!(backup(&engine, &["/a"]).await.1, JobState::Successful);
    world.pass(HOUR);
    assert_eq!(fresh().await, (10_800, 3_600));
    // Several within a second have ids that run ahead: their date is their end.
    for _ in 0..3 {
        engine.backup(BackupRequest::default()).await.unwrap();
    }
    let (last, _) = backup(&engine, &[]).await;
    let now = world.times.lock().unwrap().0;
    assert_eq!(engine.describe(&last).await.unwrap().unwrap().date(), now);
    world.pass(HOUR);
    assert_eq!(fresh().await, (3_600, 7_200));

    // One backup by a clock that was nearly a day ahead, and none that succeeds since.
    world.set_clock(time::Duration::hours(23));
    assert_eq!(backup(&engine, &[]).await.1, JobState::Successful);
    assert_eq!(fresh().await.0, 0);
    world.set_clock(time::Duration::hours(-23));
    for hours in 2..5 {
        world.pass(HOUR);
        let (failed, state) = backup(&engine, &["/none"]).await;
        assert_eq!(state, JobState::Failed);
        assert_eq!(fresh().await.0, hours * 3_600);
        let problem = Problem::NewestBackupFailed {
            id: failed,
            reason: "no such znode to back up: /none".to_owned(),
        };
        let health = engine.health().await;
        assert_eq!(
            (health.status(), health.problems),
            (Status::Warning, vec![problem])
        );
    }
}

#[tokio::test]
async fn a_clock_that_is_set_by_hours_is_told_until_it_is_back_or_a_day_has_passed() {
    let world = World::new();
    let engine = world.start();
    let told = async || {
        let health = engine.health().await;
        let set = |problem: &Problem| match problem {
            Problem::ClockSet { why, .. } => Some(why.clone()),
            _ => None,
        };
        let told = health.problems.iter().find_map(set);
        assert_eq!(health.status() == Status::Warning, told.is_some());
        assert!(health.hindrances().next().is_none());
        told
    };
    assert_eq!(told().await, None);
    world.set_clock(time::Duration::minutes(9));
    assert_eq!(told().await, None, "corrected");
    world.set_clock(time::Duration::hours(20) - time::Duration::minutes(9));
    let why = told().await.unwrap();
    assert!(why.contains("20 hours and 0 minutes ahead of"), "{why}");
    world.pass(HOUR);
    assert!(told().await.is_some());
    world.set_clock(time::Duration::hours(-20));
    assert_eq!(told().await, None, "it is back");

    world.set_clock(time::Duration::hours(-3));
    let why = told().await.unwrap();
    assert!(why.contains("3 hours and 0 minutes behind"), "{why}");
    world.pass(24 * HOUR);
    assert!(told().await.is_some());
    world.pass(HOUR);
    assert_eq!(told().await, None, "it has stayed so for a day");

    world.set_clock(time::Duration::hours(5));
    assert!(told().await.is_some());
    engine.evict_trusting_clock(false).await.unwrap();
    assert_eq!(told().await, None, "an operator has said that it is right");
}

/// Each is less than a day, and is told for a day.
#[tokio::test]
async fn a_clock_that_is_set_again_and_again_moves_by_all_of_it() {
    let world = World::new();
    let engine = world.start();
    let told = async || {
        let health = engine.health().await;
        let set = |problem: &Problem| matches!(problem, Problem::ClockSet { .. });
        health.problems.iter().any(set)
    };
    assert!(!told().await);
    world.set_clock(time::Duration::hours(23));
    assert!(told().await);
    world.pass(25 * HOUR);
    assert!(!told().await, "it has stayed so for a day");
    assert!(!doubted(&engine).await);
    world.set_clock(time::Duration::minutes(50));
    assert!(told().await, "it is off otherwise than it was");
    world.set_clock(time::Duration::minutes(-50) + time::Duration::hours(23));
    assert!(doubted(&engine).await);
    world.set_clock(time::Duration::hours(-46));
    assert!(!told().await && !doubted(&engine).await, "it is back");
}
