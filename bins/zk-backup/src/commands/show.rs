//! `zk-backup show`.

use backup_engine::SystemClock;
use serde_json::Value;

use super::list::date;
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, age, bytes, clean, count, exact, spent};

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
    let date = date(view);
    let mut facts = vec![
        ("backup".to_owned(), clean(&view.id).into_owned()),
        (
            "date".to_owned(),
            format!("{} ({})", exact(date), age(date, SystemClock::now())),
        ),
        ("state".to_owned(), view.how()),
        ("mode".to_owned(), clean(&view.mode).into_owned()),
        ("took".to_owned(), spent(view.spent_ms())),
        (
            "size".to_owned(),
            format!("{} ({} bytes)", bytes(view.bytes()), count(view.bytes())),
        ),
        ("of".to_owned(), clean(&view.extent()).into_owned()),
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
        facts.push(("consistency".to_owned(), clean(consistency).into_owned()));
    }
    if let Some(why) = &view.exception {
        facts.push(("why".to_owned(), clean(why).into_owned()));
    }
    for (key, value) in json.as_object().into_iter().flatten() {
        if !TOLD.contains(&&**key) {
            flatten(&key.replace('_', " "), value, &mut facts);
        }
    }
    let width = facts
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    for (name, fact) in facts {
        let look = match (&*name, &*fact) {
            ("state", "ok") => Some(Look::Good),
            ("state", _) if view.standing() == "ok" => Some(Look::Changed),
            ("state" | "why", _) => Some(Look::Bad),
            _ => None,
        };
        screen.line(&format!("{name:width$}  {fact}"), look)?;
    }
    Ok(Exit::Done)
}

/// What else the server tells, in its own words: nothing of it is held back because it is new.
pub(super) fn flatten(name: &str, value: &Value, facts: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(&format!("{name} {}", key.replace('_', " ")), value, facts);
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                flatten(name, entry, facts);
            }
        }
        Value::Bool(truth) => facts.push((
            clean(name).into_owned(),
            if *truth { "yes" } else { "no" }.to_owned(),
        )),
        Value::String(text) => facts.push((clean(name).into_owned(), clean(text).into_owned())),
        Value::Number(number) => facts.push((clean(name).into_owned(), number.to_string())),
    }
}
