//! The database as a file: where it may lie, whether it is sound, and what becomes of one that is not.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::fault::Fault;
use super::rows::{fail_unreadable, storage};
use super::schema;
use crate::QueueError;

/// What SQLite keeps beside a database.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

pub(super) fn open_sound(path: &Path) -> Result<Connection, Fault> {
    sound(open(path)?)
}

/// The same, where the index of the log is kept in memory, as there is no room for a file of it: for this process alone, then.
pub(super) fn open_without_room(path: &Path) -> Result<Connection, Fault> {
    let connection = open(path)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    sound(connection)
}

/// Whether nothing was ever written to the database.
pub(super) fn is_empty(path: &Path) -> bool {
    let looked = || {
        let connection = open(path)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let tables = "SELECT count(*) FROM sqlite_master";
        Ok::<i64, Fault>(connection.query_row(tables, [], |row| row.get(0))?)
    };
    matches!(looked(), Ok(0))
}

/// Whether anything is at `path`, and in it.
pub(super) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| !found.is_file() || found.len() > 0)
}

fn open(path: &Path) -> Result<Connection, Fault> {
    let path = own_place(path).map_err(|error| Fault::Other(storage(error)))?;
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

fn sound(mut connection: Connection) -> Result<Connection, Fault> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    schema::refuse_newer(&connection)?;
    let verdict: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if verdict != "ok" {
        let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        return Err(Fault::Damaged(rusqlite::Error::SqliteFailure(
            corrupt,
            Some(verdict),
        )));
    }
    schema::bring_up(&mut connection)?;
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

/// Where the database is prepared that takes the place of a damaged one. What an earlier attempt left is gone.
pub(super) fn begin_successor(path: &Path) -> Result<PathBuf, QueueError> {
    let new = beside(path, ".new");
    for part in ["", "-wal", "-shm", "-journal"] {
        match fs::remove_file(beside(&new, part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(storage(error)),
            _ => {}
        }
    }
    Ok(new)
}

/// Puts it in the place of the damaged one, which was moved aside.
pub(super) fn succeed(path: &Path) -> Result<(), QueueError> {
    fs::rename(beside(path, ".new"), path).map_err(storage)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    File::open(above.unwrap_or(Path::new(".")))
        .and_then(|above| above.sync_all())
        .map_err(storage)
}

/// Does what a crash kept from being done: the damaged one was moved aside, perhaps without what SQLite kept beside it, and its successor is ready.
pub(super) fn finish_succession(path: &Path) -> Result<(), QueueError> {
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    if is_there(path) || !is_there(&beside(path, ".new")) {
        return Ok(());
    }
    // Its log would be taken for that of the successor.
    let last = (1..)
        .map(corrupt)
        .take_while(|suffix| beside(path, suffix).exists())
        .last();
    move_to(path, &last.unwrap_or_else(|| corrupt(1)), &BESIDE)?;
    succeed(path)
}

/// Renames the database and what SQLite keeps beside it, and returns where the database now is. The database goes first: without its log it
/// would be opened as an earlier one.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, QueueError> {
    let free = (1..).map(corrupt).find(|suffix| !beside(path, suffix).exists());
    let suffix = free.unwrap_or_default();
    move_to(path, &suffix, &[""])?;
    move_to(path, &suffix, &BESIDE)?;
    Ok(beside(path, &suffix))
}

/// What the `n`th damaged one is called by.
fn corrupt(n: u32) -> String {
    format!(".corrupt-{n}")
}

fn move_to(path: &Path, suffix: &str, parts: &[&str]) -> Result<(), QueueError> {
    for part in parts {
        let (from, to) = (beside(path, part), beside(path, &format!("{suffix}{part}")));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let what = format!("{} cannot be moved aside: {error}", from.display());
                return Err(storage(io::Error::new(error.kind(), what)));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_between_two_renames_leaves_no_log_beside_the_successor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobs.db");
        let read = |suffix: &str| fs::read_to_string(beside(&path, suffix)).ok();
        for (suffix, text) in [
            (".corrupt-1", "old"),
            ("-wal", "log"),
            ("-shm", "index"),
            (".new", "new"),
        ] {
            fs::write(beside(&path, suffix), text).unwrap();
        }
        finish_succession(&path).unwrap();
        assert_eq!(
            (read("").as_deref(), read("-wal"), read("-shm")),
            (Some("new"), None, None)
        );
        assert_eq!(read(".corrupt-1").as_deref(), Some("old"));
        assert_eq!(read(".corrupt-1-wal").as_deref(), Some("log"));
    }
}
