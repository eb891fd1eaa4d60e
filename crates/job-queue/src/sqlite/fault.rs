//! Why a database cannot be opened.

use rusqlite::ErrorCode;

use super::rows::storage;
use crate::QueueError;

pub(super) enum Fault {
    Damaged(rusqlite::Error),
    Other(QueueError),
}

impl Fault {
    pub(super) fn into_error(self) -> QueueError {
        match self {
            Self::Damaged(error) => storage(error),
            Self::Other(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged(error),
            _ => Self::Other(storage(error)),
        }
    }
}
