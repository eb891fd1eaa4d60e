//! How far the running job is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// What a job counts while it works.
#[derive(Debug)]
pub(crate) struct Progress {
    znodes: AtomicU64,
    bytes: AtomicU64,
    phase: Mutex<&'static str>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgressInfo {
    /// Znodes done.
    pub znodes: u64,
    /// Bytes of data in them.
    pub bytes: u64,
    /// What is being done.
    pub phase: String,
}

impl Default for ProgressInfo {
    /// A job that has just begun.
    fn default() -> Self {
        Self {
            znodes: 0,
            bytes: 0,
            phase: "starting".to_owned(),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            znodes: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            phase: Mutex::new(""),
        }
    }
}

impl Progress {
    pub(super) fn phase(&self, phase: &'static str) {
        *lock(&self.phase) = phase;
    }

    pub(super) fn restart(&self) {
        self.znodes.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    pub(super) fn add(&self, znodes: u64, bytes: usize) {
        self.znodes.fetch_add(znodes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn info(&self) -> ProgressInfo {
        ProgressInfo {
            znodes: self.znodes.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            phase: (*lock(&self.phase)).to_owned(),
        }
    }
}

/// The jobs that are being done.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<HashMap<String, Arc<Progress>>>);

impl Running {
    pub(super) fn begin(&self, job: &str) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        lock(&self.0).insert(job.to_owned(), Arc::clone(&progress));
        progress
    }

    pub(super) fn end(&self, job: &str) {
        lock(&self.0).remove(job);
    }

    /// How far `job` is, if it is one of them.
    pub(crate) fn of(&self, job: &str) -> Option<ProgressInfo> {
        lock(&self.0).get(job).map(|progress| progress.info())
    }
}
