//! Single files and directories: read without following links, written durably.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::manifest::{MAX_MANIFEST, hex};
use crate::private::{self, no_follow};
use crate::{MANIFEST, StoreError, VaultId};

/// Puts a file in the place of an earlier one, in one step. Of one name by one thread at a time: the new one is `<name>.new` until then. Where
/// that fails nothing is left of it.
pub(crate) fn replace(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let new = directory.join(format!("{name}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at(&new)(error)),
        _ => {} // left by a crash, or not there
    }
    let placed =
        write_synced(&new, bytes).and_then(|()| fs::rename(&new, directory.join(name)).map_err(io_at(&new)));
    if placed.is_err()
        && let Err(error) = fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        log::debug!("{}: {error}", new.display());
    }
    placed?;
    sync(directory)
}

/// What an error of the filesystem at `path` is.
pub(crate) fn io_at(path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |error| StoreError::io(path.display(), error)
}

pub(super) fn damage_or_io(id: &VaultId, vault: &Path, file: &str, error: io::Error) -> StoreError {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "it is missing".to_owned(),
        io::ErrorKind::InvalidData => error.to_string(),
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "it is a link".to_owned()
        }
        _ => return io_at(&vault.join(file))(error),
    };
    StoreError::damaged(id, file, what)
}

/// As `sha256sum` writes it, so that `sha256sum -c manifest.json.sha256` checks it.
pub(super) fn checksum_line(manifest: &[u8]) -> String {
    format!("{}  {MANIFEST}\n", hex(&Sha256::digest(manifest)))
}

/// The directory that the path of a storage names. A link is followed here, and nowhere below: whoever names the storage says where it is,
/// as systemd does by `/var/lib/<name>` where `DynamicUser=` keeps it in `/var/lib/private`.
pub(super) fn named(root: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(root) {
        Ok(found) if found.is_symlink() => fs::canonicalize(root),
        _ => Ok(root.to_owned()), // what is there, or may be made there
    }
}

pub(super) fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).as_ref().is_ok_and(Metadata::is_dir)
}

pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let file = no_follow().read(true).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a file"))
}

pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?
        .take(MAX_MANIFEST as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = private::create_file(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(io_at(path))
}

/// Syncs a file or a directory.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    no_follow()
        .read(true)
        .open(path)
        .and_then(|file| file.sync_all())
        .map_err(io_at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_cannot_be_put_in_its_place_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("note")).unwrap();
        replace(root, "note", b"1").unwrap_err();
        assert!(!root.join("note.new").exists());
        fs::remove_dir(root.join("note")).unwrap();
        replace(root, "note", b"2").unwrap();
        assert_eq!(fs::read(root.join("note")).unwrap(), b"2");
    }
}
