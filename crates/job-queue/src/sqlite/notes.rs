//! The table of notes.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row, Transaction, params};

use super::rows::storage;
use crate::{Note, QueueError};

pub(super) fn put(t: &Transaction<'_>, notes: &[Note]) -> Result<(), QueueError> {
    let mut put = t
        .prepare_cached("INSERT OR REPLACE INTO note (job, key, value) VALUES (?1, ?2, ?3)")
        .map_err(storage)?;
    for note in notes {
        put.execute(params![note.job, note.key, note.value])
            .map_err(storage)?;
    }
    Ok(())
}

pub(super) fn drop(t: &Transaction<'_>, job: &str, keys: &[String]) -> Result<(), QueueError> {
    let mut drop = t
        .prepare_cached("DELETE FROM note WHERE job = ?1 AND key = ?2")
        .map_err(storage)?;
    for key in keys {
        drop.execute([job, key]).map_err(storage)?;
    }
    Ok(())
}

/// One that is damaged is told as far as it is text: it costs no other.
pub(super) fn all(connection: &Connection) -> Result<Vec<Note>, QueueError> {
    let mut all = connection
        .prepare_cached("SELECT job, key, value FROM note ORDER BY job, key")
        .map_err(storage)?;
    all.query_map([], note)
        .and_then(Iterator::collect)
        .map_err(storage)
}

/// The notes of a damaged database, as many as can be read, and whether these are all.
pub(super) fn salvage(path: &Path) -> (Vec<Note>, bool) {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut notes = Vec::new();
    let mut read = || -> rusqlite::Result<()> {
        let damaged = Connection::open_with_flags(path, flags)?;
        let mut all = damaged.prepare("SELECT job, key, value FROM note")?;
        for found in all.query_map([], note)? {
            notes.push(found?);
        }
        Ok(())
    };
    let complete = match read() {
        Ok(()) => true,
        // One of a version that had none.
        Err(error) if error.to_string().contains("no such table") => true,
        Err(error) => {
            log::warn!("not all notes of {} can be read: {error}", path.display());
            false
        }
    };
    (notes, complete)
}

fn note(row: &Row<'_>) -> rusqlite::Result<Note> {
    let text = |index| {
        let bytes = row.get_ref(index)?.as_bytes().unwrap_or_default();
        Ok::<_, rusqlite::Error>(String::from_utf8_lossy(bytes).into_owned())
    };
    Ok(Note::new(text(0)?, text(1)?, text(2)?))
}
