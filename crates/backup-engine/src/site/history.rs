//! Where the history of an ensemble was broken off. After a restore by files, zxids, times and versions go on from those
//! of the backup: the same numbers may stand for something else than in backups that were made before.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{FileName, StoreError, VaultStore};

use super::noted;
use crate::vaults::records::SNAPSHOT;

/// When the history was broken off last. The store keeps it, so that every process that uses it knows.
pub(super) const BROKEN_OFF: FileName = FileName::from_static("recovered");

/// The history that goes on.
pub(crate) struct History {
    store: Arc<dyn VaultStore>,
    /// Where files are placed for a restore.
    directory: Option<PathBuf>,
}

impl History {
    pub(crate) fn new(store: Arc<dyn VaultStore>, directory: Option<PathBuf>) -> Self {
        Self { store, directory }
    }

    /// When it began, as far as it is known to have had a beginning: what was begun until then is of another one.
    /// While files lie ready that is `now`, since people may start servers with them at any time. Blocks.
    pub(crate) fn begin(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let unknown = |error: &dyn std::fmt::Display| {
            log::warn!(
                "earlier backups are not relied on: when files were placed last is not known: {error}"
            );
            Some(now)
        };
        match self.files_lie_ready() {
            Ok(true) => Some(now),
            Ok(false) => noted::read(&*self.store, &BROKEN_OFF).unwrap_or_else(|error| unknown(&error)),
            Err(error) => unknown(&error),
        }
    }

    /// Whether files lie where a restore places them. Blocks.
    pub(crate) fn files_lie_ready(&self) -> io::Result<bool> {
        let Some(directory) = &self.directory else {
            return Ok(false);
        };
        match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            Ok(entries) => {
                let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
                let names = names.collect::<io::Result<Vec<_>>>()?;
                Ok(names
                    .iter()
                    .any(|name| name.to_string_lossy().starts_with(SNAPSHOT)))
            }
        }
    }

    /// Notes durably that what was begun until `now` says nothing of what comes. Blocks.
    pub(crate) fn break_off(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        noted::write(&*self.store, &BROKEN_OFF, now)
    }
}
