//! Times that the store keeps for whoever opens it next.

use std::io;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vault_store::{FileName, StoreError, VaultStore};

/// The time that was noted under `name`, if one was.
pub(super) fn read(store: &dyn VaultStore, name: &FileName) -> Result<Option<OffsetDateTime>, StoreError> {
    let Some(bytes) = store.note(name)? else {
        return Ok(None);
    };
    let time = parse(&bytes).map_err(|error| StoreError::unreadable_note(name, error))?;
    Ok(Some(time))
}

/// Of two notes the one that says the later time.
pub(super) fn later(first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let copied = parse(second).ok()?;
    parse(first)
        .map_or(true, |time| copied > time)
        .then(|| second.to_vec())
}

/// Whether a note says a time.
pub(super) fn is_sound(note: &[u8]) -> bool {
    parse(note).is_ok()
}

fn parse(bytes: &[u8]) -> io::Result<OffsetDateTime> {
    let text = str::from_utf8(bytes).map_err(io::Error::other)?;
    OffsetDateTime::parse(text.trim(), &Rfc3339).map_err(io::Error::other)
}

/// Notes a time, in place of an earlier one.
pub(super) fn write(store: &dyn VaultStore, name: &FileName, time: OffsetDateTime) -> Result<(), StoreError> {
    let text = time.format(&Rfc3339).map_err(io::Error::other);
    let text = text.map_err(|error| StoreError::io(name, error))?;
    store.keep_note(name, text.as_bytes())
}
