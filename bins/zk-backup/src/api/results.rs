//! What came of a job, as `GET /jobstatus/<id>` has it: what the commands read of it. What they do not know they show in the server's own words,
//! and so they do where a figure is none: it must not pass for a zero.

use serde::Deserialize;
use serde_json::Value;

use super::lenient::{entries, if_object, or_default, unless_false, unless_null};

/// What came of a restore, or would.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Restored {
    /// Whether it is a plan, gone through to its end.
    #[serde(deserialize_with = "or_default")]
    pub dry_run: bool,
    /// Absent of a restore by files, and where it is not understood.
    #[serde(deserialize_with = "if_object")]
    pub report: Option<Report>,
    #[serde(deserialize_with = "unless_false")]
    pub partial: bool,
    #[serde(deserialize_with = "or_default")]
    pub backup_first: Option<String>,
    /// Of a plan: interrupted restores of which nothing is told any more once this one has succeeded.
    #[serde(deserialize_with = "entries")]
    pub makes_up_for: Vec<String>,
    #[serde(deserialize_with = "entries")]
    notes: Vec<Option<String>>,
    /// Of a restore by files: where they are.
    #[serde(deserialize_with = "or_default")]
    directory: String,
    /// Of a restore by files: what is left to do by hand.
    #[serde(deserialize_with = "entries")]
    steps: Vec<Option<String>>,
}

/// What is, or would be, changed through the client API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Report {
    #[serde(deserialize_with = "unless_null")]
    pub created: u64,
    #[serde(deserialize_with = "unless_null")]
    pub data_changed: u64,
    #[serde(deserialize_with = "unless_null")]
    pub acl_changed: u64,
    #[serde(deserialize_with = "unless_null")]
    pub deleted: u64,
    #[serde(deserialize_with = "unless_null")]
    pub unchanged: u64,
    #[serde(deserialize_with = "unless_null")]
    pub left_alone: u64,
    #[serde(deserialize_with = "unless_null")]
    pub unknown: u64,
    /// Of a plan: what may not be read, and may differ in any way.
    #[serde(deserialize_with = "unless_null")]
    pub unseen: u64,
    #[serde(deserialize_with = "unless_null")]
    pub met: u64,
    #[serde(deserialize_with = "unless_null")]
    pub failed: u64,
    #[serde(deserialize_with = "unless_null")]
    pub counters_raised: u64,
    #[serde(deserialize_with = "unless_null")]
    pub counters_left: u64,
    #[serde(deserialize_with = "unless_null")]
    pub finished: u64,
    #[serde(deserialize_with = "unless_null")]
    pub unfinished: u64,
    /// The first changes.
    #[serde(deserialize_with = "entries")]
    pub differences: Vec<Change>,
    #[serde(deserialize_with = "entries")]
    failures: Vec<NotDone>,
    #[serde(deserialize_with = "entries")]
    counters_left_behind: Vec<NotDone>,
}

/// A znode, and what is done about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Change {
    #[serde(deserialize_with = "or_default")]
    pub path: String,
    /// `create`, `data`, `acl` or `delete`; a newer server may have more words.
    #[serde(deserialize_with = "or_default")]
    pub change: String,
}

/// A znode with which something could not be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct NotDone {
    #[serde(deserialize_with = "or_default")]
    pub path: String,
    #[serde(deserialize_with = "or_default")]
    pub why: String,
}

/// What a verification went through.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Verified {
    #[serde(default, deserialize_with = "unless_null")]
    pub vaults: u64,
    #[serde(default, deserialize_with = "unless_null")]
    pub bytes: u64,
    #[serde(default, deserialize_with = "unless_null")]
    pub damaged_vaults: u64,
    #[serde(default, deserialize_with = "unless_null")]
    pub copies: u64,
    #[serde(default, deserialize_with = "unless_null")]
    pub damaged_copies: u64,
    /// The first of the backups. Every verification tells them, and nothing else does.
    #[serde(deserialize_with = "entries")]
    pub damaged: Vec<Damaged>,
    /// The first of the copies.
    #[serde(default, deserialize_with = "entries")]
    pub copies_damaged: Vec<Damaged>,
    /// What there is to know of backups that are not damaged.
    #[serde(default, deserialize_with = "entries")]
    pub notes: Vec<Option<String>>,
}

/// A backup, or a second copy, with what is damaged in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Damaged {
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub restorable: bool,
    #[serde(deserialize_with = "entries")]
    pub damage: Vec<Damage>,
}

