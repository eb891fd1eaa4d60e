//! The index of a backup that is being written: one that cannot be made is no reason to fail.

use std::io::{self, Seek as _};

use tempfile::SpooledTempFile;
use vault_store::{FileEntry, Stage};
use zk_snapshot::archive::{Amendment, ArchiveError, Frame, IndexWriter, Record};

use super::files::{file_entry, file_in};
use crate::vaults::records::INDEX;
use crate::work::failure::Failure;

/// An index of so many bytes is in memory until it is written into the vault.
const IN_MEMORY: usize = 8 << 20;

/// Gathers an index, as long as that goes.
pub(super) struct Index(Option<IndexWriter>);

impl Index {
    pub(super) fn new() -> Self {
        Self(Some(IndexWriter::default()))
    }

    pub(super) fn add(&mut self, record: &Record, frame: usize) {
        self.attempt(|index| index.add(record, frame));
    }

    /// Takes the znodes of a part of a snapshot.
    pub(super) fn add_part(&mut self, part: &[u8], znodes: u64, frame: usize) {
        self.attempt(|index| index.add_part(part, znodes, frame));
    }

    pub(super) fn amend(&mut self, amendment: &Amendment, frame: usize) {
        self.attempt(|index| index.amend(amendment, frame));
    }

    fn attempt(&mut self, work: impl FnOnce(&mut IndexWriter) -> Result<(), ArchiveError>) {
        if let Some(Err(error)) = self.0.as_mut().map(work) {
            give_up(&error);
            self.0 = None;
        }
    }

    /// Sorts it, beside the vault: one that fails now is still none.
    pub(super) fn sort(self) -> Option<Sorted> {
        let sorted = |index: IndexWriter| {
            let (mut file, frames) = index.finish(SpooledTempFile::new(IN_MEMORY))?;
            file.rewind()?;
            Ok(Sorted { file, frames })
        };
        let sorted: Result<_, ArchiveError> = self.0.map(sorted)?;
        sorted.inspect_err(give_up).ok()
    }
}

fn give_up(error: &ArchiveError) {
    log::warn!("the backup gets no index, and will be read through when it is looked into: {error}");
}

/// An index that is to be written.
pub(super) struct Sorted {
    file: SpooledTempFile,
    frames: Vec<Frame>,
}

impl Sorted {
    pub(super) fn write(mut self, stage: &mut dyn Stage) -> Result<FileEntry, Failure> {
        let mut out = file_in(stage, &INDEX)?;
        io::copy(&mut self.file, &mut out)?;
        file_entry(INDEX, out, self.frames)
    }
}
