//! Records that are read as long as they fit into memory, whatever the manifest says of them.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};

use zk_snapshot::archive::{ArchiveError, Record, RecordSource};

use crate::lock::lock;
use crate::site::memory;

/// Records of which no more are shown than take `allowed` bytes in memory. Each frame counts once.
pub(super) struct Bounded {
    records: Arc<dyn RecordSource>,
    allowed: u64,
    seen: Mutex<(HashSet<usize>, u64)>,
}

impl Bounded {
    pub(super) fn new(records: Arc<dyn RecordSource>, allowed: u64) -> Self {
        Self {
            records,
            allowed,
            seen: Mutex::default(),
        }
    }

    /// What those that were read would take, where that is more than is allowed.
    pub(super) fn above(&self) -> Option<u64> {
        Some(lock(&self.seen).1).filter(|needs| *needs > self.allowed)
    }
}

impl RecordSource for Bounded {
    fn frames(&self) -> usize {
        self.records.frames()
    }

    fn records(&self) -> usize {
        self.records.records()
    }

    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError> {
        let records = self.records.frame(index)?;
        let (frames, needs) = &mut *lock(&self.seen);
        if frames.insert(index) {
            let bytes = records.iter().map(|record| record.data.len() as u64).sum();
            *needs = needs.saturating_add(memory(records.len() as u64, bytes));
        }
        match *needs > self.allowed {
            true => Err(io::Error::from(io::ErrorKind::OutOfMemory).into()),
            false => Ok(records),
        }
    }
}
