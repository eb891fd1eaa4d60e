//! `zk-backup status`.

use backup_engine::SystemClock;
use serde_json::Value;

use crate::api::Api;
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
    let has_problems = health["problems"]
        .as_array()
        .is_some_and(|problems| !problems.is_empty());
    let is_up = health["status"] == "UP" && !has_problems;
    if screen.is_json() {
        screen.json("health", health)?;
    } else {
        show(&health, is_up, screen)?;
    }
    Ok(if is_up { Exit::Done } else { Exit::Partial })
}

fn show(health: &Value, is_up: bool, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let text = |value: &Value| clean(value.as_str().unwrap_or_default()).into_owned();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let look = if is_up { Look::Good } else { Look::Bad };
    screen.line(&format!("status     {}", text(&health["status"])), Some(look))?;
    for problem in health["problems"].as_array().into_iter().flatten() {
        screen.line(&format!("problem    {}", text(problem)), Some(Look::Bad))?;
    }
    let storage = &health["storage"];
    for (name, backup) in [
        ("last", &storage["last"]),
        ("last good", &storage["lastSuccessful"]),
    ] {
        if backup.is_object() {
            let ago = age_of(number(&backup["ts"]));
            let failed = if backup["failed"] == true { ", failed" } else { "" };
            screen.line(&format!("{name:9}  {}  {ago}{failed}", text(&backup["id"])), None)?;
        }
    }
    if let Some(next) = health["schedule"]["next"].as_str().and_then(parse_time) {
        let schedule = format!("{} ({})", exact(next), age(next, SystemClock::now()));
        screen.line(
            &format!("next       {schedule}, by {}", text(&health["schedule"]["cron"])),
            None,
        )?;
    }
    let missed = number(&health["schedule"]["missed"]);
    if missed > 0 {
        screen.line(
            &format!("missed     {} runs of the schedule", count(missed)),
            Some(Look::Changed),
        )?;
    }
    let (free, total) = (number(&storage["free_space"]), number(&storage["total_space"]));
    // A bucket has no size.
    let room = match total {
        0 => String::new(),
        _ => format!("; {} free ({}%)", bytes(free), percent(free, total)),
    };
    let (backups, size) = (number(&storage["dump_count"]), number(&storage["size"]));
    screen.line(
        &format!("storage    {} backups, {}{room}", count(backups), bytes(size)),
        None,
    )?;
    screen.line(
        &format!(
            "queue      {} jobs wait",
            count(number(&health["backup_queue_size"]))
        ),
        None,
    )?;
    let zookeeper = &health["zookeeper"];
    if zookeeper["reachable"] == true {
        let (version, mode) = (text(&zookeeper["version"]), text(&zookeeper["mode"]));
        screen.line(format!("ZooKeeper  {version} {mode}").trim_end(), None)?;
    } else if zookeeper.is_object() {
        screen.line(
            &format!("ZooKeeper  does not answer: {}", text(&zookeeper["error"])),
            Some(Look::Bad),
        )?;
    }
    Ok(())
}

fn age_of(ms: u64) -> String {
    let then = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    then.map_or_else(|_| String::new(), |then| age(then, SystemClock::now()))
}
