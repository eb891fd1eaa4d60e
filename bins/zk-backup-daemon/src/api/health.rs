//! `GET /health`, `/health/live` and `/health/ready`.

mod storage;
mod told;

use health_metrics::{Problem, ProcessUsage, Schedule as Cron, ZooKeeperHealth};
use serde::Serialize;
use utoipa::ToSchema;

use self::storage::{Secondary, Storage};
use super::rfc3339;

pub(crate) use told::Told;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthStatus)]
enum Status {
    #[serde(rename = "UP")]
    Up,
    #[serde(rename = "DOWN")]
    Down,
    Warning,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ServerRole)]
enum Role {
    Leader,
    Standby,
}

/// The server answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    status: Status,
}

/// Whether work can be done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    /// What keeps it from being done; absent if nothing does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    status: Status,
}

/// How everything is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    status: Status,
    /// What this server is among several, and who leads: absent where there is only one, and the latter where nobody is known to lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    leader: Option<String>,
    /// Jobs that wait.
    backup_queue_size: usize,
    /// How long the oldest of them waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    oldest_queued_seconds: Option<u64>,
    storage: Storage,
    /// How old the newest successful backup is; without one, how long the server runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    seconds_since_success: Option<u64>,
    /// These two are 0 where they are not known.
    seconds_since_full_success: u64,
    seconds_since_granular_success: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    zookeeper: Option<ZooKeeper>,
    process: Process,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    schedule: Option<Schedule>,
    /// These three are absent if 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    unfinished_znodes: Option<u64>,
    /// Restores that the server's end has cut off, and that none has made up for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    interrupted_restores: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    damaged_vaults: Option<u64>,
    /// Absent without a second store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    secondary: Option<Secondary>,
    /// Backups of which it is not known yet whether they were found damaged; absent if 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    unread_vaults: Option<u64>,
    /// How long ago the backup was verified that was not for longest; where it never was, how old it is. Absent without backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    oldest_unverified_seconds: Option<u64>,
    /// When a backup was verified last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_verification: Option<String>,
    /// How long ago a backup was restored for a test last, and nothing differed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    seconds_since_proof: Option<u64>,
    /// Sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthZooKeeper)]
struct ZooKeeper {
    reachable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// How long ago that was found out.
    age_seconds: u64,
}

/// Figures that are not known are 0.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthProcess)]
struct Process {
    memory_bytes: u64,
    /// Of one core.
    cpu_percent: f32,
    uptime_seconds: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthSchedule)]
struct Schedule {
    cron: String,
    /// RFC 3339.
    next: Option<String>,
    missed: u64,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { status: Status::Up }
    }
}

impl Ready {
    pub(crate) fn is_ready(&self) -> bool {
        self.problems.is_empty()
    }
}

impl From<&health_metrics::Health> for Ready {
    fn from(health: &health_metrics::Health) -> Self {
        let problems: Vec<_> = health.hindrances().map(Problem::to_string).collect();
        let status = if problems.is_empty() {
            Status::Up
        } else {
            Status::Down
        };
        Self { problems, status }
    }
}

impl From<health_metrics::Health> for Health {
    fn from(health: health_metrics::Health) -> Self {
        let seconds = |time: std::time::Duration| time.as_secs();
        let unless_zero = |number: u64| Some(number).filter(|number| *number > 0);
        Self {
            status: match health.status() {
                health_metrics::Status::Up => Status::Up,
                health_metrics::Status::Warning => Status::Warning,
            },
            role: health
                .leadership
                .as_ref()
                .map(|leadership| match leadership.leads {
                    true => Role::Leader,
                    false => Role::Standby,
                }),
            leader: health.leadership.and_then(|leadership| leadership.leader),
            backup_queue_size: health.queued_jobs,
            oldest_queued_seconds: health.oldest_wait.map(seconds),
            storage: health.storage.into(),
            seconds_since_success: health.since_success.map(seconds),
            seconds_since_full_success: health.since_full_success.map_or(0, seconds),
            seconds_since_granular_success: health.since_granular_success.map_or(0, seconds),
            zookeeper: health.zookeeper.map(ZooKeeper::from),
            process: health.process.unwrap_or_default().into(),
            schedule: health.schedule.map(Schedule::from),
            unfinished_znodes: unless_zero(health.unfinished_znodes),
            interrupted_restores: unless_zero(health.interrupted_restores),
            damaged_vaults: unless_zero(health.damaged_backups),
            secondary: health.second_copy.map(Secondary::from),
            unread_vaults: unless_zero(health.unread_backups),
            oldest_unverified_seconds: health.since_oldest_verification.map(seconds),
            last_verification: health.last_verification.and_then(rfc3339),
            seconds_since_proof: health.since_last_proof.map(seconds),
            problems: health.problems.iter().map(Problem::to_string).collect(),
        }
    }
}

