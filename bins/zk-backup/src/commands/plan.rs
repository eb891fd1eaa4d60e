//! What a restore does, or did, as people read it.

use std::collections::BTreeSet;

use super::facts::flatten;
use crate::api::{Job, Report, Restored};
use crate::exit::Failure;
use crate::text::{Look, Screen, clean, count};

/// What a restore does, or did. Notes that are in `told` are not repeated, and the others put there.
pub(super) fn show(
    job: &Job,
    restored: &Restored,
    tense: &str,
    told: &mut BTreeSet<String>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    match &restored.report {
        Some(report) => {
            changes(report, tense, screen)?;
            for note in restored.notes() {
                if told.insert(note.to_owned()) {
                    screen.line(&format!("note: {}", clean(note)), None)?;
                }
            }
        }
        // By files, or of a server whose report is not understood.
        None => {
            let mut facts = Vec::new();
            flatten("", &job.result, &mut facts);
            // How the backup is says nothing of what did not come about.
            let is_beside = |name: &str| !job.is_successful() && ["consistency", "partial"].contains(&name);
            for (name, fact) in facts.iter().filter(|(name, _)| !is_beside(name.trim())) {
                screen.line(&format!("{}: {fact}", name.trim()), None)?;
            }
        }
    }
    if let Some(first) = &restored.backup_first {
        let words = format!(
            "what was there before is backup {}, which is pinned",
            clean(first)
        );
        screen.line(&words, None)?;
    }
    Ok(())
}

fn changes(report: &Report, tense: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    show_differences(report, screen)?;
    screen.line(
        &format!(
            "{} {tense} created, {} given other data, {} another ACL, {} deleted; {} are as in the backup",
            count(report.created),
            count(report.data_changed),
            count(report.acl_changed),
            count(report.deleted),
            count(report.unchanged),
        ),
        None,
    )?;
    for (number, words) in [
        (
            report.left_alone,
            "ephemeral znodes and their parents are left alone",
        ),
        (
            report.unknown,
            "the backup could not read, and are left as they are",
        ),
        (
            report.unseen,
            "may not be read: a restore changes their ACLs to look at them, and how they differ is not counted",
        ),
        (report.met, "were created by others meanwhile, and are left alone"),
        (
            report.counters_raised,
            "counters of sequential children are raised",
        ),
        (
            report.unfinished,
            "are left unfinished: restore again to finish them",
        ),
    ] {
        if number > 0 {
            screen.line(&format!("{} {words}", count(number)), None)?;
        }
    }
    for entry in report.not_done() {
        screen.line(
            &format!("! {}: {}", clean(&entry.path), clean(&entry.why)),
            Some(Look::Bad),
        )?;
    }
    let unnamed = report.unnamed();
    if unnamed > 0 {
        let line = format!("! … and {} more", count(unnamed));
        screen.line(&line, Some(Look::Bad))?;
    }
    Ok(())
}

/// The znodes that change, as far as they are named. A word of a newer server is shown as it came.
fn show_differences(report: &Report, screen: &mut Screen<'_>) -> Result<(), Failure> {
    for entry in &report.differences {
        let (mark, look, what) = match &*entry.change {
            "create" => ('+', Look::Good, String::new()),
            "delete" => ('-', Look::Bad, String::new()),
            "data" => ('~', Look::Changed, "  (data)".to_owned()),
            "acl" => ('~', Look::Changed, "  (ACL)".to_owned()),
            "" => ('~', Look::Changed, String::new()),
            other => ('~', Look::Changed, format!("  ({})", clean(other))),
        };
        screen.line(&format!("{mark} {}{what}", clean(&entry.path)), Some(look))?;
    }
    let named = report.differences.len() as u64;
    let more = report.changes().saturating_sub(named);
    if more > 0 && named > 0 {
        screen.line(&format!("… and {} more", count(more)), Some(Look::Dim))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(result: &Value) -> String {
        shown_of("Successful", result)
    }

    fn shown_of(status: &str, result: &Value) -> String {
        let job = json!({
            "status": status, "type": "restore", "task_id": "t", "vault": "v", "result": result,
        });
        let job: Job = serde_json::from_value(job).unwrap();
        let mut out = Vec::new();
        let mut screen = Screen::plain(&mut out, false);
        let mut told = BTreeSet::from(["told before".to_owned()]);
        show(&job, &job.restored(), "were", &mut told, &mut screen).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_restore_is_shown_line_by_line() {
        let lines = shown(&json!({
            "report": {
                "created": 1, "deleted": 1, "data_changed": 1, "acl_changed": 1000, "unchanged": 7, "unseen": 4, "met": 2,
                "differences": [
                    { "path": "/a", "change": "create" }, { "path": "/b", "change": "delete" },
                    { "path": "/c", "change": "data" }, { "path": "/d", "change": "acl" },
                ],
                "failed": 8, "failures": [{ "path": "/e\u{1b}", "why": "no" }],
                "counters_left_behind": [{ "path": "/q", "why": "not empty" }],
            },
            "notes": ["told before", "told now"], "backup_first": "20261121T000000",
        }));
        assert_eq!(
            lines,
            "+ /a\n- /b\n~ /c  (data)\n~ /d  (ACL)\n… and 999 more\n\
             1 were created, 1 given other data, 1 000 another ACL, 1 deleted; 7 are as in the backup\n\
             4 may not be read: a restore changes their ACLs to look at them, and how they differ is not counted\n\
             2 were created by others meanwhile, and are left alone\n\
             ! /e\\u{1b}: no\n! /q: not empty\n\
             ! … and 7 more\nnote: told now\n\
             what was there before is backup 20261121T000000, which is pinned\n"
        );
    }

    #[test]
    fn what_a_newer_server_says_is_shown_as_it_came() {
        let lines = shown(&json!({
            "report": { "differences": [{ "path": "/a", "change": "moved\u{1b}" }, { "path": "/b" }, 7] },
        }));
        assert!(
            lines.starts_with("~ /a  (moved\\u{1b})\n~ /b\n~ \n0 were"),
            "{lines}"
        );
        let lines =
            shown(&json!({ "report": { "created": { "data": 2 } }, "backup_first": "b", "partial": false }));
        assert_eq!(
            lines,
            "backup first: b\npartial: no\nreport created data: 2\nwhat was there before is backup b, which is pinned\n"
        );
        assert_eq!(shown(&Value::Null), "");
        let failed = json!({ "consistency": "consistent", "partial": false, "directory": "/recover" });
        assert_eq!(shown_of("Failed", &failed), "directory: /recover\n");
        assert!(shown(&failed).contains("consistency: consistent\n"));
    }
}
