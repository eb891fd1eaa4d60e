//! `zk-backup show`.

use backup_engine::SystemClock;

use super::facts::{self, flatten};
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, age, bytes, count, date, exact, spent};

/// Which backup.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Its id, or `latest`
    id: String,
}

/// What the lines above say, and what is beside the point.
const TOLD: [&str; 18] = [
    "id",
    "ts",
    "spent_time",
    "size",
    "db_list",
    "exit_code",
    "failed",
    "valid",
    "is_granular",
    "mode",
    "custom_vars",
    "exception",
    "locked",
    "canceled",
    "evictable",
    "znodes",
    "sharded",
    "consistency",
];

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let id = api.resolve(&args.id)?;
    let backup = api.describe(&id)?;
    if screen.is_json() {
        screen.json("backup", backup.json)?;
        return Ok(Exit::Done);
    }
    let (view, json) = (&backup.view, &backup.json);
    let date = date(view.ts);
    let mut facts = vec![
        ("backup".to_owned(), view.id.clone()),
        (
            "date".to_owned(),
            format!("{} ({})", exact(date), age(date, SystemClock::now())),
        ),
        ("state".to_owned(), view.how()),
        ("mode".to_owned(), view.mode.clone()),
        ("took".to_owned(), spent(view.spent_ms())),
        (
            "size".to_owned(),
            format!("{} ({} bytes)", bytes(view.bytes()), count(view.bytes())),
        ),
        ("of".to_owned(), view.extent()),
        (
            "policies".to_owned(),
            if view.evictable {
                "may evict it"
            } else {
                "leave it"
            }
            .to_owned(),
        ),
    ];
    if let Some(znodes) = view.znodes {
        facts.push(("znodes".to_owned(), count(znodes)));
    }
    if let Some(consistency) = &view.consistency {
        facts.push(("consistency".to_owned(), consistency.clone()));
    }
    if let Some(why) = &view.exception {
        facts.push(("why".to_owned(), why.clone()));
    }
    for (key, value) in json.as_object().into_iter().flatten() {
        if !TOLD.contains(&&**key) {
            flatten(&key.replace('_', " "), value, &mut facts);
        }
    }
    let state = view.standing();
    facts::write(&facts, screen, |name, fact| match (name, fact) {
        ("state", "ok") => Some(Look::Good),
        ("state", _) if state == "ok" => Some(Look::Changed),
        ("state" | "why", _) => Some(Look::Bad),
        _ => None,
    })?;
    Ok(Exit::Done)
}
