//! Whether a vault is what was committed.

use std::io::{Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::manifest::hex;
use crate::{Damage, FileEntry, Reader, StoreError, VaultId, VaultStore, Verification};

/// Reads every byte of a vault and compares it with the manifest. Memory does not grow with the vault.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Unsupported`]; [`StoreError::Failed`], also of one of the predecessor, which has no checksums. Damage is
/// no error but the result.
pub fn verify(store: &dyn VaultStore, id: &VaultId, now: OffsetDateTime) -> Result<Verification, StoreError> {
    let found = verify_while(store, id, now, &mut |_| true)?;
    Ok(found.unwrap_or_else(|| Verification::new(now, Vec::new())))
}

/// The same for who may have to stop: before each frame `go_on` is told how many bytes were read since it was asked last, and says whether
/// to go on. `None` if not.
///
/// # Errors
/// As [`verify`].
pub fn verify_while(
    store: &dyn VaultStore,
    id: &VaultId,
    now: OffsetDateTime,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Verification>, StoreError> {
    let mut damage = Vec::new();
    match store.manifest(id) {
        Ok(manifest) if manifest.predecessor.is_some() => {
            let why =
                "nothing noted what its files must be: only reading its znodes can tell whether it is sound";
            return Err(StoreError::failed(format!("backup {id}"), false, why));
        }
        Ok(manifest) => {
            for file in &manifest.files {
                match check_file(store, id, file, go_on)? {
                    Some(found) => damage.extend(found),
                    None => return Ok(None),
                }
            }
        }
        Err(StoreError::Damaged { file, what, .. }) => damage.push(Damage {
            file,
            frame: None,
            what,
        }),
        Err(error) => return Err(error),
    }
    Ok(Some(Verification::new(now, damage)))
}

/// The same of one file of a vault, as its manifest describes it.
///
/// # Errors
/// As [`verify`].
pub fn verify_file(
    store: &dyn VaultStore,
    id: &VaultId,
    file: &FileEntry,
) -> Result<Vec<Damage>, StoreError> {
    Ok(check_file(store, id, file, &mut |_| true)?.unwrap_or_default())
}

/// `None` if `go_on` said that it is not to go on.
fn check_file(
    store: &dyn VaultStore,
    id: &VaultId,
    file: &FileEntry,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Vec<Damage>>, StoreError> {
    let mut damage = Vec::new();
    let checked = store
        .open(id, &file.name)
        .and_then(|open| check(file, Reader::new(open), &mut damage, go_on));
    match checked {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(StoreError::Damaged { file, what, .. }) => damage.push(Damage {
            file,
            frame: None,
            what,
        }),
        Err(error) => return Err(error),
    }
    Ok(Some(damage))
}

/// Whether it was gone through, or `go_on` said that it is not to go on.
fn check(
    file: &FileEntry,
    mut open: Reader,
    damage: &mut Vec<Damage>,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, StoreError> {
    let failed = |error| StoreError::io(&file.name, error);
    let mut note = |frame, what: String| {
        damage.push(Damage {
            file: file.name.to_string(),
            frame,
            what,
        });
    };
    let (mut end, mut read) = (0_u64, 0);
    for (index, frame) in file.frames.iter().enumerate() {
        if !go_on(std::mem::take(&mut read)) {
            return Ok(false);
        }
        if frame.offset != end {
            note(Some(index), "it does not follow the frame before".to_owned());
            return Ok(true);
        }
        // More than any file has, so that the next byte is missed.
        end = end.saturating_add(frame.length);
        let mut hash = Sha256::new();
        let copied = std::io::copy(&mut open.by_ref().take(frame.length), &mut HashInto(&mut hash));
        let length = match copied.map_err(failed) {
            Ok(length) => length,
            // A part of it cannot be opened that was sealed: what follows may be whole.
            Err(StoreError::Damaged { what, .. }) => {
                note(Some(index), what);
                open.seek(SeekFrom::Start(end)).map_err(failed)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        read = length;
        if length != frame.length {
            note(
                Some(index),
                format!("{length} bytes of {} are there", frame.length),
            );
            return Ok(true);
        }
        if hex(&hash.finalize()) != frame.sha256 {
            note(
                Some(index),
                "its SHA-256 differs from the one recorded".to_owned(),
            );
        }
    }
    if end != file.bytes {
        note(None, "its frames do not cover it".to_owned());
    }
    if open.read(&mut [0]).map_err(failed)? > 0 {
        note(
            None,
            format!("it is longer than the {} bytes recorded", file.bytes),
        );
    }
    Ok(go_on(read))
}

struct HashInto<'a>(&'a mut Sha256);

impl std::io::Write for HashInto<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
