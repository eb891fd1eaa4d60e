//! What every job has at hand.

use std::sync::Arc;

use health_metrics::Metrics;
use job_queue::{Clock, Job};
use time::OffsetDateTime;

use super::job_log::JobLog;
use super::progress::Progress;

/// A job that is being done, and where it says what it does.
pub(super) struct JobContext {
    pub(super) job: Job,
    pub(super) log: JobLog,
    pub(super) progress: Arc<Progress>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
}

impl JobContext {
    pub(super) fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }
}
