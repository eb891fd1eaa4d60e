//! Counters of what happens, and the Prometheus text. Its names are the predecessor's where it has them.

use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use time::OffsetDateTime;

use crate::{BackupOutcome, BackupSummary, Health, Status};

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
        let now = Registry::new();
        let gauge = |name: &str, help: &str, value: f64| -> Result<(), prometheus::Error> {
            let gauge = Gauge::new(name, help)?;
            gauge.set(value);
            now.register(Box::new(gauge))
        };
        let storage = &health.storage;
        // There is a value for each name, whatever is known of a directory.
        let usage = storage.usage.unwrap_or_default();
        let inodes = usage.inodes.unwrap_or_default();
        gauge(
            "backup_queue_size",
            "Jobs that wait.",
            approximate(health.queued_jobs as u64),
        )?;
        gauge(
            "backup_daemon_status",
            "1 if the daemon is UP, else 0.",
            flag(health.status() == Status::Up),
        )?;
        gauge(
            "backup_storage_dump_count",
            "Finished backups.",
            approximate(storage.backups as u64),
        )?;
        gauge(
            "backup_storage_size",
            "Bytes that all backups take.",
            approximate(storage.bytes),
        )?;
        let room = [
            (
                "backup_storage_free_space",
                "Bytes free in the storage.",
                usage.free_bytes,
            ),
            (
                "backup_storage_space_total",
                "Bytes of the storage.",
                usage.total_bytes,
            ),
            (
                "backup_storage_free_inodes",
                "Inodes free in the storage.",
                inodes.free,
            ),
            (
                "backup_storage_used_inodes",
                "Inodes taken in the storage.",
                inodes.used(),
            ),
            (
                "backup_storage_inodes_total",
                "Inodes of the storage.",
                inodes.total,
            ),
        ];
        // What has no limits has no figures, which nobody is to be alarmed by.
        let has_room = storage.usage.is_some() || storage.place.is_none();
        for (name, help, value) in room.into_iter().filter(|_| has_room) {
            gauge(name, help, approximate(value))?;
        }
        for (prefix, which, backup) in [
            ("backup_storage_last", "the newest backup", &storage.newest),
            (
                "backup_storage_last_successful",
                "the newest successful backup",
                &storage.newest_good,
            ),
        ] {
            if let Some(backup) = backup {
                of_backup(&now, prefix, which, backup)?;
            }
        }
        gauge(
            "zk_backup_queue_oldest_age_seconds",
            "How long the oldest waiting job waits; 0 if none does.",
            approximate(health.oldest_wait.unwrap_or_default().as_secs()),
        )?;
        if let Some(since) = health.since_success {
            gauge(
                "zk_backup_seconds_since_last_success",
                "How old the newest successful backup is; without one, how long the daemon runs.",
                approximate(since.as_secs()),
            )?;
        }
        gauge(
            "zk_backup_seconds_since_last_full_success",
            "The same of full backups.",
            approximate(health.since_full_success.unwrap_or_default().as_secs()),
        )?;
        gauge(
            "zk_backup_seconds_since_last_granular_success",
            "The same of granular backups.",
            approximate(health.since_granular_success.unwrap_or_default().as_secs()),
        )?;
        gauge(
            "zk_backup_damaged_vaults",
            "Backups that are known to be damaged.",
            approximate(health.damaged_backups),
        )?;
        gauge(
            "zk_backup_oldest_unverified_seconds",
            "How long ago the backup was verified that was not for longest; where it never was, how old it is.",
            approximate(health.since_oldest_verification.unwrap_or_default().as_secs()),
        )?;
        let verified = health.last_verification.map_or(0, OffsetDateTime::unix_timestamp);
        gauge(
            "zk_backup_last_verification_timestamp_seconds",
            "When a backup was verified last, seconds since the Unix epoch; 0 if none was.",
            approximate(verified.unsigned_abs()),
        )?;
        if let Some(since) = health.since_last_proof {
            gauge(
                "zk_backup_seconds_since_last_proof",
                "How long ago a backup was restored for a test, and nothing differed; absent if none was.",
                approximate(since.as_secs()),
            )?;
        }
        gauge(
            "zk_backup_unfinished_znodes",
            "Znodes that a restore has begun and that are not as in a backup yet.",
            approximate(health.unfinished_znodes),
        )?;
        if let Some(zookeeper) = &health.zookeeper {
            gauge(
                "zk_backup_zookeeper_up",
                "1 if ZooKeeper answers, else 0.",
                flag(zookeeper.reachable),
            )?;
        }
        if let Some(schedule) = &health.schedule {
            gauge(
                "zk_backup_missed_runs",
                "Scheduled runs not made.",
                approximate(schedule.missed),
            )?;
        }
        if let Some(leadership) = &health.leadership {
            gauge(
                "zk_backup_leader",
                "1 if this server leads, else 0.",
                flag(leadership.leads),
            )?;
            gauge(
                "zk_backup_leader_term",
                "How often the leader has changed.",
                approximate(leadership.term),
            )?;
        }
        let mut text = Vec::new();
        let encoder = TextEncoder::new();
        encoder.encode(&now.gather(), &mut text)?;
        encoder.encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn of_backup(
    registry: &Registry,
    prefix: &str,
    which: &str,
    backup: &BackupSummary,
) -> Result<(), prometheus::Error> {
    let exit_code = match backup.outcome {
        BackupOutcome::Successful => 0,
        BackupOutcome::Failed(_) => 1,
        BackupOutcome::Partial(_) => 2,
    };
    let took = backup.took.unwrap_or_default().as_millis();
    let date = backup.date.unix_timestamp_nanos().div_euclid(1_000_000);
    for (name, help, value) in [
        (
            "failed",
            "Whether it failed",
            flag(backup.outcome.failure().is_some()),
        ),
        ("locked", "Whether it is being written", flag(false)), // only what is finished is in a report
        ("exit_code", "Exit code", f64::from(exit_code)),
        ("size", "Size in bytes", approximate(backup.bytes)),
        (
            "spent_time",
            "Time it took in ms",
            approximate(u64::try_from(took).unwrap_or(u64::MAX)),
        ),
        ("sharded", "Whether it is sharded", flag(backup.sharded)),
        (
            "timestamp",
            "When it was asked for, ms since the Unix epoch",
            approximate(u64::try_from(date.unsigned_abs()).unwrap_or(u64::MAX)),
        ),
    ] {
        let gauge = GaugeVec::new(
            Opts::new(format!("{prefix}_{name}"), format!("{help}: {which}.")),
            &["id"],
        )?;
        gauge.with_label_values(&[&backup.id]).set(value);
        registry.register(Box::new(gauge))?;
    }
    Ok(())
}

fn outcome(failed: bool) -> &'static str {
    if failed { "failed" } else { "successful" }
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// Prometheus values are floats: exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn approximate(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Storage;

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
