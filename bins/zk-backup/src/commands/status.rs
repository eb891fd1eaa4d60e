//! `zk-backup status`.

use backup_engine::SystemClock;

use crate::api::{Api, Health, Newest};
use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, age, bytes, clean, count, exact, parse_time, percent};

/// What is asked.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only whether the server answers, whatever else is wrong: what a container's health check asks
    #[arg(long)]
    live: bool,
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    if args.live {
        let live = api.live()?;
        match screen.is_json() {
            true => screen.json("live", live)?,
            false => screen.line("the server answers", None)?,
        }
        return Ok(Exit::Done);
    }
    let health = api.health()?;
    let is_up = health.view.is_up();
    if screen.is_json() {
        screen.json("health", health.json)?;
    } else {
        show(&health.view, is_up, screen)?;
    }
    Ok(if is_up { Exit::Done } else { Exit::Partial })
}

fn show(health: &Health, is_up: bool, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let look = if is_up { Look::Good } else { Look::Bad };
    screen.line(&format!("status     {}", clean(&health.status)), Some(look))?;
    for problem in &health.problems {
        screen.line(&format!("problem    {}", clean(problem)), Some(Look::Bad))?;
    }
    let storage = &health.storage;
    for (name, backup) in [("last", &storage.last), ("last good", &storage.last_successful)] {
        if let Some(Newest { id, ts, failed }) = backup {
            let failed = if *failed { ", failed" } else { "" };
            let line = format!("{name:9}  {}  {}{failed}", clean(id), age_of(*ts));
            screen.line(&line, None)?;
        }
    }
    let schedule = &health.schedule;
    if let Some(next) = schedule.next.as_deref().and_then(parse_time) {
        let next = format!("{} ({})", exact(next), age(next, SystemClock::now()));
        screen.line(&format!("next       {next}, by {}", clean(&schedule.cron)), None)?;
    }
    if schedule.missed > 0 {
        screen.line(
            &format!("missed     {} runs of the schedule", count(schedule.missed)),
            Some(Look::Changed),
        )?;
    }
    let (free, total) = (storage.free_space, storage.total_space);
    // A bucket has no size.
    let room = match total {
        0 => String::new(),
        _ => format!("; {} free ({}%)", bytes(free), percent(free, total)),
    };
    let (backups, size) = (storage.dump_count, storage.size);
    screen.line(
        &format!("storage    {} backups, {}{room}", count(backups), bytes(size)),
        None,
    )?;
    screen.line(
        &format!("queue      {} jobs wait", count(health.backup_queue_size)),
        None,
    )?;
    match &health.zookeeper {
        Some(zookeeper) if zookeeper.reachable => {
            let (version, mode) = (clean(&zookeeper.version), clean(&zookeeper.mode));
            screen.line(format!("ZooKeeper  {version} {mode}").trim_end(), None)?;
        }
        Some(zookeeper) => screen.line(
            &format!("ZooKeeper  does not answer: {}", clean(&zookeeper.error)),
            Some(Look::Bad),
        )?,
        None => {}
    }
    Ok(())
}

fn age_of(ms: u64) -> String {
    let then = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    then.map_or_else(|_| String::new(), |then| age(then, SystemClock::now()))
}
