//! A job: what is asked for, where it is, how it ended, and what it leaves noted.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;
use time::OffsetDateTime;

/// The lane of jobs that name no other.
pub const MAIN_LANE: &str = "main";

/// Where a job is. Queued → Processing → Successful, Failed or Canceled; Queued → Canceled. Serialized as its
/// [`name`](Self::name).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "schema",
    derive(utoipa::ToSchema),
    schema(description = "Where a job is.")
)]
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
    const ALL: [Self; 5] = [
        Self::Queued,
        Self::Processing,
        Self::Successful,
        Self::Failed,
        Self::Canceled,
    ];

    /// The name that it is stored and told by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Processing => "Processing",
            Self::Successful => "Successful",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }

    /// The state of that [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing can happen to it any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Successful | Self::Failed | Self::Canceled)
    }

    /// Whether a job may go from this state to that one in one step.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Processing | Self::Canceled),
            Self::Processing => next.is_final(),
            Self::Successful | Self::Failed | Self::Canceled => false,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for JobState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A job to be queued.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NewJob {
    /// Its id, unique for ever.
    pub id: String,
    /// What it does: a name that only whoever does it understands.
    pub kind: String,
    /// The jobs that it is not done together with.
    pub lane: String,
    /// The names of what has to be kept until it has ended.
    pub needs: Vec<String>,
    /// What it needs to know, in the words of whoever does it.
    pub payload: Value,
    /// Whether the schedule asked for it.
    pub scheduled: bool,
}

impl NewJob {
    /// A job that somebody asked for, in [`MAIN_LANE`], without needs or payload.
    #[must_use]
    pub fn new(id: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: kind.into(),
            lane: MAIN_LANE.to_owned(),
            needs: Vec::new(),
            payload: Value::Null,
            scheduled: false,
        }
    }

    /// The same in another lane.
    #[must_use]
    pub fn in_lane(mut self, lane: impl Into<String>) -> Self {
        self.lane = lane.into();
        self
    }

    /// The same, and `name` has to be kept until it has ended.
    #[must_use]
    pub fn needing(mut self, name: impl Into<String>) -> Self {
        self.needs.push(name.into());
        self
    }

    /// The same with a payload.
    #[must_use]
    pub fn with_payload(mut self, payload: Value) -> Self {
        self.payload = payload;
        self
    }

    /// The same, asked for by the schedule or not.
    #[must_use]
    pub fn by_schedule(mut self, scheduled: bool) -> Self {
        self.scheduled = scheduled;
        self
    }
}

/// A job and all that is known of it. A store makes one by [`queued`](Self::queued) and sets what it has read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: String,
    /// The jobs that it is not done together with.
    pub lane: String,
    /// The names of what has to be kept until it has ended.
    pub needs: Vec<String>,
    /// What it needs to know.
    pub payload: Value,
    /// Whether the schedule asked for it.
    pub scheduled: bool,
    /// Where it is.
    pub state: JobState,
    /// Who has claimed it.
    pub worker: Option<String>,
    /// When its worker was heard of last: when it was claimed, or the claim renewed.
    pub renewed_at: Option<OffsetDateTime>,
    /// Whether it was to be called off while it was being done.
    pub cancel_requested: bool,
    /// Why it failed, or what else is to be said of how it ended, in plain words.
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
    /// A job that was queued at `now`, and nothing has happened to since.
    #[must_use]
    pub fn queued(new: NewJob, now: OffsetDateTime) -> Self {
        Self {
            id: new.id,
            kind: new.kind,
            lane: new.lane,
            needs: new.needs,
            payload: new.payload,
            scheduled: new.scheduled,
            state: JobState::Queued,
            worker: None,
            renewed_at: None,
            cancel_requested: false,
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
#[non_exhaustive]
pub struct Outcome {
    /// The final state.
    pub state: JobState,
    /// Why it failed, or what else is to be said of how it ended, in plain words.
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
        Self::of(JobState::Successful, None).with_result(result)
    }

    /// It was not done.
    #[must_use]
    pub fn failure(message: impl Into<String>) -> Self {
        Self::of(JobState::Failed, Some(message.into()))
    }

    /// It was called off.
    #[must_use]
    pub fn canceled() -> Self {
        Self::of(JobState::Canceled, None)
    }

    /// It was called off before anybody had begun it.
    #[must_use]
    pub fn canceled_waiting() -> Self {
        Self::canceled().with_message("it was called off while it waited")
    }

    fn of(state: JobState, message: Option<String>) -> Self {
        Self {
            state,
            message,
            log_tail: Vec::new(),
            result: Value::Null,
        }
    }

    /// The same, and why it ended so, in plain words.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The same with the last lines of the job's log.
    #[must_use]
    pub fn with_log_tail(mut self, lines: Vec<String>) -> Self {
        self.log_tail = lines;
        self
    }

    /// The same with what came of it.
    #[must_use]
    pub fn with_result(mut self, result: Value) -> Self {
        self.result = result;
        self
    }
}

/// What a job has left to be remembered, however it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// The id of the job.
    pub job: String,
    /// What it is about: one note of a job for each key.
    pub key: String,
    /// What is to be remembered, in the words of whoever does the job.
    pub value: String,
}

impl Note {
    /// The note `value` of a job about `key`.
    #[must_use]
    pub fn new(job: impl Into<String>, key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            job: job.into(),
            key: key.into(),
            value: value.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_states_are_read_back() {
        for state in JobState::ALL {
            assert_eq!(JobState::from_name(state.name()), Some(state));
        }
        assert_eq!(JobState::from_name("queued"), None);
    }
}
