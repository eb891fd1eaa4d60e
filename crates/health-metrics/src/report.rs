//! What can be said of a backup service at one moment.

use std::time::Duration;

use time::OffsetDateTime;

use crate::{Problem, ProcessUsage, StorageUsage};

/// Whether anything needs somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing does.
    Up,
    /// A [problem](Problem::warns) does.
    Warning,
}

/// How everything is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// Jobs that wait.
    pub queued_jobs: usize,
    /// How long the oldest of them waits.
    pub oldest_wait: Option<Duration>,
    /// The storage and its newest backups.
    pub storage: Storage,
    /// How old the newest successful backup is, full or granular; without one, how long the engine is there.
    pub since_success: Option<Duration>,
    /// The same of full backups.
    pub since_full_success: Option<Duration>,
    /// The same of granular ones.
    pub since_granular_success: Option<Duration>,
    /// The date of the newest successful full backup.
    pub last_full_success: Option<OffsetDateTime>,
    /// The same of granular ones.
    pub last_granular_success: Option<OffsetDateTime>,
    /// The ensemble, where it was asked.
    pub zookeeper: Option<ZooKeeperHealth>,
    /// This process, where the system tells.
    pub process: Option<ProcessUsage>,
    /// The schedule, where there is one.
    pub schedule: Option<Schedule>,
    /// Znodes that a restore has begun and that are not as in a backup yet.
    pub unfinished_znodes: u64,
    /// Restores that the end of a process has cut off, and that none has made up for.
    pub interrupted_restores: u64,
    /// Backups that are known to be damaged.
    pub damaged_backups: u64,
    /// Backups of which it is not known yet what was recorded of them: those may be damaged that are not counted. After a start over a remote storage
    /// with many it takes minutes until there are none.
    pub unread_backups: u64,
    /// How long ago the backup was verified that was not for longest; where it never was, how old it is.
    pub since_oldest_verification: Option<Duration>,
    /// When any backup was verified last.
    pub last_verification: Option<OffsetDateTime>,
    /// How long ago a backup was restored for a test last, and nothing differed.
    pub since_last_proof: Option<Duration>,
    /// Who leads, where several servers share a storage.
    pub leadership: Option<Leadership>,
    /// Copies in a second store, where there is one.
    pub second_copy: Option<SecondCopy>,
    /// What a webhook is owed, where there is one.
    pub webhook: Option<Webhook>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Health {
    /// A report on `storage`, with the problems of its newest backups, of which nothing else is known yet.
    #[must_use]
    pub fn new(storage: Storage) -> Self {
        let problems = storage.problems();
        Self {
            queued_jobs: 0,
            oldest_wait: None,
            storage,
            since_success: None,
            since_full_success: None,
            since_granular_success: None,
            last_full_success: None,
            last_granular_success: None,
            zookeeper: None,
            process: None,
            schedule: None,
            unfinished_znodes: 0,
            interrupted_restores: 0,
            damaged_backups: 0,
            unread_backups: 0,
            since_oldest_verification: None,
            last_verification: None,
            since_last_proof: None,
            leadership: None,
            second_copy: None,
            webhook: None,
            problems,
        }
    }

    /// Follows from the problems.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.problems.iter().any(Problem::warns) {
            Status::Warning
        } else {
            Status::Up
        }
    }

    /// Those of the problems that [keep everything from working](Problem::hinders).
    pub fn hindrances(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.hinders())
    }
}

/// The storage and its newest backups.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Storage {
    /// Where it is, for people, where that is no directory of this machine: then what there is room for is left out where it is not known.
    pub place: Option<String>,
    /// What there is room for; `None` for a store that has no such figures, or could not be asked.
    pub usage: Option<StorageUsage>,
    /// Whether backups cannot be listed: how many there are, and what they take, is not known then.
    pub unlisted: bool,
    /// Finished backups, failed ones included.
    pub backups: usize,
    /// Bytes that they take.
    pub bytes: u64,
    /// The newest.
    pub newest: Option<BackupSummary>,
    /// The newest that did not fail and is not known to be damaged.
    pub newest_good: Option<BackupSummary>,
    /// How long those took that did not fail and are not known to be damaged, in any order.
    pub durations: Vec<Duration>,
}

impl Storage {
    fn problems(&self) -> Vec<Problem> {
        let failed = self.newest.as_ref().and_then(|newest| {
            let id = newest.id.clone();
            match newest.outcome.clone() {
                BackupOutcome::Successful => None,
                BackupOutcome::Unknown(why) => Some(Problem::NewestBackupUnknown { id, why }),
                BackupOutcome::Partial(reason) | BackupOutcome::Failed(reason) => {
                    Some(Problem::NewestBackupFailed { id, reason })
                }
            }
        });
        let none_good = self.backups > 1 && self.newest_good.is_none();
        let none_good = none_good.then_some(Problem::NoGoodBackup(self.backups));
        failed.into_iter().chain(none_good).collect()
    }
}

