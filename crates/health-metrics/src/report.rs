use serde::Serialize;

use crate::{ProcessUsage, StorageUsage};

/// The answer of `GET /health`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// `UP`, or `Warning` when the newest backup failed, none of several succeeded, or a problem needs somebody.
    pub status: &'static str,
    /// Jobs that wait.
    pub backup_queue_size: usize,
    /// How long the oldest of them waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_queued_seconds: Option<u64>,
    /// The storage and its newest backups.
    pub storage: Storage,
    /// How old the newest successful backup is, full or granular; without one, how long the engine is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_since_success: Option<u64>,
    /// The same of full backups.
    pub seconds_since_full_success: u64,
    /// The same of granular ones.
    pub seconds_since_granular_success: u64,
    /// The ensemble, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zookeeper: Option<ZooKeeperHealth>,
    /// This process.
    pub process: ProcessUsage,
    /// The schedule, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Znodes that a restore has begun and that are not as in a backup yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub unfinished_znodes: u64,
    /// Backups that are known to be damaged.
    #[serde(skip_serializing_if = "is_zero")]
    pub damaged_vaults: u64,
    /// Those of the problems that keep everything from working.
    #[serde(skip)]
    pub hindrances: Vec<String>,
    /// What is wrong, in plain words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Health {
    /// A report on `storage`; the status follows from its newest backups.
    #[must_use]
    pub fn new(storage: Storage, backup_queue_size: usize) -> Self {
        let newest_failed = storage.last.as_ref().is_some_and(|last| last.failed);
        let none_succeeded = storage.dump_count > 1 && storage.last_successful.is_none();
        Self {
            status: if newest_failed || none_succeeded {
                "Warning"
            } else {
                "UP"
            },
            backup_queue_size,
            oldest_queued_seconds: None,
            storage,
            seconds_since_success: None,
            seconds_since_full_success: 0,
            seconds_since_granular_success: 0,
            zookeeper: None,
            process: ProcessUsage::default(),
            schedule: None,
            unfinished_znodes: 0,
            damaged_vaults: 0,
            hindrances: Vec::new(),
            problems: Vec::new(),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The storage and its newest backups.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Storage {
    /// The filesystem.
    #[serde(flatten)]
    pub usage: StorageUsage,
    /// Number of finished backups, failed ones included.
    pub dump_count: usize,
    /// Bytes that they take.
    pub size: u64,
    /// The newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<BackupSummary>,
    /// The newest that did not fail.
    #[serde(rename = "lastSuccessful", skip_serializing_if = "Option::is_none")]
    pub last_successful: Option<BackupSummary>,
}

/// One backup in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupSummary {
    /// Its id.
    pub id: String,
    /// When it was asked for, ms since the Unix epoch.
    pub ts: i64,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it is still being written.
    pub locked: bool,
    /// A key of the request that is only recorded.
    pub sharded: bool,
    /// Whether it was called off.
    pub canceled: bool,
    /// Its figures.
    pub metrics: BackupMetrics,
}

/// The figures of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupMetrics {
    /// 0 if it did not fail.
    pub exit_code: i32,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// How long it took, in ms.
    pub spent_time: i64,
    /// Bytes that it takes.
    pub size: u64,
}

/// The ensemble.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ZooKeeperHealth {
    /// Whether it answers.
    pub reachable: bool,
    /// The server's version, such as `3.9.5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `leader`, `follower`, `observer`, `standalone` or `read-only`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Why it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long ago that was found out.
    pub age_seconds: u64,
}

/// The schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schedule {
    /// The cron expression.
    pub cron: String,
    /// The next run, RFC 3339.
    pub next: Option<String>,
    /// Runs that were due and were not made since the start.
    pub missed: u64,
}
