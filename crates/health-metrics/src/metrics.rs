//! Counters of what happens, and the Prometheus text. Its names are the predecessor's where it has them.

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

use crate::Health;
use crate::gauges::{self, approximate};

/// Metrics could not be registered or written; a fault of the program.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// Counts what happens, and writes it with a health report as Prometheus text, format 0.0.4.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    attempts: IntCounterVec,
    failures: IntCounterVec,
    restores: IntCounterVec,
    evictions: IntCounter,
    verifications: IntCounterVec,
    verified: IntCounter,
    restore_tests: IntCounterVec,
    znodes: IntCounter,
    captures: IntCounterVec,
    skipped: IntCounterVec,
    not_restored: IntCounterVec,
    duration: HistogramVec,
    size: HistogramVec,
}

impl Metrics {
    /// All counters at zero.
    ///
    /// # Errors
    /// [`MetricsError`], never in practice.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let seconds = vec![0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];
        let bytes = vec![1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];
        let counter = |name, help, label| IntCounterVec::new(Opts::new(name, help), &[label]);
        let metrics = Self {
            attempts: counter("zk_backup_backups_total", "Backups that were begun.", "mode")?,
            failures: counter("zk_backup_backup_failures_total", "Backups that failed.", "mode")?,
            restores: counter("zk_backup_restores_total", "Restores that ended.", "outcome")?,
            evictions: IntCounter::new("zk_backup_evictions_total", "Backups that were evicted.")?,
            verifications: counter(
                "zk_backup_verifications_total",
                "Verifications that ended.",
                "outcome",
            )?,
            verified: IntCounter::new(
                "zk_backup_verified_bytes_total",
                "Bytes of backups that were verified.",
            )?,
            restore_tests: counter(
                "zk_backup_restore_tests_total",
                "Restores for a test that ended.",
                "outcome",
            )?,
            znodes: IntCounter::new("zk_backup_znodes_captured_total", "Znodes that were captured.")?,
            captures: counter(
                "zk_backup_captures_total",
                "Captures, by whether they show one moment.",
                "consistency",
            )?,
            skipped: counter(
                "zk_backup_znodes_skipped_total",
                "Znodes that backups lack.",
                "why",
            )?,
            not_restored: counter(
                "zk_backup_not_restored_total",
                "What restores could not bring back.",
                "what",
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new("zk_backup_duration_seconds", "How long backups took.").buckets(seconds),
                &["mode"],
            )?,
            size: HistogramVec::new(
                HistogramOpts::new("zk_backup_size_bytes", "How large backups are.").buckets(bytes),
                &["mode"],
            )?,
            registry,
        };
        metrics.registry.register(Box::new(metrics.attempts.clone()))?;
        metrics.registry.register(Box::new(metrics.failures.clone()))?;
        metrics.registry.register(Box::new(metrics.restores.clone()))?;
        metrics.registry.register(Box::new(metrics.evictions.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.verifications.clone()))?;
        metrics.registry.register(Box::new(metrics.verified.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.restore_tests.clone()))?;
        metrics.registry.register(Box::new(metrics.znodes.clone()))?;
        metrics.registry.register(Box::new(metrics.captures.clone()))?;
        metrics.registry.register(Box::new(metrics.skipped.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.not_restored.clone()))?;
        metrics.registry.register(Box::new(metrics.duration.clone()))?;
        metrics.registry.register(Box::new(metrics.size.clone()))?;
        Ok(metrics)
    }

    /// A backup ended. `size` in bytes.
    pub fn backup_ended(&self, mode: &str, failed: bool, seconds: f64, size: u64, znodes: u64) {
        self.attempts.with_label_values(&[mode]).inc();
        let failures = self.failures.with_label_values(&[mode]);
        if failed {
            failures.inc();
        } else {
            self.duration.with_label_values(&[mode]).observe(seconds);
            self.size.with_label_values(&[mode]).observe(approximate(size));
            self.znodes.inc_by(znodes);
        }
    }

    /// A capture ended: `consistent` or `fuzzy`, and how many znodes it lacks, by why.
    pub fn captured(&self, consistency: &str, lacks: &[(&str, u64)]) {
        self.captures.with_label_values(&[consistency]).inc();
        for (why, znodes) in lacks {
            self.skipped.with_label_values(&[*why]).inc_by(*znodes);
        }
    }

    /// A restore could not bring back everything: znodes, and counters of sequential children.
    pub fn not_restored(&self, znodes: u64, counters: u64) {
        self.not_restored.with_label_values(&["znodes"]).inc_by(znodes);
        self.not_restored
            .with_label_values(&["counters"])
            .inc_by(counters);
    }

    /// A restore ended.
    pub fn restore_ended(&self, failed: bool) {
        self.restores.with_label_values(&[outcome(failed)]).inc();
    }

    /// A verification ended; one that found damage has failed.
    pub fn verification_ended(&self, failed: bool) {
        self.verifications.with_label_values(&[outcome(failed)]).inc();
    }

    /// So many bytes were verified.
    pub fn verified(&self, bytes: u64) {
        self.verified.inc_by(bytes);
    }

    /// A restore for a test ended; one that found a difference has failed.
    pub fn restore_test_ended(&self, failed: bool) {
        self.restore_tests.with_label_values(&[outcome(failed)]).inc();
    }

    /// Backups were evicted.
    pub fn evicted(&self, count: u64) {
        self.evictions.inc_by(count);
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

fn outcome(failed: bool) -> &'static str {
    if failed { "failed" } else { "successful" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            backups: 2,
            bytes: 50_000,
            newest: Some(backup(BackupOutcome::Partial("a part".to_owned()))),
            newest_good: Some(backup(BackupOutcome::Successful)),
        });
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
