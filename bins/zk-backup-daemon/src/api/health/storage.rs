//! What `GET /health` says of the storage, its newest backups and their second copies.

use health_metrics::{BackupOutcome, BackupSummary, SecondCopy, Storage as Stored, StorageUsage};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::ms;

/// Figures that are not known are 0.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthStorage)]
pub(super) struct Storage {
    /// The bucket; absent for a directory.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    place: Option<String>,
    /// Absent for a bucket.
    #[serde(flatten)]
    room: Option<Room>,
    /// Finished backups, failed ones included.
    dump_count: usize,
    /// Bytes that they take.
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last: Option<Backup>,
    #[serde(rename = "lastSuccessful", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_successful: Option<Backup>,
}

/// The second copies.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthSecondCopy)]
pub(super) struct Secondary {
    #[serde(rename = "where")]
    place: String,
    /// Backups that have none yet, and the bytes that they take.
    lacking: u64,
    lacking_bytes: u64,
    /// How old the oldest of them is; absent if all have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    oldest_seconds: Option<u64>,
    /// Backups of which nothing but the copy is left; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    only: Option<u64>,
    /// Copies that a verification found damaged, and that are not made anew yet; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    damaged: Option<u64>,
    /// Copies of evicted backups that are not removed yet.
    evicted: u64,
    /// Why not everything was done the last time; absent if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthRoom)]
struct Room {
    /// Bytes of the filesystem, and those that are free.
    total_space: u64,
    free_space: u64,
    total_inodes: u64,
    free_inodes: u64,
    used_inodes: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthBackup)]
struct Backup {
    id: String,
    /// When it was asked for, or ended, if that was earlier by the clock: ms since the Unix epoch.
    ts: i64,
    failed: bool,
    /// Always false: what is being written is in no report.
    locked: bool,
    sharded: bool,
    /// Always false.
    canceled: bool,
    metrics: Figures,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthFigures)]
struct Figures {
    /// As in `GET /listbackups/<id>`.
    exit_code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exception: Option<String>,
    /// In ms.
    spent_time: u64,
    /// In bytes.
    size: u64,
}

impl From<Stored> for Storage {
    fn from(storage: Stored) -> Self {
        let has_room = storage.usage.is_some() || storage.place.is_none();
        Self {
            room: has_room.then(|| storage.usage.unwrap_or_default().into()),
            place: storage.place,
            dump_count: storage.backups,
            size: storage.bytes,
            last: storage.newest.map(Backup::from),
            last_successful: storage.newest_good.map(Backup::from),
        }
    }
}

impl From<SecondCopy> for Secondary {
    fn from(copies: SecondCopy) -> Self {
        Self {
            place: copies.place,
            lacking: copies.lacking,
            lacking_bytes: copies.lacking_bytes,
            oldest_seconds: copies.oldest.map(|oldest| oldest.as_secs()),
            only: Some(copies.only).filter(|number| *number > 0),
            damaged: Some(copies.damaged).filter(|number| *number > 0),
            evicted: copies.evicted,
            error: copies.error,
        }
    }
}

impl From<StorageUsage> for Room {
    fn from(usage: StorageUsage) -> Self {
        let inodes = usage.inodes.unwrap_or_default();
        Self {
            total_space: usage.total_bytes,
            free_space: usage.free_bytes,
            total_inodes: inodes.total,
            free_inodes: inodes.free,
            used_inodes: inodes.used(),
        }
    }
}

impl From<BackupSummary> for Backup {
    fn from(backup: BackupSummary) -> Self {
        let spent = backup.took.unwrap_or_default().as_millis();
        let (exit_code, exception) = match backup.outcome {
            BackupOutcome::Successful => (0, None),
            BackupOutcome::Failed(why) | BackupOutcome::Unknown(why) => (1, Some(why)),
            BackupOutcome::Partial(lacks) => (2, Some(lacks)),
        };
        Self {
            id: backup.id,
            ts: ms(backup.date),
            failed: exit_code != 0,
            locked: false,
            sharded: backup.sharded,
            canceled: false,
            metrics: Figures {
                exit_code,
                exception,
                spent_time: u64::try_from(spent).unwrap_or(u64::MAX),
                size: backup.bytes,
            },
        }
    }
}
