use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Write a vault.
    Backup,
    /// Bring a vault back.
    Restore,
}

/// Where a job is. Queued → Processing → Successful or Failed; Queued → Canceled; Processing → Canceled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// It waits.
    Queued,
    /// It is being done.
    Processing,
    /// It was done.
    Successful,
    /// It was not, or not wholly, done.
    Failed,
    /// Somebody called it off.
    Canceled,
}

impl JobState {
    /// Whether nothing can happen to it any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Successful | Self::Failed | Self::Canceled)
    }
}

/// A job to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Its id, unique for ever.
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// The vault it is about.
    pub vault: String,
    /// What it needs to know, in the words of whoever does it.
    pub payload: Value,
    /// Whether the schedule asked for it.
    pub scheduled: bool,
}

impl NewJob {
    /// A job that somebody asked for, without payload.
    #[must_use]
    pub fn new(id: impl Into<String>, kind: JobKind, vault: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind,
            vault: vault.into(),
            payload: Value::Null,
            scheduled: false,
        }
    }
}

/// A job and all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// The vault it is about.
    pub vault: String,
    /// What it needs to know.
    pub payload: Value,
    /// Whether the schedule asked for it.
    pub scheduled: bool,
    /// Where it is.
    pub state: JobState,
    /// Why it failed, in plain words.
    pub message: Option<String>,
    /// The last lines of its log, if it failed.
    pub log_tail: Vec<String>,
    /// What came of it, in the words of whoever did it.
    pub result: Value,
    /// When it was queued.
    pub created_at: OffsetDateTime,
    /// When the work began.
    pub started_at: Option<OffsetDateTime>,
    /// When it reached its final state.
    pub finished_at: Option<OffsetDateTime>,
}

impl Job {
    pub(crate) fn queued(new: NewJob, now: OffsetDateTime) -> Self {
        Self {
            id: new.id,
            kind: new.kind,
            vault: new.vault,
            payload: new.payload,
            scheduled: new.scheduled,
            state: JobState::Queued,
            message: None,
            log_tail: Vec::new(),
            result: Value::Null,
            created_at: now,
            started_at: None,
            finished_at: None,
        }
    }
}

/// How the work on a job ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The final state.
    pub state: JobState,
    /// Why it failed, in plain words.
    pub message: Option<String>,
    /// The last lines of its log.
    pub log_tail: Vec<String>,
    /// What came of it.
    pub result: Value,
}

impl Outcome {
    /// It was done.
    #[must_use]
    pub fn success(result: Value) -> Self {
        Self {
            state: JobState::Successful,
            message: None,
            log_tail: Vec::new(),
            result,
        }
    }

    /// It was not done.
    #[must_use]
    pub fn failure(message: impl Into<String>) -> Self {
        let message = Some(message.into());
        Self {
            state: JobState::Failed,
            message,
            log_tail: Vec::new(),
            result: Value::Null,
        }
    }
}
