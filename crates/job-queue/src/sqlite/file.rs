//! The database as a file: where it may lie, whether it is sound, and what becomes of one that is not.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::rows::{COLUMNS, fail_unreadable, storage};
use crate::QueueError;

/// `PRAGMA user_version` of the schema below.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE job (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        vault TEXT NOT NULL,
        payload TEXT NOT NULL,
        scheduled INTEGER NOT NULL,
        state TEXT NOT NULL,
        message TEXT,
        log_tail TEXT NOT NULL,
        result TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        finished_at INTEGER
    );
    CREATE INDEX job_by_state ON job (state, seq);
    CREATE INDEX job_by_kind ON job (kind, id);
    PRAGMA user_version = 1;";
pub(super) enum Fault {
    Damaged(String),
    Other(QueueError),
}

impl Fault {
    pub(super) fn into_error(self) -> QueueError {
        match self {
            Self::Damaged(what) => QueueError::Storage(what),
            Self::Other(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged(error.to_string()),
            _ => Self::Other(storage(error)),
        }
    }
}

pub(super) fn open_sound(path: &Path) -> Result<Connection, Fault> {
    let path = own_place(path).map_err(|error| Fault::Other(storage(error)))?;
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => connection.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;"))?,
        SCHEMA_VERSION => {}
        newer => return Err(Fault::Other(QueueError::Newer(newer))),
    }
    let verdict: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Fault::Damaged(verdict));
    }
    if let Err(error) = connection.prepare(&format!("SELECT seq, {COLUMNS} FROM job LIMIT 0")) {
        return Err(Fault::Damaged(error.to_string()));
    }
    fail_unreadable(&mut connection).map_err(Fault::Other)?;
    Ok(connection)
}

/// Where the database is, without links on the way. What is read and written there must have no other name, by which
/// somebody could have it, or make us write elsewhere. SQLite gives the files beside it the permissions of the database.
fn own_place(path: &Path) -> io::Result<PathBuf> {
    let named = |path: &Path, what: &str| io::Error::other(format!("{} {what}", path.display()));
    let name = path.file_name().ok_or_else(|| named(path, "has no name"))?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let path = above.unwrap_or(Path::new(".")).canonicalize()?.join(name);
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
    {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(named(&path, &error.to_string()));
        }
        _ => {}
    }
    for part in ["", "-wal", "-shm", "-journal"] {
        let part = beside(&path, part);
        match fs::symlink_metadata(&part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(&part, &error.to_string())),
            Ok(found) if !found.is_file() => return Err(named(&part, "is a link, or no file")),
            Ok(found) if found.nlink() > 1 => return Err(named(&part, "has another name (a hard link)")),
            Ok(_) => {}
        }
    }
    Ok(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Renames the database and what SQLite keeps beside it, and returns where the database now is.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, QueueError> {
    let with = |suffix: &str| beside(path, suffix);
    let free = (1..)
        .map(|n| format!(".corrupt-{n}"))
        .find(|suffix| !with(suffix).exists());
    let suffix = free.unwrap_or_default();
    for part in ["-wal", "-shm", ""] {
        let (from, to) = (with(part), with(&format!("{suffix}{part}")));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(QueueError::Storage(format!(
                    "{} cannot be moved aside: {error}",
                    from.display()
                )));
            }
            _ => {}
        }
    }
    Ok(with(&suffix))
}
