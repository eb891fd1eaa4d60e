//! Why a database cannot be opened.

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use super::rows::storage;
use crate::QueueError;

pub(super) enum Fault {
    Damaged(rusqlite::Error),
    /// The disk is full.
    NoRoom(rusqlite::Error),
    Other(QueueError),
}

impl Fault {
    pub(super) fn into_error(self) -> QueueError {
        match self {
            Self::Damaged(error) | Self::NoRoom(error) => storage(error),
            Self::Other(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged(error),
            Some(ErrorCode::DiskFull) => Self::NoRoom(error),
            // The index of the log, which is a file as well.
            _ if error.sqlite_error().map(|error| error.extended_code) == Some(SQLITE_IOERR_SHMSIZE) => {
                Self::NoRoom(error)
            }
            _ => Self::Other(storage(error)),
        }
    }
}
