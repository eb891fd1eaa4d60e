//! Room for a note where the disk is full. Evicting a vault that has a second copy is noted before, and would need room to make room.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::files::{io_at, replace, sync};
use crate::StoreError;
use crate::private::no_follow;

/// The file that keeps it.
const RESERVE: &str = ".reserve";
/// Enough for some thousand ids.
const ROOM: usize = 128 << 10;
/// What a filesystem gives at least.
const LEAST: usize = 4 << 10;

/// Puts a note in the place of an earlier one, in one step: in the room that is kept for it where there is no other.
pub(super) fn keep(root: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    keep_by(root, name, bytes, &mut replace)
}

/// What writes a file.
type Writes<'a> = &'a mut dyn FnMut(&Path, &str, &[u8]) -> Result<(), StoreError>;

fn keep_by(root: &Path, name: &str, bytes: &[u8], write: Writes<'_>) -> Result<(), StoreError> {
    let full = match write(root, name, bytes) {
        Err(error) if is_full(&error) => error,
        kept => return kept,
    };
    let (reserve, new) = (root.join(RESERVE), root.join(format!("{name}.new")));
    match fs::rename(&reserve, &new) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(full),
        renamed => renamed.map_err(io_at(&reserve))?,
    }
    if let Err(error) = write_within(&new, bytes) {
        log::debug!("{error}");
        // Where nothing is written in place, the room has to be free first.
        fs::remove_file(&new).map_err(io_at(&new))?;
        return write(root, name, bytes);
    }
    fs::rename(&new, root.join(name)).map_err(io_at(&new))?;
    sync(root)
}

/// Takes as much of the room as there is, unless all of it is kept already. That there is none is no failure: it is tried again.
pub(super) fn refill(root: &Path) {
    if fs::symlink_metadata(root.join(RESERVE)).is_ok() {
        return;
    }
    let mut room = ROOM;
    while room >= LEAST {
        match replace(root, RESERVE, &filler(room)) {
            Err(error) if is_full(&error) => room /= 2,
            Err(error) => {
                log::debug!("no room is kept for notes: {error}");
                return;
            }
            Ok(()) => return,
        }
    }
}

/// Bytes that take their room on a filesystem that packs them as well.
fn filler(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    let mut hash = Sha256::digest(RESERVE);
    while bytes.len() < length {
        bytes.extend_from_slice(&hash);
        hash = Sha256::digest(hash);
    }
    bytes
}

/// Writes what a file is to hold over what it has, which is more.
fn write_within(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = no_follow().write(true).open(path)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()
    };
    write().map_err(io_at(path))
}

fn is_full(error: &StoreError) -> bool {
    let StoreError::Failed { source, .. } = error else {
        return false;
    };
    let kind = source.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(
        kind,
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has no room for anything, and leaves nothing.
    fn full(root: &Path, name: &str, _: &[u8]) -> Result<(), StoreError> {
        let new = root.join(format!("{name}.new"));
        Err(StoreError::io(new.display(), io::ErrorKind::StorageFull.into()))
    }

    #[test]
    fn a_note_is_kept_on_a_full_disk_once_and_again_when_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let read = || fs::read(root.join("note")).ok();
        let refused = keep_by(root, "note", b"1", &mut full).unwrap_err();
        assert!(is_full(&refused) && read().is_none(), "nothing was kept for it");
        for note in [&b"22"[..], b"333"] {
            refill(root);
            assert_eq!(fs::metadata(root.join(RESERVE)).unwrap().len(), ROOM as u64);
            keep_by(root, "note", note, &mut full).unwrap();
            assert_eq!(read().as_deref(), Some(note));
            assert!(!root.join("note.new").exists());
            let refused = keep_by(root, "note", b"4", &mut full).unwrap_err();
            assert!(is_full(&refused) && read().as_deref() == Some(note));
        }
        keep(root, "note", b"4").unwrap();
        assert_eq!(read().as_deref(), Some(&b"4"[..]));
    }

    #[test]
    fn what_has_another_reason_than_a_full_disk_takes_no_reserve() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        refill(root);
        let mut broken = |_: &Path, name: &str, _: &[u8]| {
            Err(StoreError::io(name, io::ErrorKind::PermissionDenied.into()))
        };
        assert!(keep_by(root, "note", b"1", &mut broken).is_err());
        assert!(root.join(RESERVE).exists() && !root.join("note").exists());
    }
}
