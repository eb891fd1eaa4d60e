//! What is read of the server's answers. All of an answer is kept beside it, for JSON lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::lenient::{entries, or_default};
use super::not_understood;
use super::results::{Restored, Verified};
use crate::exit::Failure;
use crate::text::count;

/// What is read of an answer, and all of it as it came.
#[derive(Debug, Clone)]
pub(crate) struct Told<T> {
    /// What is read.
    pub view: T,
    /// All of it.
    pub json: Value,
}

impl<T: DeserializeOwned> Told<T> {
    /// Reads an answer.
    ///
    /// # Errors
    /// It is none of this kind.
    pub(crate) fn of(json: Value) -> Result<Self, Failure> {
        let view = T::deserialize(&json).map_err(not_understood)?;
        Ok(Self { view, json })
    }
}

/// A backup, as `GET /listbackups/<id>` has it.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Backup {
    pub id: String,
    pub ts: i64,
    pub spent_time: String,
    pub size: String,
    /// Subtrees; of everything it is a text, and of a sealed one it may be null.
    #[serde(deserialize_with = "entries")]
    pub db_list: Vec<Option<String>>,
    #[serde(default)]
    pub is_granular: bool,
    pub evictable: bool,
    pub locked: bool,
    pub exit_code: i32,
    pub valid: bool,
    #[serde(default)]
    pub canceled: bool,
    pub mode: String,
    pub exception: Option<String>,
    pub consistency: Option<String>,
    pub znodes: Option<u64>,
    pub skipped: Option<Skipped>,
    pub before_restore_of: Option<String>,
    #[serde(default)]
    pub encrypted: bool,
    /// Where there are several storages.
    pub storage_name: Option<String>,
}

/// What a backup left out.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Skipped {
    /// Znodes that could not be read in full; absent of what cannot lack any.
    #[serde(default)]
    pub unreadable: u64,
}

impl Backup {
    /// Whether it lacks what could not be read, allowed or not.
    #[must_use]
    pub(crate) fn lacks(&self) -> bool {
        self.standing() == "partial" || self.unread() > 0
    }

    /// How many znodes could not be read in full.
    fn unread(&self) -> u64 {
        self.skipped.as_ref().map_or(0, |left| left.unreadable)
    }

    /// How it is, in a few words.
    #[must_use]
    pub(crate) fn how(&self) -> String {
        match (self.standing(), self.unread()) {
            (standing, 0) => standing.to_owned(),
            (standing, unread) => format!("{standing}, lacks {}", count(unread)),
        }
    }

    /// Bytes that it takes.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.size.trim_end_matches('b').parse().unwrap_or(0)
    }

    /// How long it took, in ms.
    #[must_use]
    pub(crate) fn spent_ms(&self) -> u64 {
        self.spent_time.trim_end_matches("ms").parse().unwrap_or(0)
    }

    /// The subtrees that it is of; none means all.
    #[must_use]
    pub(crate) fn roots(&self) -> Vec<String> {
        let roots = self.db_list.iter().flatten();
        roots
            .map(|root| format!("/{}", root.trim_start_matches('/')))
            .collect()
    }

    /// Of what it is, for people who see it after [`clean`](crate::text::clean). A sealed one that nobody opens does not tell.
    #[must_use]
    pub(crate) fn extent(&self) -> String {
        match self.roots() {
            roots if !roots.is_empty() => roots.join(" "),
            _ if self.is_granular => "subtrees (sealed)".to_owned(),
            _ => "everything".to_owned(),
        }
    }

    /// How it is, in a word.
    #[must_use]
    pub(crate) fn standing(&self) -> &'static str {
        match self.exit_code {
            _ if self.locked => "writing",
            _ if self.canceled => "canceled",
            2 => "partial",
            0 if self.valid => "ok",
            0 => "damaged",
            _ => "failed",
        }
    }
}

/// A job, as `GET /jobstatus/<id>` has it.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Job {
    pub status: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub task_id: String,
    pub vault: String,
    pub message: Option<String>,
    #[serde(default)]
    pub dbs: Vec<String>,
    #[serde(default)]
    pub dry_run: bool,
    pub progress: Option<Progress>,
    pub created_at: Option<String>,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    /// What came of it, in the server's own words.
    #[serde(default)]
    pub result: Value,
}

impl Job {
    /// What it does, in words.
    #[must_use]
    pub(crate) fn what(&self) -> &str {
        if self.dry_run { "dry run" } else { &self.kind }
    }

    /// Whether it has ended, well or not.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        matches!(&*self.status, "Successful" | "Failed" | "Canceled")
    }

    /// Whether it has ended well.
    #[must_use]
    pub(crate) fn is_successful(&self) -> bool {
        self.status == "Successful"
    }

    /// What came of it, if it is a restore.
    #[must_use]
    pub(crate) fn restored(&self) -> Restored {
        Restored::of(&self.result)
    }

    /// How many changes the restore that it plans cannot make, where that is all that it failed of, and others can be made.
    #[must_use]
    pub(crate) fn left_out(&self) -> Option<u64> {
        let is_failed = self.status == "Failed";
        is_failed.then(|| self.restored().left_out()).flatten()
    }

    /// What came of it, if it is a verification.
    #[must_use]
    pub(crate) fn verified(&self) -> Option<Verified> {
        Verified::of(&self.result)
    }
}

