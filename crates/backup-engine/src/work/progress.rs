//! How far the running job is.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::broadcast;
use zk_snapshot::archive::{ArchiveError, Outline, Record, RecordSource};

use crate::lock::lock;

/// What a job counts while it works.
#[derive(Debug)]
pub(crate) struct Progress {
    znodes: AtomicU64,
    bytes: AtomicU64,
    /// 0 where it is not known.
    expected: AtomicU64,
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
    /// How many znodes there are likely to be: as many as the backup has, or the last one of the same roots had.
    pub expected: Option<u64>,
    /// What is being done.
    pub phase: String,
}

impl Default for ProgressInfo {
    /// A job that has just begun.
    fn default() -> Self {
        Self {
            znodes: 0,
            bytes: 0,
            expected: None,
            phase: "starting".to_owned(),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            znodes: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            phase: Mutex::new(""),
        }
    }
}

impl Progress {
    pub(super) fn phase(&self, phase: &'static str) {
        *lock(&self.phase) = phase;
    }

    /// So many znodes are likely.
    pub(super) fn expect(&self, znodes: u64) {
        self.expected.store(znodes, Ordering::Relaxed);
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
            expected: Some(self.expected.load(Ordering::Relaxed)).filter(|expected| *expected > 0),
            phase: (*lock(&self.phase)).to_owned(),
        }
    }
}

/// Records that are counted as they are read, each once.
pub(super) struct Counted {
    records: Arc<dyn RecordSource>,
    progress: Arc<Progress>,
    read: Mutex<HashSet<usize>>,
}

impl Counted {
    pub(super) fn new(records: Arc<dyn RecordSource>, progress: &Arc<Progress>) -> Self {
        Self {
            records,
            progress: Arc::clone(progress),
            read: Mutex::default(),
        }
    }
}

impl RecordSource for Counted {
    fn frames(&self) -> usize {
        self.records.frames()
    }

    fn records(&self) -> usize {
        self.records.records()
    }

    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError> {
        let records = self.records.frame(index)?;
        if lock(&self.read).insert(index) {
            let bytes = records.iter().map(|record| record.data.len()).sum();
            self.progress.add(records.len() as u64, bytes);
        }
        Ok(records)
    }

    fn outline(&self, index: usize) -> Result<Vec<Outline>, ArchiveError> {
        self.records.outline(index)
    }
}

/// So many begins of jobs are kept for whoever follows them.
const BEGINS: usize = 256;

/// The jobs that are being done.
#[derive(Debug)]
pub(crate) struct Running {
    jobs: Mutex<HashMap<String, Arc<Progress>>>,
    begun: broadcast::Sender<String>,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            jobs: Mutex::default(),
            begun: broadcast::Sender::new(BEGINS),
        }
    }
}

impl Running {
    pub(super) fn begin(&self, job: &str) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        lock(&self.jobs).insert(job.to_owned(), Arc::clone(&progress));
        let _ = self.begun.send(job.to_owned()); // nobody may follow
        progress
    }

    pub(super) fn end(&self, job: &str) {
        lock(&self.jobs).remove(job);
    }

    /// How far `job` is, if it is one of them.
    pub(crate) fn of(&self, job: &str) -> Option<ProgressInfo> {
        lock(&self.jobs).get(job).map(|progress| progress.info())
    }

    /// How far each is.
    pub(crate) fn all(&self) -> HashMap<String, ProgressInfo> {
        let jobs = lock(&self.jobs);
        let told = jobs.iter().map(|(job, progress)| (job.clone(), progress.info()));
        told.collect()
    }

    /// The ids of those that begin from now on.
    pub(crate) fn begun(&self) -> broadcast::Receiver<String> {
        self.begun.subscribe()
    }
}
