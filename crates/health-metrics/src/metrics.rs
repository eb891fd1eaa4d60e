//! Counters of what happens, and the Prometheus text. Its names are the predecessor's where it has them.

use std::time::Duration;

use prometheus::{Encoder, HistogramVec, Registry, TextEncoder};

use crate::Health;
use crate::counters::{Backups, Checks, Restores, StorageCalls, outcome};
use crate::gauges::{self, SECONDS, approximate};
use crate::maker::Maker;

/// What jobs do, and how they end, as [`Metrics::job_ended`] is told: each is there with 0 from the start.
const JOBS: [&str; 4] = ["backup", "restore", "verify", "restoretest"];
const ENDS: [&str; 3] = ["successful", "failed", "canceled"];

/// Metrics could not be registered or written; a fault of the program.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// Counts what happens, and writes it with a health report as Prometheus text, format 0.0.4.
///
/// What it counts begins with 0 where the process begins, as Prometheus expects; what the report tells is as old as what is stored.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    backups: Backups,
    restores: Restores,
    checks: Checks,
    jobs: HistogramVec,
    storage: StorageCalls,
}

impl Metrics {
    /// All counters at zero.
    ///
    /// # Errors
    /// [`MetricsError`], never in practice.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let jobs = (
            "zk_backup_job_duration_seconds",
            "How long jobs took, by what they did and how they ended.",
        );
        let jobs = make.histograms(jobs, &["kind", "outcome"], &SECONDS)?;
        for (kind, outcome) in JOBS.iter().flat_map(|kind| ENDS.map(|end| (kind, end))) {
            jobs.with_label_values(&[kind, outcome]);
        }
        Ok(Self {
            backups: Backups::new(&make)?,
            restores: Restores::new(&make)?,
            checks: Checks::new(&make)?,
            jobs,
            storage: StorageCalls::new(&make)?,
            registry,
        })
    }

    /// These calls to the storage will be counted: they are told from the start.
    pub fn expect_storage_calls(&self, ops: &[&str]) {
        for op in ops {
            self.storage.calls.with_label_values(&[*op]);
            self.storage.errors.with_label_values(&[*op]);
        }
    }

    /// The storage was called. What it answered by the rules, such as that something is not there, is no failure.
    pub fn storage_called(&self, op: &str, failed: bool) {
        self.storage.calls.with_label_values(&[op]).inc();
        if failed {
            self.storage.errors.with_label_values(&[op]).inc();
        }
    }

    /// Bytes were read from the storage.
    pub fn storage_read(&self, bytes: usize) {
        self.storage
            .bytes
            .with_label_values(&["read"])
            .inc_by(bytes as u64);
    }

    /// Bytes were written to the storage.
    pub fn storage_written(&self, bytes: usize) {
        self.storage
            .bytes
            .with_label_values(&["write"])
            .inc_by(bytes as u64);
    }

    /// A job ended: what it did, such as `restore`, and how, such as `failed`.
    pub fn job_ended(&self, kind: &str, outcome: &str, took: Duration) {
        let jobs = self.jobs.with_label_values(&[kind, outcome]);
        jobs.observe(took.as_secs_f64());
    }

    /// A backup ended. `size` in bytes.
    pub fn backup_ended(&self, mode: &str, failed: bool, seconds: f64, size: u64, znodes: u64) {
        self.backups.attempts.with_label_values(&[mode]).inc();
        let failures = self.backups.failures.with_label_values(&[mode]);
        if failed {
            failures.inc();
        } else {
            self.backups.duration.with_label_values(&[mode]).observe(seconds);
            self.backups
                .size
                .with_label_values(&[mode])
                .observe(approximate(size));
            self.backups.znodes.inc_by(znodes);
        }
    }

    /// A capture ended: `consistent` or `fuzzy`, and how many znodes it lacks, by why.
    pub fn captured(&self, consistency: &str, lacks: &[(&str, u64)]) {
        self.backups.captures.with_label_values(&[consistency]).inc();
        for (why, znodes) in lacks {
            self.backups.skipped.with_label_values(&[*why]).inc_by(*znodes);
        }
    }

    /// A restore could not bring back everything: znodes, and counters of sequential children.
    pub fn not_restored(&self, znodes: u64, counters: u64) {
        self.restores
            .lacking
            .with_label_values(&["znodes"])
            .inc_by(znodes);
        self.restores
            .lacking
            .with_label_values(&["counters"])
            .inc_by(counters);
    }

    /// A restore ended.
    pub fn restore_ended(&self, failed: bool) {
        self.restores.ended.with_label_values(&[outcome(failed)]).inc();
    }

    /// A verification ended; one that found damage has failed.
    pub fn verification_ended(&self, failed: bool) {
        self.checks
            .verifications
            .with_label_values(&[outcome(failed)])
            .inc();
    }

    /// So many bytes were verified.
    pub fn verified(&self, bytes: u64) {
        self.checks.verified.inc_by(bytes);
    }

    /// A restore for a test ended; one that found a difference has failed.
    pub fn restore_test_ended(&self, failed: bool) {
        self.checks
            .restore_tests
            .with_label_values(&[outcome(failed)])
            .inc();
    }

    /// Backups were evicted.
    pub fn evicted(&self, count: u64) {
        self.backups.evictions.inc_by(count);
    }

    /// A pass over the policies failed, wholly or for some backups.
    pub fn eviction_failed(&self) {
        self.backups.eviction_errors.inc();
    }

    /// Everything as text.
    ///
    /// # Errors
    /// [`MetricsError`], never in practice.
    pub fn render(&self, health: &Health) -> Result<String, MetricsError> {
        let now = gauges::of(health)?;
        let mut text = Vec::new();
        let encoder = TextEncoder::new();
        encoder.encode(&now.gather(), &mut text)?;
        encoder.encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::{BackupOutcome, BackupSummary, Storage};

    fn backup(outcome: BackupOutcome) -> BackupSummary {
        let date = OffsetDateTime::from_unix_timestamp(1_795_442_400).unwrap();
        let mut backup = BackupSummary::new("20261123T140000", date, outcome);
        backup.took = Some(Duration::from_millis(9_312));
        backup.bytes = 25_283;
        backup
    }

    #[test]
    fn the_text_has_help_and_type_of_each_name_whatever_is_known() {
        let metrics = Metrics::new().unwrap();
        metrics.backup_ended("hierarchical", false, 2.0, 1000, 50);
        metrics.backup_ended("hierarchical", true, 2.0, 0, 0);
        let mut health = Health::new(Storage {
            place: None,
            usage: None,
            unlisted: false,
            backups: 2,
            bytes: 50_000,
            newest: Some(backup(BackupOutcome::Partial("a part".to_owned()))),
            newest_good: Some(backup(BackupOutcome::Successful)),
            durations: vec![Duration::from_millis(700), Duration::from_secs(20)],
        });
        health.last_granular_success = Some(OffsetDateTime::from_unix_timestamp(1_795_442_400).unwrap());
        metrics.job_ended("restore", "failed", Duration::from_secs(7));
        metrics.storage_called("open", true);
        metrics.storage_read(512);
        health.queued_jobs = 3;
        let text = metrics.render(&health).unwrap();
        for line in [
            "backup_queue_size 3",
            "backup_daemon_status 0",
            "backup_storage_dump_count 2",
            "backup_storage_size 50000",
            "backup_storage_space_total 0",
            "backup_storage_free_inodes 0",
            "backup_storage_last_failed{id=\"20261123T140000\"} 1",
            "backup_storage_last_exit_code{id=\"20261123T140000\"} 2",
            "backup_storage_last_locked{id=\"20261123T140000\"} 0",
            "backup_storage_last_size{id=\"20261123T140000\"} 25283",
            "backup_storage_last_timestamp{id=\"20261123T140000\"} 1795442400000",
            "backup_storage_last_successful_exit_code{id=\"20261123T140000\"} 0",
            "backup_storage_last_successful_spent_time{id=\"20261123T140000\"} 9312",
            "zk_backup_seconds_since_last_full_success 0",
            "zk_backup_backup_failures_total{mode=\"hierarchical\"} 1",
            "zk_backup_backups_total{mode=\"hierarchical\"} 2",
            "zk_backup_znodes_captured_total 50",
            "zk_backup_last_success_timestamp_seconds{kind=\"granular\"} 1795442400",
            "zk_backup_kept_duration_seconds_bucket{le=\"1\"} 1",
            "zk_backup_kept_duration_seconds_count 2",
            "zk_backup_job_duration_seconds_bucket{kind=\"restore\",outcome=\"failed\",le=\"5\"} 0",
            "zk_backup_job_duration_seconds_sum{kind=\"restore\",outcome=\"failed\"} 7",
            "zk_backup_storage_operations_total{op=\"open\"} 1",
            "zk_backup_storage_errors_total{op=\"open\"} 1",
            "zk_backup_storage_bytes_total{op=\"read\"} 512",
            "zk_backup_restores_total{outcome=\"failed\"} 0",
            "zk_backup_job_duration_seconds_count{kind=\"backup\",outcome=\"failed\"} 0",
            "zk_backup_duration_seconds_count{mode=\"transactional\"} 0",
            "zk_backup_size_bytes_count{mode=\"transactional\"} 0",
            "zk_backup_znodes_skipped_total{why=\"unreadable\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
        }
        let names: Vec<_> = text
            .lines()
            .filter_map(|l| l.strip_prefix("# TYPE "))
            .filter_map(|l| l.split(' ').next())
            .collect();
        for name in &names {
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
            assert_eq!(
                names.iter().filter(|n| n == &name).count(),
                1,
                "{name} is there twice"
            );
        }
    }
}
