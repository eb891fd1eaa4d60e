//! Whether the index of a vault is that of its archive.

use vault_store::{Manifest, VaultStore};
use zk_snapshot::archive::{Amendment, ArchiveError, IndexWriter, Record};

use crate::EngineError;
use crate::vaults::records::{self, ARCHIVE};

/// Makes the index anew from what is read, and compares.
pub(super) struct IndexCheck<'a> {
    store: &'a dyn VaultStore,
    manifest: &'a Manifest,
    anew: IndexWriter,
    /// How many frames the archive has: what is behind them is of the amendments.
    frames: usize,
}

impl<'a> IndexCheck<'a> {
    /// `None` where the vault has no index.
    pub(super) fn of(store: &'a dyn VaultStore, manifest: &'a Manifest) -> Option<Self> {
        let archive = manifest.files.iter().find(|file| file.name == ARCHIVE)?;
        records::has_index(manifest).then(|| Self {
            store,
            manifest,
            anew: IndexWriter::default(),
            frames: archive.frames.len(),
        })
    }

    /// Takes the records of a frame, with the amendments worked in.
    pub(super) fn add(&mut self, records: &[Record], frame: usize) -> Result<(), EngineError> {
        if frame < self.frames {
            let mut records = records.iter();
            records
                .try_for_each(|record| self.anew.add(record, frame))
                .map_err(failed)?;
        }
        Ok(())
    }

    /// What is wrong with the index, in plain words.
    pub(super) fn end(mut self) -> Result<Option<String>, EngineError> {
        if let Some(amendments) = records::amendments_of(self.store, self.manifest)? {
            for frame in 0..amendments.frame_count() {
                let items: Vec<Amendment> = amendments.items(frame).map_err(failed)?;
                // What has gone is among no records.
                for amendment in items.iter().filter(|amendment| amendment.record.is_some()) {
                    self.anew.amend(amendment, frame).map_err(failed)?;
                }
            }
        }
        let index = match records::open_index(self.store, self.manifest) {
            Ok(Some(index)) => index,
            Ok(None) => return Ok(Some("it is of a version that is not known".to_owned())),
            Err(EngineError::Damaged { cause, .. }) => return Ok(Some(cause.to_string())),
            Err(error) => return Err(error),
        };
        match self.anew.compare(&index) {
            Err(error @ (ArchiveError::Damaged { .. } | ArchiveError::NoSuchFrame(_))) => {
                Ok(Some(error.to_string()))
            }
            compared => compared.map_err(failed),
        }
    }
}

fn failed(error: ArchiveError) -> EngineError {
    EngineError::Storage(error.into())
}
