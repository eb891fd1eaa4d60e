//! What `GET /events` tells, as `docs/API.md` has it.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Job, Told};

/// An event: the name of its line `event`, and the object of its line `data`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "event", content = "data")]
pub(crate) enum Event {
    #[serde(rename = "health")]
    Health(Told),
    #[serde(rename = "job.begun")]
    JobBegun(Box<Job>),
    #[serde(rename = "job.progress")]
    JobProgress(Box<Job>),
    #[serde(rename = "job.ended")]
    JobEnded(Box<Job>),
}
