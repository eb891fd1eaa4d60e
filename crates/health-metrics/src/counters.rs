//! What is counted, by topic, and what it is called.

use prometheus::{HistogramVec, IntCounter, IntCounterVec};

use crate::gauges::SECONDS;
use crate::maker::Maker;

const BYTES: [f64; 8] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];
const MODES: [&str; 2] = ["hierarchical", "transactional"];
/// Why znodes are not in a backup.
const LACKING: [&str; 3] = ["ephemeral", "unreadable", "vanished"];
const OUTCOMES: [&str; 2] = [outcome(true), outcome(false)];

type Made<T> = Result<T, prometheus::Error>;

pub(crate) const fn outcome(failed: bool) -> &'static str {
    if failed { "failed" } else { "successful" }
}

/// Backups, and what they hold.
#[derive(Debug)]
pub(crate) struct Backups {
    pub(crate) attempts: IntCounterVec,
    pub(crate) failures: IntCounterVec,
    pub(crate) evictions: IntCounter,
    pub(crate) eviction_errors: IntCounter,
    pub(crate) znodes: IntCounter,
    pub(crate) captures: IntCounterVec,
    pub(crate) skipped: IntCounterVec,
    pub(crate) duration: HistogramVec,
    pub(crate) size: HistogramVec,
}

impl Backups {
    pub(crate) fn new(make: &Maker<'_>) -> Made<Self> {
        let counters = |name, help, label, values: &[&str]| make.counters((name, help), label, values);
        let histograms = |name, help, bounds: &[f64]| {
            let made = make.histograms((name, help), &["mode"], bounds)?;
            for mode in MODES {
                made.with_label_values(&[mode]);
            }
            Ok::<_, prometheus::Error>(made)
        };
        Ok(Self {
            attempts: counters(
                "zk_backup_backups_total",
                "Backups that ended, but for those that were called off.",
                "mode",
                &MODES,
            )?,
            failures: counters(
                "zk_backup_backup_failures_total",
                "Backups that failed.",
                "mode",
                &MODES,
            )?,
            evictions: make.counter("zk_backup_evictions_total", "Backups that were evicted.")?,
            eviction_errors: make.counter(
                "zk_backup_eviction_errors_total",
                "Passes over the policies that failed, wholly or for some backups.",
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
                &LACKING,
            )?,
            duration: histograms("zk_backup_duration_seconds", "How long backups took.", &SECONDS)?,
            size: histograms("zk_backup_size_bytes", "How large backups are.", &BYTES)?,
        })
    }
}

/// Restores.
#[derive(Debug)]
pub(crate) struct Restores {
    pub(crate) ended: IntCounterVec,
    pub(crate) lacking: IntCounterVec,
}

impl Restores {
    pub(crate) fn new(make: &Maker<'_>) -> Made<Self> {
        Ok(Self {
            ended: make.counters(
                ("zk_backup_restores_total", "Restores that ended."),
                "outcome",
                &OUTCOMES,
            )?,
            lacking: make.counters(
                (
                    "zk_backup_not_restored_total",
                    "What restores could not bring back.",
                ),
                "what",
                &["znodes", "counters"],
            )?,
        })
    }
}

/// Checks of backups.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) verifications: IntCounterVec,
    pub(crate) verified: IntCounter,
    pub(crate) restore_tests: IntCounterVec,
}

impl Checks {
    pub(crate) fn new(make: &Maker<'_>) -> Made<Self> {
        let ended = |name, help| make.counters((name, help), "outcome", &OUTCOMES);
        Ok(Self {
            verifications: ended("zk_backup_verifications_total", "Verifications that ended.")?,
            verified: make.counter(
                "zk_backup_verified_bytes_total",
                "Bytes of backups that were verified.",
            )?,
            restore_tests: ended("zk_backup_restore_tests_total", "Restores for a test that ended.")?,
        })
    }
}

/// How the storage is called.
#[derive(Debug)]
pub(crate) struct StorageCalls {
    pub(crate) calls: IntCounterVec,
    pub(crate) errors: IntCounterVec,
    pub(crate) bytes: IntCounterVec,
}

impl StorageCalls {
    pub(crate) fn new(make: &Maker<'_>) -> Made<Self> {
        let counters = |name, help, values: &[&str]| make.counters((name, help), "op", values);
        Ok(Self {
            calls: counters("zk_backup_storage_operations_total", "Calls to the storage.", &[])?,
            errors: counters(
                "zk_backup_storage_errors_total",
                "Calls to the storage that failed, or found a file of a backup missing or its manifest damaged.",
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
