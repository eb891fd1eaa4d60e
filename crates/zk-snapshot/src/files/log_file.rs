//! One transaction log as a file of its own.

use std::path::Path;

use super::data_dirs::file_name;
use super::log::{LogReader, Step};
use super::transaction::Transaction;
use super::{Fault, FileError};

/// Reads one transaction log, whatever the server does with it meanwhile: an iterator over its transactions, in order.
///
/// It ends where the log does, before a record that is not whole yet, and after the first error.
pub struct LogFile {
    reader: LogReader,
    ended: bool,
}

impl std::fmt::Debug for LogFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFile")
            .field("name", &self.reader.name())
            .finish_non_exhaustive()
    }
}

impl LogFile {
    /// Opens the log at `path`.
    ///
    /// # Errors
    /// [`FileError`] if there is no such file, or it may not be read.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let opened = LogReader::open(path);
        Ok(Self {
            reader: opened.map_err(|error| FileError::new(&file_name(path), 0, error.into()))?,
            ended: false,
        })
    }

    fn read(&mut self) -> Result<Option<Transaction>, FileError> {
        match self.reader.step()? {
            Step::Record => {
                let txn = self.reader.record()?;
                let transaction = Transaction::of(&txn);
                transaction.map(Some).map_err(|fault| self.reader.fault(fault))
            }
            Step::End | Step::Torn if self.reader.more_follows()? => Err(self.reader.fault(Fault::Gap)),
            Step::End | Step::Torn => Ok(None),
        }
    }
}

impl Iterator for LogFile {
    type Item = Result<Transaction, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read();
        self.ended = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}
