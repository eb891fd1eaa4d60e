//! How everything is, as `GET /health` has it: what the commands read of it. What a server does not tell is nothing, so that the rest is shown.

use serde::Deserialize;

use super::lenient::{entries, or_default};

/// How everything is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Health {
    /// `UP`, or `Warning`.
    #[serde(deserialize_with = "or_default")]
    pub status: String,
    #[serde(deserialize_with = "entries")]
    pub problems: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub storage: Storage,
    #[serde(deserialize_with = "or_default")]
    pub schedule: Schedule,
    #[serde(deserialize_with = "or_default")]
    pub backup_queue_size: u64,
    #[serde(deserialize_with = "or_default")]
    pub zookeeper: Option<ZooKeeper>,
}

/// Where backups are. Figures that are not known are 0.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Storage {
    #[serde(deserialize_with = "or_default")]
    pub last: Option<Newest>,
    #[serde(rename = "lastSuccessful", deserialize_with = "or_default")]
    pub last_successful: Option<Newest>,
    #[serde(deserialize_with = "or_default")]
    pub free_space: u64,
    /// 0 of a bucket, which has no size.
    #[serde(deserialize_with = "or_default")]
    pub total_space: u64,
    #[serde(deserialize_with = "or_default")]
    pub dump_count: u64,
    #[serde(deserialize_with = "or_default")]
    pub size: u64,
}

/// One of the newest backups.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Newest {
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub ts: u64,
    #[serde(deserialize_with = "or_default")]
    pub failed: bool,
}

/// When backups are taken.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Schedule {
    #[serde(deserialize_with = "or_default")]
    pub cron: String,
    #[serde(deserialize_with = "or_default")]
    pub next: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub missed: u64,
}

/// What ZooKeeper last said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct ZooKeeper {
    #[serde(deserialize_with = "or_default")]
    pub reachable: bool,
    #[serde(deserialize_with = "or_default")]
    pub version: String,
    #[serde(deserialize_with = "or_default")]
    pub mode: String,
    #[serde(deserialize_with = "or_default")]
    pub error: String,
}

impl Health {
    /// Whether nothing is wrong. A server that does not say so is not taken for one.
    #[must_use]
    pub(crate) fn is_up(&self) -> bool {
        self.status == "UP" && self.problems.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Told;

    fn health(json: Value) -> Health {
        Told::of(json).unwrap().view
    }

    #[test]
    fn nothing_is_well_unless_the_server_says_so() {
        assert!(health(json!({ "status": "UP" })).is_up());
        assert!(health(json!({ "status": "UP", "problems": [] })).is_up());
        for odd in [
            json!({}),
            json!({ "status": null }),
            json!({ "status": ["UP"] }),
            json!({ "status": "Warning" }),
            json!({ "status": "STARTING" }),
            json!({ "status": "UP", "problems": ["disk full"] }),
            // What kind of a problem it is is not understood, but that there is one.
            json!({ "status": "UP", "problems": [{ "code": 7 }] }),
        ] {
            assert!(!health(odd.clone()).is_up(), "{odd}");
        }
        assert!(Told::<Health>::of(json!("<html>")).is_err(), "no server of ours");
    }

    #[test]
    fn what_one_server_does_not_tell_or_tells_otherwise_hides_nothing_else() {
        let older = health(json!({
            "status": "UP", "storage": { "dump_count": 2, "size": 10 }, "backup_queue_size": 1,
        }));
        assert_eq!((older.storage.dump_count, older.storage.total_space), (2, 0));
        assert!(older.storage.last.is_none() && older.zookeeper.is_none() && older.schedule.next.is_none());
        let odd = health(json!({
            "status": "UP", "problems": null, "backup_queue_size": "many",
            "storage": {
                "last": { "id": "a", "ts": -1, "failed": null }, "lastSuccessful": "b", "free_space": 1.5, "size": 10,
            },
            "schedule": { "cron": 7, "next": null, "missed": 2 },
            "zookeeper": { "reachable": "yes", "error": "it is gone" },
        }));
        let last = odd.storage.last.as_ref().unwrap();
        assert_eq!((&*last.id, last.ts, last.failed), ("a", 0, false));
        assert!(odd.is_up() && odd.storage.last_successful.is_none());
        assert_eq!((odd.storage.free_space, odd.storage.size), (0, 10));
        assert_eq!(
            (&*odd.schedule.cron, odd.schedule.missed, odd.backup_queue_size),
            ("", 2, 0)
        );
        let zookeeper = odd.zookeeper.unwrap();
        assert_eq!((zookeeper.reachable, &*zookeeper.error), (false, "it is gone"));
    }
}
