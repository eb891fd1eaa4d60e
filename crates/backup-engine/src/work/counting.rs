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

/// A backup that has ended, as metrics tell of it.
#[derive(Default)]
pub(super) struct EndedBackup {
    pub(super) mode: &'static str,
    pub(super) failed: bool,
    pub(super) seconds: f64,
    pub(super) size: u64,
    pub(super) znodes: u64,
}

impl EndedBackup {
    pub(super) fn failed(mode: Mode) -> Self {
        Self {
            mode: mode.as_str(),
            failed: true,
            ..Self::default()
        }
    }

    pub(super) fn count(&self, metrics: &Metrics) {
        metrics.backup_ended(self.mode, self.failed, self.seconds, self.size, self.znodes);
    }
}

/// Counts a job as failed that was cut off, or failed before its work began.
pub(crate) fn count_failed(job: &Job, metrics: &Metrics) {
    match JobKind::of(job) {
        JobKind::Backup => {
            let mode =
                BackupRequest::deserialize(&job.payload).map_or(Mode::Hierarchical, |asked| asked.mode);
            EndedBackup::failed(mode).count(metrics);
        }
        JobKind::Restore if is_real_restore(job) => metrics.restore_ended(true),
        JobKind::Restore | JobKind::Verify | JobKind::RestoreTest => {}
    }
}
