//! The index of a backup that is being written: one that cannot be made is no reason to fail.

use vault_store::{FileEntry, Stage};
use zk_snapshot::archive::{Amendment, ArchiveError, IndexWriter, Record};

use super::files::{Out, file_entry, file_in};
use crate::vaults::records::INDEX;
use crate::work::failure::Failure;

/// Gathers an index, as long as that goes.
pub(super) struct Index(Option<IndexWriter>);

impl Index {
    pub(super) fn new() -> Self {
        Self(Some(IndexWriter::default()))
    }

    pub(super) fn add(&mut self, record: &Record, frame: usize) {
        self.attempt(|index| index.add(record, frame));
    }

    pub(super) fn amend(&mut self, amendment: &Amendment, frame: usize) {
        self.attempt(|index| index.amend(amendment, frame));
    }

    fn attempt(&mut self, work: impl FnOnce(&mut IndexWriter) -> Result<(), ArchiveError>) {
        if let Some(Err(error)) = self.0.as_mut().map(work) {
            log::warn!("the backup gets no index, and will be read through when it is looked into: {error}");
            self.0 = None;
        }
    }

    /// Begins its file, if there is one.
    pub(super) fn begin(mut self, stage: &mut dyn Stage) -> Result<Option<Begun>, Failure> {
        self.attempt(IndexWriter::settle);
        let begun = |index| {
            Ok(Begun {
                index,
                out: file_in(stage, &INDEX)?,
            })
        };
        self.0.map(begun).transpose()
    }
}

/// An index that is to be sorted and written.
pub(super) struct Begun {
    index: IndexWriter,
    out: Out,
}

impl Begun {
    pub(super) fn write(self) -> Result<FileEntry, Failure> {
        let (out, frames) = self.index.finish(self.out)?;
        file_entry(INDEX, out, frames)
    }
}
