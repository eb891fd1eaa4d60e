//! What jobs are counted as, in the metrics of backups and of restores.

use health_metrics::Metrics;
use job_queue::Job;
use serde::Deserialize as _;
use vault_store::Mode;

use crate::kind::JobKind;
use crate::requests::{BackupRequest, RestorePayload};

/// Whether a job is the restore that it says, and does not only tell what one would change. One that cannot be read fails as a restore.
pub(super) fn is_real_restore(job: &Job) -> bool {
    JobKind::of(job) == JobKind::Restore
        && RestorePayload::deserialize(&job.payload).map_or(true, |asked| !asked.dry_run)
}

/// Counts a job as failed that was cut off, or failed before its work began.
pub(crate) fn count_failed(job: &Job, metrics: &Metrics) {
    match JobKind::of(job) {
        JobKind::Backup => {
            let mode =
                BackupRequest::deserialize(&job.payload).map_or(Mode::Hierarchical, |asked| asked.mode);
            metrics.backup_ended(mode.as_str(), true, 0.0, 0, 0);
        }
        JobKind::Restore if is_real_restore(job) => metrics.restore_ended(true),
        JobKind::Restore | JobKind::Verify | JobKind::RestoreTest => {}
    }
}
