//! The connection to a database, or what stands for it while there is no room for one.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Error};

use super::fault::Fault;
use super::file::{is_empty, open_sound, open_without_room};
use super::rows::storage;
use super::schema;
use crate::QueueError;

/// An open database.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) connection: Connection,
    /// Where it is to be made: there was no room, and the one that is open is in memory, and empty.
    awaited: Option<PathBuf>,
}

impl Held {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            awaited: None,
        }
    }

    /// Opens a database on a full disk. What is read of it needs no room; where there is nothing yet, nothing is read.
    pub(super) fn without_room(path: &Path, full: &Error) -> Result<Self, QueueError> {
        Self::without_room_by(path, full, open_without_room)
    }

    fn without_room_by(
        path: &Path,
        full: &Error,
        open: impl FnOnce(&Path) -> Result<Connection, Fault>,
    ) -> Result<Self, QueueError> {
        log::error!(
            "there is no room for {}, and no job can be noted: {full}",
            path.display()
        );
        match open(path) {
            Err(Fault::NoRoom(error)) if !is_empty(path) => Err(storage(error)),
            Err(Fault::NoRoom(_)) => {
                let mut connection = Connection::open_in_memory().map_err(storage)?;
                schema::bring_up(&mut connection).map_err(Fault::into_error)?;
                Ok(Self {
                    connection,
                    awaited: Some(path.to_owned()),
                })
            }
            opened => Ok(Self::new(opened.map_err(Fault::into_error)?)),
        }
    }

    /// Makes the database that there was no room for, before it is written.
    pub(super) fn begin_if_due(&mut self) -> Result<(), QueueError> {
        if let Some(path) = &self.awaited {
            self.connection = open_sound(path).map_err(Fault::into_error)?;
            self.awaited = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use time::OffsetDateTime;

    use super::super::SqliteJobs;
    use super::*;
    use crate::{JobStore as _, NewJob};

    fn full() -> Error {
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        Error::SqliteFailure(full, None)
    }

    fn jobs(held: Held) -> SqliteJobs {
        SqliteJobs(Mutex::new(held))
    }

    #[test]
    fn a_database_that_there_is_no_room_for_is_empty_until_it_can_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobs.db");
        let now = OffsetDateTime::UNIX_EPOCH;
        let none = |_: &Path| Err(Fault::NoRoom(full()));
        let waiting = jobs(Held::without_room_by(&path, &full(), none).unwrap());
        assert_eq!(waiting.list(0, 9).unwrap().total, 0);
        assert!(!waiting.is_needed("a").unwrap() && waiting.get("a").unwrap().is_none());
        waiting.enqueue(NewJob::new("a", "k"), now, 9).unwrap();
        drop(waiting);

        let read = jobs(Held::without_room(&path, &full()).unwrap());
        assert_eq!(read.list(0, 9).unwrap().jobs[0].id, "a");
        assert!(!directory.path().join("jobs.db-shm").exists(), "it takes no room");
        drop(read);
        // Its jobs must not be passed over.
        let unread = Held::without_room_by(&path, &full(), none);
        assert!(matches!(unread, Err(QueueError::Storage(_))));
    }
}