impl From<ZooKeeperHealth> for ZooKeeper {
    fn from(health: ZooKeeperHealth) -> Self {
        Self {
            reachable: health.reachable,
            version: health.version,
            mode: health.mode,
            error: health.error,
            age_seconds: health.age.as_secs(),
        }
    }
}

impl From<ProcessUsage> for Process {
    fn from(usage: ProcessUsage) -> Self {
        Self {
            memory_bytes: usage.memory_bytes,
            cpu_percent: usage.cpu_percent,
            uptime_seconds: usage.uptime.as_secs(),
        }
    }
}

impl From<Cron> for Schedule {
    fn from(schedule: Cron) -> Self {
        Self {
            cron: schedule.cron,
            next: schedule.next.and_then(rfc3339),
            missed: schedule.missed,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use health_metrics::{BackupOutcome, BackupSummary, Storage as Stored};
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn what_is_not_known_is_zero_null_or_absent() {
        let health = health_metrics::Health::new(Stored::default());
        assert_eq!(
            serde_json::to_value(Health::from(health)).unwrap(),
            json!({
                "status": "UP",
                "backup_queue_size": 0,
                "storage": {
                    "total_space": 0, "free_space": 0, "total_inodes": 0, "free_inodes": 0, "used_inodes": 0,
                    "dump_count": 0, "size": 0,
                },
                "seconds_since_full_success": 0,
                "seconds_since_granular_success": 0,
                "process": { "memory_bytes": 0, "cpu_percent": 0.0, "uptime_seconds": 0 },
            })
        );
    }

    #[test]
    fn what_is_wrong_is_told_in_sentences() {
        let date = OffsetDateTime::from_unix_timestamp(1_795_442_400).unwrap();
        let lacks = BackupOutcome::Partial("one znode".to_owned());
        let mut newest = BackupSummary::new("20261123T140000", date, lacks);
        newest.took = Some(Duration::from_millis(9_312));
        let mut storage = Stored::default();
        storage.newest = Some(newest);
        let mut health = health_metrics::Health::new(storage);
        health.oldest_wait = Some(Duration::from_millis(61_900));
        health.damaged_backups = 1;
        let full = Problem::StorageNotWritable("no space is left".to_owned());
        health.problems.insert(0, full);
        let ready = Ready::from(&health);
        assert!(!ready.is_ready());
        assert_eq!(
            serde_json::to_value(ready).unwrap(),
            json!({ "status": "DOWN", "problems": ["storage cannot be written: no space is left"] })
        );
        let health = serde_json::to_value(Health::from(health)).unwrap();
        assert_eq!(
            health["storage"]["last"],
            json!({
                "id": "20261123T140000", "ts": 1_795_442_400_000_i64, "failed": true, "locked": false,
                "sharded": false, "canceled": false,
                "metrics": { "exit_code": 2, "exception": "one znode", "spent_time": 9312, "size": 0 },
            })
        );
        assert_eq!(health["status"], "Warning");
        assert_eq!(health["oldest_queued_seconds"], 61);
        assert_eq!(health["damaged_vaults"], 1);
        assert_eq!(
            health["problems"],
            json!([
                "storage cannot be written: no space is left",
                "the newest backup 20261123T140000 failed: one znode",
            ])
        );
    }
}