/// Where a file is damaged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Damage {
    #[serde(deserialize_with = "or_default")]
    pub file: String,
    #[serde(deserialize_with = "or_default")]
    pub frame: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    pub what: String,
}

impl Restored {
    /// Of a job that has not got that far there is nothing.
    pub(super) fn of(result: &Value) -> Self {
        Self::deserialize(result).unwrap_or_default()
    }

    /// What people should know.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().flatten().map(String::as_str)
    }

    /// Where the files are, if it is for people to restore them.
    #[must_use]
    pub(crate) fn by_hand(&self) -> Option<&str> {
        (!self.steps.is_empty()).then_some(&*self.directory)
    }

    /// Whether it is known that nothing is changed.
    #[must_use]
    pub(crate) fn is_nothing(&self) -> bool {
        self.report.as_ref().is_some_and(Report::is_nothing)
    }

    /// Of a plan that was gone through to its end: how many changes cannot be made, where there are others that can.
    pub(super) fn left_out(&self) -> Option<u64> {
        let report = self
            .report
            .as_ref()
            .filter(|report| self.dry_run && report.failed > 0)?;
        let others = [
            report.counters_raised,
            report.finished,
            report.unfinished,
            report.unseen,
        ];
        (report.changes() > 0 || others != [0; 4]).then_some(report.failed)
    }
}

impl Report {
    /// Changes to znodes, those of counters not counted.
    #[must_use]
    pub(crate) fn changes(&self) -> u64 {
        let changes = [self.created, self.data_changed, self.acl_changed, self.deleted];
        changes.into_iter().fold(0, u64::saturating_add)
    }

    /// What could not be done.
    pub(crate) fn not_done(&self) -> impl Iterator<Item = &NotDone> {
        self.failures.iter().chain(&self.counters_left_behind)
    }

    /// How many changes that failed are not named.
    pub(crate) fn unnamed(&self) -> u64 {
        self.failed.saturating_sub(self.failures.len() as u64)
    }

    fn is_nothing(&self) -> bool {
        let others = [
            self.failed,
            self.counters_raised,
            self.counters_left,
            self.finished,
            self.unfinished,
            self.unseen,
        ];
        self.changes() == 0 && others == [0; 6]
    }
}

impl Verified {
    /// `None` where it is no verification, or one that is not understood.
    pub(super) fn of(result: &Value) -> Option<Self> {
        Self::deserialize(result).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(json: &Value) -> Option<Report> {
        Restored::of(&json!({ "report": json })).report
    }

    #[test]
    fn what_an_older_server_lacks_and_what_is_null_is_nothing() {
        let without = Restored::of(&json!({ "report": { "created": 3 } }));
        let known = without.report.as_ref().unwrap();
        assert_eq!((known.created, known.finished, known.changes()), (3, 0, 3));
        assert_eq!((known.differences.len(), known.not_done().count()), (0, 0));
        assert_eq!((without.partial, without.backup_first.as_deref()), (false, None));
        assert!(Restored::of(&json!({ "partial": "of what?" })).partial);
        let nulls = Restored::of(&json!({
            "report": { "created": null, "differences": null, "failures": null },
            "partial": null, "backup_first": null, "notes": null,
        }));
        assert!(nulls.is_nothing() && !nulls.partial && nulls.notes().count() == 0);
        for nothing in [
            json!(null),
            json!({}),
            json!("?"),
            json!({ "report": null }),
            json!({ "report": [] }),
        ] {
            let told = Restored::of(&nothing);
            assert!(told.report.is_none() && !told.is_nothing(), "{nothing}");
        }
    }

    #[test]
    fn a_report_with_a_figure_that_is_none_is_not_taken_for_an_empty_one() {
        assert!(Restored::of(&json!({ "report": {} })).is_nothing());
        for odd in [
            json!("3"),
            json!(-3),
            json!(0.5),
            json!([3]),
            json!({ "znodes": 3 }),
        ] {
            let told = Restored::of(&json!({ "report": { "created": odd }, "partial": true }));
            assert!(told.report.is_none() && !told.is_nothing(), "{odd}");
            assert!(told.partial, "the rest is read all the same");
        }
        assert!(report(&json!("nothing to do")).is_none());
    }

    #[test]
    fn steps_that_are_left_are_for_people() {
        let of = |json| Restored::of(&json).by_hand().map(str::to_owned);
        let steps = json!({ "directory": "/recover", "steps": ["1. Stop every server."] });
        assert_eq!(of(steps).as_deref(), Some("/recover"));
        assert_eq!(of(json!({ "steps": [{ "do": "stop" }] })).as_deref(), Some(""));
        for none in [json!([]), json!(null)] {
            assert_eq!(of(json!({ "directory": "/recover", "steps": none })), None);
        }
    }

    #[test]
    fn every_kind_of_change_counts() {
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
            "unseen",
        ];
        for field in changes {
            assert!(
                !Restored::of(&json!({ "report": { field: 1 } })).is_nothing(),
                "{field}"
            );
        }
        for field in ["unchanged", "left_alone", "unknown", "met", "of_a_newer_server"] {
            assert!(
                Restored::of(&json!({ "report": { field: 1 } })).is_nothing(),
                "{field}"
            );
        }
    }

