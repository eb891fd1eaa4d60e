//! Backups that came due while no process ran.

use std::time::Duration;

use backup_engine::Engine;
use time::OffsetDateTime;

use super::support::{DAY, HOUR, Running, World, full, run};

const MINUTE: Duration = Duration::from_mins(1);

/// A process that backs up at three o'clock.
fn at_three(world: &World) -> Running {
    world.start_with(|builder| builder.schedule("0 3 * * *".parse().unwrap()))
}

/// When the next one is due, and how many were missed.
async fn schedule(engine: &Engine) -> (OffsetDateTime, u64) {
    let schedule = engine.health().await.schedule.unwrap();
    (schedule.next.unwrap(), schedule.missed)
}

/// Lets it run until there is another newest backup than `last`, and returns that.
async fn next_but(engine: &Engine, last: &str) -> String {
    let (stop, running) = run(engine);
    let made = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let newest = engine.list().await.unwrap().pop().unwrap();
            if newest != last {
                return newest;
            }
            tokio::task::yield_now().await;
        }
    });
    let made = made.await.expect("it is made");
    drop(stop);
    running.await.unwrap();
    made
}

#[tokio::test]
async fn one_that_came_due_while_no_process_ran_is_made_once() {
    let world = World::new();
    let last = full(&at_three(&world).engine).await;
    world.pass(3 * HOUR + 3 * MINUTE);
    let made = next_but(&at_three(&world).engine, &last).await;
    assert_eq!(made, "20261121T030300");
    let tomorrow = world.now() + DAY - 3 * MINUTE;
    assert_eq!(schedule(&at_three(&world).engine).await, (tomorrow, 0));
    // Of many one is made.
    world.pass(30 * DAY);
    let engine = at_three(&world).engine;
    assert_eq!(next_but(&engine, &made).await, "20261221T030300");
    assert_eq!(schedule(&engine).await, (tomorrow + 30 * DAY, 0));
}

#[tokio::test]
async fn none_is_made_up_for_where_there_was_none_before_or_that_is_not_known() {
    let world = World::new();
    world.pass(3 * HOUR + 3 * MINUTE);
    let tomorrow = world.now() + DAY - 3 * MINUTE;
    assert_eq!(schedule(&at_three(&world).engine).await, (tomorrow, 0));
    full(&world.start().engine).await;
    world.pass(DAY);
    let (builder, vaults, _jobs) = world.builder();
    vaults.cut();
    let engine = builder.schedule("0 3 * * *".parse().unwrap()).build().unwrap();
    assert_eq!(schedule(&engine).await, (tomorrow + DAY, 0));
}
