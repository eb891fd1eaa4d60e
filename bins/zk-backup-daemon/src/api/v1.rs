//! The answers of `/api/v1`.

use backup_engine::{BackupInfo, JobInfo, JobKind, JobState};
use serde::Serialize;
use utoipa::ToSchema;
use zk_snapshot::tree::ZnodePath;

use super::rfc3339;
use crate::body::v1::{BLOB, STORAGE};

/// A backup or a restore.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobV1 {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    backup_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    restore_id: Option<String>,
    creation_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    completion_time: Option<String>,
    storage_name: String,
    blob_path: String,
    databases: Vec<Database>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobV1Status)]
enum Status {
    NotStarted,
    InProgress,
    Completed,
    Failed,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobV1Database)]
struct Database {
    /// What it was called in the backup, where it is restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous_database_name: Option<String>,
    database_name: String,
    status: Status,
}

impl JobV1 {
    /// A backup that was made well. `lost`: why it is no good any more.
    pub(crate) fn of_backup(job: JobInfo, lost: Option<String>) -> Self {
        match lost {
            None => Self::from(job),
            Some(why) => Self::from(JobInfo {
                status: JobState::Failed,
                message: Some(why),
                ..job
            }),
        }
    }
}

impl From<JobInfo> for JobV1 {
    fn from(job: JobInfo) -> Self {
        let status = match job.status {
            JobState::Queued => Status::NotStarted,
            JobState::Processing => Status::InProgress,
            JobState::Successful => Status::Completed,
            // Whoever waits for an end is to see one.
            JobState::Failed | JobState::Canceled => Status::Failed,
        };
        let restores = job.kind == JobKind::Restore;
        let database = |root: &ZnodePath| Database {
            previous_database_name: restores.then(|| name(root)),
            database_name: name(job.renames.get(root).unwrap_or(root)),
            status,
        };
        let label = |key: &str| job.labels.get(key).cloned().unwrap_or_default();
        let canceled = || "it was called off".to_owned();
        Self {
            status,
            error_message: (status == Status::Failed).then(|| job.message.clone().unwrap_or_else(canceled)),
            storage_name: label(STORAGE),
            blob_path: label(BLOB),
            databases: job.roots.iter().map(database).collect(),
            creation_time: rfc3339(job.created_at),
            completion_time: job.finished_at.and_then(rfc3339),
            backup_id: (!restores).then(|| job.id.clone()),
            restore_id: restores.then_some(job.id),
        }
    }
}

/// A finished backup whose job is remembered no more, or was that of another server.
impl From<BackupInfo> for JobV1 {
    fn from(info: BackupInfo) -> Self {
        let (manifest, valid) = (info.manifest(), info.is_valid());
        let status = if valid { Status::Completed } else { Status::Failed };
        let roots = manifest.and_then(|manifest| manifest.roots.as_ref());
        let database = |root: &String| Database {
            previous_database_name: None,
            database_name: root.trim_start_matches('/').to_owned(),
            status,
        };
        let reason = manifest.and_then(|manifest| manifest.reason().map(str::to_owned));
        Self {
            status,
            error_message: (!valid).then(|| info.damage.clone().or(reason).unwrap_or_default()),
            backup_id: Some(info.id.to_string()),
            restore_id: None,
            creation_time: rfc3339(info.id.time()),
            completion_time: manifest.and_then(|manifest| rfc3339(manifest.finished_at)),
            storage_name: info.storage.clone().unwrap_or_default(),
            blob_path: String::new(),
            databases: roots
                .map(|roots| roots.iter().map(database).collect())
                .unwrap_or_default(),
        }
    }
}

fn name(root: &ZnodePath) -> String {
    root.as_str().trim_start_matches('/').to_owned()
}

/// A backup that is removed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RemovedV1 {
    backup_id: String,
    /// As it was asked for.
    blob_path: String,
    /// Always `OK`.
    message: &'static str,
}

impl RemovedV1 {
    pub(crate) fn new(id: &str, blob: &str) -> Self {
        Self {
            backup_id: id.to_owned(),
            blob_path: blob.to_owned(),
            message: "OK",
        }
    }
}

/// A restore that a client is done with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ForgottenV1 {
    /// As it was asked for, now or with the restore.
    blob_path: String,
    /// Always `OK`.
    message: &'static str,
    restore_id: String,
}

impl ForgottenV1 {
    pub(crate) fn new(id: &str, blob: &str) -> Self {
        Self {
            blob_path: blob.to_owned(),
            message: "OK",
            restore_id: id.to_owned(),
        }
    }
}
