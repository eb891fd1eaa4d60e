//! Where the history of an ensemble was broken off. After a restore by files, zxids, times and versions go on from those
//! of the backup: the same numbers may stand for something else than in backups that were made before.

use std::fs;
use std::io;
use std::path::PathBuf;

use time::OffsetDateTime;

use crate::private_files::{read_time, write_time};
use crate::vaults::records::SNAPSHOT;

/// Beside the directory in which files are placed: when the history was broken off last.
const MARK: &str = "recovered";

/// The history that goes on.
pub(crate) struct History {
    /// Where files are placed for a restore; without it, no history is ever broken off.
    directory: Option<PathBuf>,
}

impl History {
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// When it began, as far as it is known to have had a beginning: what was begun until then is of another one.
    /// While files lie ready that is `now`, since people may start servers with them at any time. Blocks.
    pub(crate) fn begin(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let directory = self.directory.as_ref()?;
        let begin = match self.files_lie_ready() {
            Ok(true) => Ok(Some(now)),
            Ok(false) => read_time(&directory.with_file_name(MARK)),
            Err(error) => Err(error),
        };
        begin.unwrap_or_else(|error| {
            log::warn!(
                "earlier backups are not relied on: when files were placed last is not known: {error}"
            );
            Some(now)
        })
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
    pub(crate) fn break_off(&self, now: OffsetDateTime) -> io::Result<()> {
        match &self.directory {
            None => Ok(()),
            Some(directory) => write_time(&directory.with_file_name(MARK), now),
        }
    }
}
