//! Counters of what happens, and the Prometheus text. Its names are the predecessor's where it has them.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

use crate::Health;
use crate::gauges::{self, SECONDS, approximate};

const BYTES: [f64; 8] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

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
    jobs: HistogramVec,
    storage: StorageCounters,
}

/// How the storage is called.
#[derive(Debug)]
struct StorageCounters {
    calls: IntCounterVec,
    errors: IntCounterVec,
    bytes: IntCounterVec,
}

impl StorageCounters {
    fn new(make: &Maker<'_>) -> Result<Self, prometheus::Error> {
        let counters = |name, help, values: &[&str]| make.counters((name, help), "op", values);
        Ok(Self {
            calls: counters("zk_backup_storage_operations_total", "Calls to the storage.", &[])?,
            errors: counters(
                "zk_backup_storage_errors_total",
                "Calls to the storage that failed, or found damage.",
                &[],
            )?,
            bytes: counters(
                "zk_backup_storage_bytes_total",
                "Bytes that were read from the storage and written to it.",
                &["read", "write"],
            )?,
        })
    }
}

/// Makes metrics, and registers them.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(name, help)?)
    }

    /// With a series for each of `values` from the start: the first of what it counts is an increase, too.
    fn counters(
        &self,
        (name, help): (&str, &str),
        label: &str,
        values: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let counters = self.register(IntCounterVec::new(Opts::new(name, help), &[label])?)?;
        for value in values {
            counters.with_label_values(&[*value]);
        }
        Ok(counters)
    }

    fn histograms(
        &self,
        (name, help): (&str, &str),
        labels: &[&str],
        bounds: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.register(HistogramVec::new(options, labels)?)
    }
}

const MODES: [&str; 2] = ["hierarchical", "transactional"];
const OUTCOMES: [&str; 2] = [outcome(true), outcome(false)];

impl Metrics {
    /// All counters at zero.
    ///
    /// # Errors
    /// [`MetricsError`], never in practice.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let counters = |name, help, label, values: &[&str]| make.counters((name, help), label, values);
        Ok(Self {
            attempts: counters(
                "zk_backup_backups_total",
                "Backups that were begun.",
                "mode",
                &MODES,
            )?,
            failures: counters(
                "zk_backup_backup_failures_total",
                "Backups that failed.",
                "mode",
                &MODES,
            )?,
            restores: counters(
                "zk_backup_restores_total",
                "Restores that ended.",
                "outcome",
                &OUTCOMES,
            )?,
            evictions: make.counter("zk_backup_evictions_total", "Backups that were evicted.")?,
            verifications: counters(
                "zk_backup_verifications_total",
                "Verifications that ended.",
                "outcome",
                &OUTCOMES,
            )?,
            verified: make.counter(
                "zk_backup_verified_bytes_total",
                "Bytes of backups that were verified.",
            )?,
            restore_tests: counters(
                "zk_backup_restore_tests_total",
                "Restores for a test that ended.",
                "outcome",
                &OUTCOMES,
            )?,
            znodes: make.counter("zk_backup_znodes_captured_total", "Znodes that were captured.")?,
            captures: counters(
                "zk_backup_captures_total",
                "Captures, by whether they show one moment.",
                "consistency",
                &["consistent", "fuzzy"],
            )?,
            skipped: counters(
                "zk_backup_znodes_skipped_total",
                "Znodes that backups lack.",
                "why",
                &[],
            )?,
            not_restored: counters(
                "zk_backup_not_restored_total",
                "What restores could not bring back.",
                "what",
                &["znodes", "counters"],
            )?,
            duration: make.histograms(
                ("zk_backup_duration_seconds", "How long backups took."),
                &["mode"],
                &SECONDS,
            )?,
            size: make.histograms(
                ("zk_backup_size_bytes", "How large backups are."),
                &["mode"],
                &BYTES,
            )?,
            jobs: make.histograms(
                (
                    "zk_backup_job_duration_seconds",
                    "How long jobs took, by what they did and how they ended.",
                ),
                &["kind", "outcome"],
                &SECONDS,
            )?,
            storage: StorageCounters::new(&make)?,
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

const fn outcome(failed: bool) -> &'static str {
    if failed { "failed" } else { "successful" }
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
