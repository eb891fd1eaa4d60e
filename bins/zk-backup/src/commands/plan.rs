//! What a restore does, or did, as people read it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::show::flatten;
use crate::api::Job;
use crate::exit::Failure;
use crate::text::{Look, Screen, clean, count};

fn number(report: &Value, field: &str) -> u64 {
    report.get(field).and_then(Value::as_u64).unwrap_or(0)
}

/// Whether the plan changes nothing.
pub(super) fn is_nothing(result: &Value) -> bool {
    let report = result.get("report");
    let changes = [
        "created",
        "data_changed",
        "acl_changed",
        "deleted",
        "failed",
        "counters_raised",
        "counters_left",
        "finished",
        "unfinished",
    ];
    report.is_some_and(|report| changes.iter().all(|field| number(report, field) == 0))
}

/// What a restore does, or did. Notes that are in `told` are not repeated, and the others put there.
pub(super) fn show(
    job: &Job,
    tense: &str,
    told: &mut BTreeSet<String>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    changes(job, tense, told, screen)?;
    if let Some(first) = job.result.get("backup_first").and_then(Value::as_str) {
        let words = format!(
            "what was there before is backup {}, which is pinned",
            clean(first)
        );
        screen.line(&words, None)?;
    }
    Ok(())
}

fn changes(
    job: &Job,
    tense: &str,
    told: &mut BTreeSet<String>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let Some(report) = job.result.get("report") else {
        // By files.
        let mut facts = Vec::new();
        flatten("", &job.result, &mut facts);
        for (name, fact) in facts {
            screen.line(&format!("{}: {fact}", name.trim()), None)?;
        }
        return Ok(());
    };
    show_differences(report, screen)?;
    let of = |field| count(number(report, field));
    screen.line(
        &format!(
            "{} {tense} created, {} given other data, {} another ACL, {} deleted; {} are as in the backup",
            of("created"),
            of("data_changed"),
            of("acl_changed"),
            of("deleted"),
            of("unchanged"),
        ),
        None,
    )?;
    for (field, words) in [
        ("left_alone", "ephemeral znodes and their parents are left alone"),
        ("unknown", "the backup could not read, and are left as they are"),
        ("met", "were created by others meanwhile, and are left alone"),
        ("counters_raised", "counters of sequential children are raised"),
        ("unfinished", "are left unfinished: restore again to finish them"),
    ] {
        if number(report, field) > 0 {
            screen.line(&format!("{} {words}", of(field)), None)?;
        }
    }
    for entry in entries(report, "failures")
        .iter()
        .chain(entries(report, "counters_left_behind"))
    {
        screen.line(
            &format!("! {}: {}", text(entry, "path"), text(entry, "why")),
            Some(Look::Bad),
        )?;
    }
    for note in job.result["notes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if told.insert(note.to_owned()) {
            screen.line(&format!("note: {}", clean(note)), None)?;
        }
    }
    Ok(())
}

/// The znodes that change, as far as they are named.
fn show_differences(report: &Value, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let differences = entries(report, "differences");
    for entry in differences {
        let (mark, look) = match entry["change"].as_str() {
            Some("create") => ('+', Look::Good),
            Some("delete") => ('-', Look::Bad),
            _ => ('~', Look::Changed),
        };
        let what = match entry["change"].as_str() {
            Some("data") => "  (data)",
            Some("acl") => "  (ACL)",
            _ => "",
        };
        screen.line(&format!("{mark} {}{what}", text(entry, "path")), Some(look))?;
    }
    let fields = ["created", "data_changed", "acl_changed", "deleted"];
    let all: u64 = fields.iter().map(|field| number(report, field)).sum();
    let more = all.saturating_sub(differences.len() as u64);
    if more > 0 && !differences.is_empty() {
        screen.line(&format!("… and {} more", count(more)), Some(Look::Dim))?;
    }
    Ok(())
}

fn entries<'a>(report: &'a Value, field: &str) -> &'a [Value] {
    let entries = report.get(field).and_then(Value::as_array);
    entries.map_or(&[], Vec::as_slice)
}

fn text(entry: &Value, field: &str) -> String {
    clean(entry[field].as_str().unwrap_or_default()).into_owned()
}
