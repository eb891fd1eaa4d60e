use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use crate::{BackupSummary, Health};

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
        self.restores
            .with_label_values(&[if failed { "failed" } else { "successful" }])
            .inc();
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
        gauge(
            "backup_queue_size",
            "Jobs that wait.",
            approximate(health.backup_queue_size as u64),
        )?;
        gauge(
            "backup_daemon_status",
            "1 if the daemon is UP, else 0.",
            flag(health.status == "UP"),
        )?;
        gauge(
            "backup_storage_dump_count",
            "Finished backups.",
            approximate(storage.dump_count as u64),
        )?;
        for (name, help, value) in [
            (
                "backup_storage_size",
                "Bytes that all backups take.",
                storage.size,
            ),
            (
                "backup_storage_free_space",
                "Bytes free in the storage.",
                storage.usage.free_space,
            ),
            (
                "backup_storage_space_total",
                "Bytes of the storage.",
                storage.usage.total_space,
            ),
            (
                "backup_storage_free_inodes",
                "Inodes free in the storage.",
                storage.usage.free_inodes,
            ),
            (
                "backup_storage_used_inodes",
                "Inodes taken in the storage.",
                storage.usage.used_inodes,
            ),
            (
                "backup_storage_inodes_total",
                "Inodes of the storage.",
                storage.usage.total_inodes,
            ),
        ] {
            gauge(name, help, approximate(value))?;
        }
        for (prefix, which, backup) in [
            ("backup_storage_last", "the newest backup", &storage.last),
            (
                "backup_storage_last_successful",
                "the newest successful backup",
                &storage.last_successful,
            ),
        ] {
            if let Some(backup) = backup {
                of_backup(&now, prefix, which, backup)?;
            }
        }
        gauge(
            "zk_backup_queue_oldest_age_seconds",
            "How long the oldest waiting job waits; 0 if none does.",
            approximate(health.oldest_queued_seconds.unwrap_or(0)),
        )?;
        if let Some(seconds) = health.seconds_since_success {
            gauge(
                "zk_backup_seconds_since_last_success",
                "How old the newest successful backup is; without one, how long the daemon runs.",
                approximate(seconds),
            )?;
        }
        gauge(
            "zk_backup_seconds_since_last_full_success",
            "The same of full backups.",
            approximate(health.seconds_since_full_success),
        )?;
        gauge(
            "zk_backup_seconds_since_last_granular_success",
            "The same of granular backups.",
            approximate(health.seconds_since_granular_success),
        )?;
        gauge(
            "zk_backup_damaged_vaults",
            "Backups that are known to be damaged.",
            approximate(health.damaged_vaults),
        )?;
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
    let metrics = &backup.metrics;
    for (name, help, value) in [
        ("failed", "Whether it failed", flag(backup.failed)),
        ("locked", "Whether it is being written", flag(backup.locked)),
        ("exit_code", "Exit code", f64::from(metrics.exit_code)),
        ("size", "Size in bytes", approximate(metrics.size)),
        (
            "spent_time",
            "Time it took in ms",
            approximate(metrics.spent_time.unsigned_abs()),
        ),
        ("sharded", "Whether it is sharded", flag(backup.sharded)),
        (
            "timestamp",
            "When it was asked for, ms since the Unix epoch",
            approximate(backup.ts.unsigned_abs()),
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
    use super::*;
    use crate::{BackupMetrics, Storage, StorageUsage};

    fn backup(failed: bool) -> BackupSummary {
        let exception = failed.then(|| "no space".to_owned());
        BackupSummary {
            id: "20261123T140000".to_owned(),
            ts: 1_795_442_400_000,
            failed,
            locked: false,
            sharded: false,
            canceled: false,
            metrics: BackupMetrics {
                exit_code: i32::from(failed),
                exception,
                spent_time: 9312,
                size: 25283,
            },
        }
    }

    fn storage(last: Option<BackupSummary>, last_successful: Option<BackupSummary>) -> Storage {
        Storage {
            usage: StorageUsage::default(),
            dump_count: 2,
            size: 50_000,
            last,
            last_successful,
        }
    }

    #[test]
    fn the_status_follows_from_the_newest_backups() {
        assert_eq!(
            Health::new(storage(Some(backup(false)), Some(backup(false))), 0).status,
            "UP"
        );
        assert_eq!(
            Health::new(storage(Some(backup(true)), Some(backup(false))), 0).status,
            "Warning"
        );
        assert_eq!(Health::new(storage(None, None), 0).status, "Warning");
        let none = Storage {
            dump_count: 0,
            ..storage(None, None)
        };
        assert_eq!(Health::new(none, 0).status, "UP");
    }

    #[test]
    fn the_report_leaves_out_what_there_is_none_of() {
        let json = serde_json::to_value(Health::new(storage(Some(backup(true)), None), 3)).unwrap();
        assert_eq!(json["backup_queue_size"], 3);
        assert_eq!(json["storage"]["last"]["metrics"]["exception"], "no space");
        assert_eq!(json["storage"]["free_inodes"], 0);
        assert!(json["storage"].get("lastSuccessful").is_none());
    }

    #[test]
    fn the_text_has_help_and_type_of_each_name() {
        let metrics = Metrics::new().unwrap();
        metrics.backup_ended("hierarchical", false, 2.0, 1000, 50);
        metrics.backup_ended("hierarchical", true, 2.0, 0, 0);
        let text = metrics
            .render(&Health::new(storage(Some(backup(true)), Some(backup(false))), 3))
            .unwrap();
        for line in [
            "backup_queue_size 3",
            "backup_daemon_status 0",
            "backup_storage_last_failed{id=\"20261123T140000\"} 1",
            "backup_storage_last_successful_spent_time{id=\"20261123T140000\"} 9312",
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