    #[test]
    fn a_plan_that_leaves_something_out_is_whole_and_has_something_else() {
        let of = |dry_run: Value, report: Value| {
            Restored::of(&json!({ "dry_run": dry_run, "report": report })).left_out()
        };
        assert_eq!(of(json!(true), json!({ "failed": 2, "created": 1 })), Some(2));
        for other in ["finished", "unseen"] {
            assert_eq!(of(json!(true), json!({ "failed": 2, other: 1 })), Some(2));
        }
        assert_eq!(of(json!(true), json!({ "failed": 2, "unchanged": 9 })), None);
        assert_eq!(of(json!(true), json!({ "created": 1 })), None);
        assert_eq!(of(json!(true), json!(null)), None);
        // One that ended early, a restore, and what is not understood.
        for other in [json!(null), json!(false), json!("yes")] {
            assert_eq!(
                of(other.clone(), json!({ "failed": 2, "created": 1 })),
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn no_entry_gets_lost_because_it_is_odd() {
        let told = report(&json!({
            "differences": [{ "path": "/a", "change": "moved", "to": "/b" }, { "path": 7 }, "/c"],
            "failures": [{ "path": "/a", "why": "it is locked" }, null],
            "counters_left_behind": [{ "path": "/q", "why": { "code": 7 } }],
        }))
        .unwrap();
        let change = |path: &str, change: &str| Change {
            path: path.to_owned(),
            change: change.to_owned(),
        };
        assert_eq!(
            told.differences,
            [change("/a", "moved"), change("", ""), change("", "")]
        );
        let not_done: Vec<_> = told.not_done().map(|of| (&*of.path, &*of.why)).collect();
        assert_eq!(not_done, [("/a", "it is locked"), ("", ""), ("/q", "")]);
        let told = Restored::of(&json!({ "notes": ["one", 2, null, "three"] }));
        assert_eq!(told.notes().collect::<Vec<_>>(), ["one", "three"]);
    }

    #[test]
    fn a_verification_is_told_by_what_is_damaged() {
        // As before second copies.
        let told = Verified::of(&json!({
            "vaults": 2, "bytes": 9, "damaged_vaults": 1,
            "damaged": [
                { "id": "a", "restorable": true, "damage": [{ "file": "tree.0", "frame": 3, "what": "cut" }] },
                { "id": "b", "restorable": null, "damage": [{ "file": "manifest.json", "frame": null }, 1] },
            ],
        }))
        .unwrap();
        assert_eq!((told.vaults, told.copies, told.damaged_copies), (2, 0, 0));
        let frames = |of: &Damaged| of.damage.iter().map(|at| at.frame).collect::<Vec<_>>();
        assert_eq!(frames(&told.damaged[0]), [Some(3)]);
        assert_eq!(frames(&told.damaged[1]), [None, None]);
        assert_eq!(
            (told.damaged[0].restorable, told.damaged[1].restorable),
            (true, false)
        );
        let of = |damaged: Value| Verified::of(&json!({ "damaged": damaged })).map(|told| told.damaged.len());
        assert_eq!([of(json!(null)), of(json!("none"))], [Some(0), Some(0)]);
        let noted = Verified::of(&json!({ "damaged": [], "notes": ["one", 2, null] })).unwrap();
        assert_eq!(noted.notes.iter().flatten().collect::<Vec<_>>(), ["one"]);
        // Another kind of check, and one whose figures are not understood, tell for themselves.
        assert!(Verified::of(&json!({ "differing": 0, "failures": [] })).is_none());
        assert!(Verified::of(&json!({ "damaged": [], "vaults": "two" })).is_none());
        assert!(Verified::of(&Value::Null).is_none());
    }
}
