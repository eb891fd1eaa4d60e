//! A job as it is stored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::millis::{from_millis, millis};
#[cfg(feature = "object-store")]
use crate::table::JobTable;
use crate::{Job, JobState, NewJob, QueueError};

/// A job as it is stored, with its place in the order of queueing. What is empty is left out; times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) place: u64,
    pub(crate) id: String,
    pub(crate) kind: String,
    lane: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    needs: Vec<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    payload: Value,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    scheduled: bool,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renewed_at: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cancel_requested: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    log_tail: Vec<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    result: Value,
    created_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at: Option<i64>,
}

impl Record {
    pub(crate) fn new(place: u64, job: Job) -> Self {
        Self {
            place,
            id: job.id,
            kind: job.kind,
            lane: job.lane,
            needs: job.needs,
            payload: job.payload,
            scheduled: job.scheduled,
            state: job.state.name().to_owned(),
            worker: job.worker,
            renewed_at: job.renewed_at.map(millis),
            cancel_requested: job.cancel_requested,
            message: job.message,
            log_tail: job.log_tail,
            result: job.result,
            created_at: millis(job.created_at),
            started_at: job.started_at.map(millis),
            finished_at: job.finished_at.map(millis),
        }
    }

    pub(crate) fn into_job(self) -> Result<Job, String> {
        let state = JobState::from_name(&self.state);
        let state = state.ok_or_else(|| format!("job {} is in no known state: {:?}", self.id, self.state))?;
        let new = NewJob {
            id: self.id,
            kind: self.kind,
            lane: self.lane,
            needs: self.needs,
            payload: self.payload,
            scheduled: self.scheduled,
        };
        Ok(Job {
            state,
            worker: self.worker,
            renewed_at: self.renewed_at.map(from_millis),
            cancel_requested: self.cancel_requested,
            message: self.message,
            log_tail: self.log_tail,
            result: self.result,
            started_at: self.started_at.map(from_millis),
            finished_at: self.finished_at.map(from_millis),
            ..Job::queued(new, from_millis(self.created_at))
        })
    }
}

impl Job {
    /// The job as JSON, with times to the millisecond: for whoever keeps it where there is no store of jobs.
    ///
    /// # Errors
    /// [`QueueError::Storage`], never in practice.
    pub fn to_json(&self) -> Result<String, QueueError> {
        serde_json::to_string(&Record::new(0, self.clone())).map_err(QueueError::storage)
    }

    /// The job that [`to_json`](Self::to_json) has written.
    ///
    /// # Errors
    /// [`QueueError::Storage`] for any other text.
    pub fn from_json(text: &str) -> Result<Self, QueueError> {
        let record: Record = serde_json::from_str(text).map_err(QueueError::storage)?;
        record.into_job().map_err(QueueError::storage)
    }
}

/// All jobs, as they are stored.
#[cfg(feature = "object-store")]
#[derive(Serialize, Deserialize)]
pub(crate) struct Records {
    next: u64,
    jobs: Vec<Record>,
}

#[cfg(feature = "object-store")]
impl From<JobTable> for Records {
    fn from(table: JobTable) -> Self {
        let record = |(place, job)| Record::new(place, job);
        Self {
            next: table.next,
            jobs: table.jobs.into_iter().map(record).collect(),
        }
    }
}

#[cfg(feature = "object-store")]
impl TryFrom<Records> for JobTable {
    type Error = String;

    fn try_from(records: Records) -> Result<Self, String> {
        let job = |record: Record| Ok((record.place, record.into_job()?));
        Ok(Self {
            next: records.next,
            jobs: records.jobs.into_iter().map(job).collect::<Result<_, String>>()?,
        })
    }
}
