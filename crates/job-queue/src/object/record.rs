//! A job as it is stored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::millis::{from_millis, millis};
use crate::table::JobTable;
use crate::{Job, JobState, NewJob};

/// A job as it is stored, with its place in the order of queueing. What is empty is left out; times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) place: u64,
    pub(super) id: String,
    pub(super) kind: String,
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
    pub(super) fn new(place: u64, job: Job) -> Self {
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

    pub(super) fn into_job(self) -> Result<Job, String> {
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

/// All jobs, as they are stored.
#[derive(Serialize, Deserialize)]
pub(super) struct Records {
    next: u64,
    jobs: Vec<Record>,
}

impl From<JobTable> for Records {
    fn from(table: JobTable) -> Self {
        let record = |(place, job)| Record::new(place, job);
        Self {
            next: table.next,
            jobs: table.jobs.into_iter().map(record).collect(),
        }
    }
}

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