/// One backup in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupSummary {
    /// Its id.
    pub id: String,
    /// When it was asked for, or ended, if that was earlier by the clock.
    pub date: OffsetDateTime,
    /// How it ended.
    pub outcome: BackupOutcome,
    /// How long it took, where that is known.
    pub took: Option<Duration>,
    /// Bytes that it takes.
    pub bytes: u64,
    /// A key of the request that is only recorded.
    pub sharded: bool,
}

impl BackupSummary {
    /// One of which nothing else is known yet.
    #[must_use]
    pub fn new(id: impl Into<String>, date: OffsetDateTime, outcome: BackupOutcome) -> Self {
        Self {
            id: id.into(),
            date,
            outcome,
            took: None,
            bytes: 0,
            sharded: false,
        }
    }
}

/// How a backup ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupOutcome {
    /// It has what it was to have.
    Successful,
    /// It lacks this, and was not allowed to.
    Partial(String),
    /// It holds nothing that is known, for this reason.
    Failed(String),
    /// It may be sound, and nothing can be told of it, for this reason.
    Unknown(String),
}

impl BackupOutcome {
    /// Why it failed, or what it lacks; `None` if it is successful, or nothing can be told of it.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Successful | Self::Unknown(_) => None,
            Self::Partial(why) | Self::Failed(why) => Some(why),
        }
    }
}

/// The ensemble. Whoever asks it builds this, with `..Default::default()` for what he does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ZooKeeperHealth {
    /// Whether it answers.
    pub reachable: bool,
    /// The server's version, such as `3.9.5`.
    pub version: Option<String>,
    /// `leader`, `follower`, `observer`, `standalone` or `read-only`.
    pub mode: Option<String>,
    /// Why it does not answer.
    pub error: Option<String>,
    /// How long ago that was found out.
    pub age: Duration,
}

/// Who leads, where several servers share a storage. Whoever leads builds this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leadership {
    /// Whether it is this one.
    pub leads: bool,
    /// The newest term that is known.
    pub term: u64,
    /// What the leader is called; `None` if there is none.
    pub leader: Option<String>,
}

/// The copies of backups in a second store. Whoever makes them builds this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecondCopy {
    /// Where that is, for people.
    pub place: String,
    /// Backups that have no copy there yet.
    pub lacking: u64,
    /// Bytes that they take.
    pub lacking_bytes: u64,
    /// How old the oldest of them is.
    pub oldest: Option<Duration>,
    /// Backups of which nothing but the copy there is left.
    pub only: u64,
    /// Copies there that were found damaged, and are not made anew yet.
    pub damaged: u64,
    /// Copies of evicted backups that are not removed yet.
    pub evicted: u64,
    /// Why not everything was done the last time.
    pub error: Option<String>,
}

/// What a webhook is to be told, and has not heard yet. Whoever tells it builds this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Webhook {
    /// Events.
    pub owed: u64,
    /// For how long the oldest of them is owed.
    pub oldest: Option<Duration>,
}

/// The schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedule {
    /// The cron expression.
    pub cron: String,
    /// The next run.
    pub next: Option<OffsetDateTime>,
    /// Runs that were due and were not made since the start.
    pub missed: u64,
    /// The longest time that it leaves between two runs, as far as can be told.
    pub interval: Option<Duration>,
}

impl Schedule {
    /// The schedule `cron`, without a run that is due or was missed.
    #[must_use]
    pub fn new(cron: impl Into<String>) -> Self {
        Self {
            cron: cron.into(),
            next: None,
            missed: 0,
            interval: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(outcome: BackupOutcome) -> BackupSummary {
        BackupSummary::new("20261123T140000", OffsetDateTime::UNIX_EPOCH, outcome)
    }

    #[test]
    fn the_status_follows_from_the_newest_backups_and_the_problems() {
        let good = || backup(BackupOutcome::Successful);
        let status = |backups, newest, newest_good| {
            Health::new(Storage {
                backups,
                newest,
                newest_good,
                ..Storage::default()
            })
            .status()
        };
        assert_eq!(status(0, None, None), Status::Up);
        assert_eq!(status(2, Some(good()), Some(good())), Status::Up);
        for outcome in [
            BackupOutcome::Failed,
            BackupOutcome::Partial,
            BackupOutcome::Unknown,
        ] {
            let newest = backup(outcome("no space".to_owned()));
            assert_eq!(status(2, Some(newest), Some(good())), Status::Warning);
        }
        assert_eq!(status(1, Some(good()), None), Status::Up);
        assert_eq!(status(2, Some(good()), None), Status::Warning);

        let mut health = Health::new(Storage::default());
        health.problems = vec![Problem::StorageUnreadable("gone".to_owned())];
        assert_eq!((health.status(), health.hindrances().count()), (Status::Up, 1));
        health.problems = vec![Problem::MoreDamagedBackups(1)];
        assert_eq!(
            (health.status(), health.hindrances().count()),
            (Status::Warning, 0)
        );
    }
}
