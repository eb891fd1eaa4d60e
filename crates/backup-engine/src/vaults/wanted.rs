//! Records that are read for an answer, no longer than somebody waits for it.

use std::io;
use std::sync::{Arc, Weak};

use zk_snapshot::archive::{ArchiveError, Outline, Record, RecordSource};

/// Records that cannot be read any more once whoever waits is gone.
pub(crate) struct Wanted {
    records: Arc<dyn RecordSource>,
    by: Weak<()>,
}

impl Wanted {
    pub(crate) fn new(records: Arc<dyn RecordSource>, by: Weak<()>) -> Self {
        Self { records, by }
    }

    fn check(&self) -> Result<(), ArchiveError> {
        match self.by.strong_count() {
            0 => Err(io::Error::other("nobody waits for the answer any more").into()),
            _ => Ok(()),
        }
    }
}

impl RecordSource for Wanted {
    fn frames(&self) -> usize {
        self.records.frames()
    }

    fn records(&self) -> usize {
        self.records.records()
    }

    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError> {
        self.check()?;
        self.records.frame(index)
    }

    fn outline(&self, index: usize) -> Result<Vec<Outline>, ArchiveError> {
        self.check()?;
        self.records.outline(index)
    }
}
