//! `GET /jobstatus/<id>`, `GET /jobs` and `POST /terminate/<id>`.

use backup_engine::{JobInfo, JobKind, JobPage, JobState, ProgressInfo};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use zk_snapshot::tree::ZnodePath;

use super::rfc3339;

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    pub(crate) status: JobState,
    /// Why it failed, or where it was canceled. Of one that is successful, too: that `HOOK_AFTER` failed, or that its end is not noted yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
    /// The backup it is about; empty for a verification of several.
    vault: String,
    #[serde(rename = "type")]
    kind: JobKind,
    /// The last lines of its log if it failed, or why where it has none, else `None`, as a text.
    err: String,
    task_id: String,
    /// The subtrees that were asked for; absent for everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dbs: Vec<String>,
    /// `true` for a restore that only tells what it would do; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dry_run: Option<bool>,
    /// How far it is, while it is being done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    progress: Option<Progress>,
    /// These three in RFC 3339.
    created_at: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    /// What came of it.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = backup_engine::JobResult)]
    result: Value,
}

/// Some of the jobs, the newest first. What came of each is told of one alone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Jobs {
    /// How many there are in all.
    total: usize,
    jobs: Vec<Job>,
}

impl From<JobPage> for Jobs {
    fn from(page: JobPage) -> Self {
        let without_result = |mut info: JobInfo| {
            info.result = Value::Null;
            Job::from(info)
        };
        Self {
            total: page.total,
            jobs: page.jobs.into_iter().map(without_result).collect(),
        }
    }
}

/// How far a job is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobProgress)]
struct Progress {
    /// Znodes done.
    znodes: u64,
    /// Bytes of data in them.
    bytes: u64,
    /// How many znodes there are likely to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expected: Option<u64>,
    /// What is being done.
    phase: String,
}

impl From<ProgressInfo> for Progress {
    fn from(info: ProgressInfo) -> Self {
        Self {
            znodes: info.znodes,
            bytes: info.bytes,
            expected: info.expected,
            phase: info.phase,
        }
    }
}

impl From<JobInfo> for Job {
    fn from(info: JobInfo) -> Self {
        let err = match info.status {
            // Of one that was interrupted there are no lines.
            JobState::Failed if info.log_tail.is_empty() => info.message.clone(),
            JobState::Failed => Some(info.log_tail.join("\n")),
            _ => None,
        };
        Self {
            status: info.status,
            message: info.message,
            vault: info.vault,
            kind: info.kind,
            err: err.unwrap_or_else(|| "None".to_owned()),
            task_id: info.id,
            dbs: info.roots.iter().map(db).collect(),
            dry_run: info.dry_run.then_some(true),
            progress: info.progress.map(Progress::from),
            created_at: rfc3339(info.created_at),
            started_at: info.started_at.and_then(rfc3339),
            finished_at: info.finished_at.and_then(rfc3339),
            result: info.result,
        }
    }
}

/// A path as requests name it.
fn db(path: &ZnodePath) -> String {
    path.as_str().trim_start_matches('/').to_owned()
}

/// There is no such job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoJob {
    /// Always `job_not_found`.
    code: &'static str,
    message: String,
}

impl NoJob {
    /// A long id is cut.
    pub(crate) fn new(id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        Self {
            code: "job_not_found",
            message: format!("job {id} not found"),
        }
    }
}

/// A job that was called off.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Terminated {
    task_id: String,
    /// `Canceled`; or `Processing`, until the work has come to where it can end.
    status: JobState,
}

impl Terminated {
    pub(crate) fn new(id: &str, status: JobState) -> Self {
        Self {
            task_id: id.to_owned(),
            status,
        }
    }
}