/// The jobs, as `GET /jobs` has them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Jobs {
    /// Some of them.
    Page {
        /// How many there are in all.
        #[serde(default)]
        total: usize,
        /// The newest first.
        jobs: Vec<Value>,
    },
    /// All of them, as older servers tell them.
    All(Vec<Value>),
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Progress {
    #[serde(default)]
    pub znodes: u64,
    #[serde(default)]
    pub bytes: u64,
    pub expected: Option<u64>,
    #[serde(default)]
    pub phase: String,
}

/// A znode, with its data and ACL where one was asked for.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Znode {
    pub path: String,
    pub name: String,
    pub kind: Option<String>,
    pub ttl_ms: Option<u64>,
    pub role: String,
    pub size: u64,
    pub children: u64,
    #[serde(deserialize_with = "or_default")]
    pub stat: Stat,
    pub data: Option<String>,
    pub acl: Option<Vec<AclEntry>>,
}

impl Znode {
    /// Its data.
    ///
    /// # Errors
    /// They came in no base64.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let data = self.data.as_deref().unwrap_or_default();
        let bytes = STANDARD.decode(data);
        bytes.map_err(|error| Failure::failed(format!("the server sent data that cannot be read: {error}")))
    }
}

/// What is read of a znode's `Stat`. What is not known is 0.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are ZooKeeper's
pub(crate) struct Stat {
    #[serde(deserialize_with = "or_default")]
    pub version: i64,
    #[serde(deserialize_with = "or_default")]
    pub mtime: i64,
    #[serde(deserialize_with = "or_default")]
    pub czxid: i64,
    #[serde(deserialize_with = "or_default")]
    pub mzxid: i64,
}

impl Stat {
    /// Whether the backup has it: what the predecessor wrote has neither versions nor times.
    pub(crate) fn is_known(&self, path: &str) -> bool {
        is_stat_known(self.czxid, path)
    }
}

/// Of all znodes only `/` is not created by a transaction.
pub(crate) fn is_stat_known(czxid: i64, path: &str) -> bool {
    czxid != 0 || path == "/"
}

/// Who may do what with a znode.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)] // the fields are ZooKeeper's
pub(crate) struct AclEntry {
    pub perms: u32,
    pub scheme: String,
    pub id: String,
}

impl std::fmt::Display for AclEntry {
    /// As `zkCli` has it: `scheme:id:permissions`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:", self.scheme, self.id)?;
        for (bit, letter) in [(4, 'c'), (8, 'd'), (1, 'r'), (2, 'w'), (16, 'a')] {
            if self.perms & bit != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// Some children of a znode.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ZnodePage {
    /// How many there are in all.
    pub total: usize,
    /// Those that were asked for.
    pub znodes: Vec<Value>,
}

/// Some of the backups that have a znode.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct FindPage {
    /// Where to go on.
    pub next: Option<usize>,
    /// Those that have it.
    pub found: Vec<Value>,
    /// Those that tell nothing of it.
    pub not_looked: Vec<Value>,
}

/// A backup that has a znode.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Found {
    pub id: String,
    pub ts: i64,
    pub size: u64,
    pub version: i32,
    pub mtime: i64,
    #[serde(default)]
    pub czxid: i64,
}

/// A backup that does not tell whether it has a znode.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct NotLooked {
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub why: String,
}

/// What would be done with a backup.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Eviction {
    pub id: String,
    pub action: String,
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_backup_lacks_is_among_how_it_is() {
        let of = |exit_code: i32, valid: bool, skipped: Value| {
            let json = json!({
                "id": "20261123T140000", "ts": 0, "spent_time": "1ms", "size": "1b", "db_list": "full backup", "evictable": true,
                "locked": false, "exit_code": exit_code, "valid": valid, "mode": "hierarchical", "skipped": skipped,
            });
            let backup = Told::<Backup>::of(json).unwrap().view;
            (backup.how(), backup.lacks())
        };
        let told = |how: &str, lacks| (how.to_owned(), lacks);
        assert_eq!(of(0, true, json!(null)), told("ok", false));
        assert_eq!(of(0, true, json!({ "unreadable": 0 })), told("ok", false));
        assert_eq!(of(0, true, json!({ "unreadable": 1 })), told("ok, lacks 1", true));
        assert_eq!(
            of(2, false, json!({ "unreadable": 2 })),
            told("partial, lacks 2", true)
        );
    }

    #[test]
    fn a_sealed_granular_backup_is_not_of_everything() {
        let of = |roots: Value, is_granular: bool| {
            let json = json!({
                "id": "20261123T140000", "ts": 0, "spent_time": "1ms", "size": "1b", "db_list": roots, "evictable": true,
                "locked": false, "exit_code": 0, "valid": true, "mode": "hierarchical", "is_granular": is_granular,
            });
            Told::<Backup>::of(json).unwrap().view.extent()
        };
        assert_eq!(of(json!([]), false), "everything");
        assert_eq!(of(json!(["a", "b"]), true), "/a /b");
        assert_eq!(of(json!([]), true), "subtrees (sealed)");
        assert_eq!(of(json!("full backup"), true), "subtrees (sealed)");
    }
}
