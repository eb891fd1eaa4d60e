//! Times that the store keeps for whoever opens it next.

use std::io;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vault_store::{FileName, StoreError, VaultStore};

/// The time that was noted under `name`, if one was.
pub(super) fn read(store: &dyn VaultStore, name: &FileName) -> Result<Option<OffsetDateTime>, StoreError> {
    let unreadable = |error: io::Error| StoreError::failed(name, false, error);
    let Some(bytes) = store.note(name)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes)
        .map_err(io::Error::other)
        .map_err(unreadable)?;
    let time = OffsetDateTime::parse(text.trim(), &Rfc3339).map_err(io::Error::other);
    time.map(Some).map_err(unreadable)
}

/// Notes a time, in place of an earlier one.
pub(super) fn write(store: &dyn VaultStore, name: &FileName, time: OffsetDateTime) -> Result<(), StoreError> {
    let text = time.format(&Rfc3339).map_err(io::Error::other);
    let text = text.map_err(|error| StoreError::io(name, error))?;
    store.keep_note(name, text.as_bytes())
}
