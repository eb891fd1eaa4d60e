//! The files of a server's data directory, found and opened.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{FileError, GatherError};

/// Where a server keeps its files. Both may be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDirs {
    /// `dataDir`, with or without `version-2`.
    pub data: PathBuf,
    /// `dataLogDir`, with or without `version-2`.
    pub log: PathBuf,
}

impl DataDirs {
    /// One directory for both, as a server without a `dataLogDir` has it.
    #[must_use]
    pub fn same(directory: impl Into<PathBuf>) -> Self {
        let data = directory.into();
        Self {
            log: data.clone(),
            data,
        }
    }

    /// The snapshots, oldest first, each with the zxid at which it was begun.
    ///
    /// # Errors
    /// [`GatherError::Directory`] if the directory cannot be read.
    pub fn snapshots(&self) -> Result<Vec<(i64, PathBuf)>, GatherError> {
        list(&version_2(&self.data), "snapshot")
    }

    /// The transaction logs, oldest first, each with the zxid that it begins with.
    ///
    /// # Errors
    /// [`GatherError::Directory`] if the directory cannot be read.
    pub fn logs(&self) -> Result<Vec<(i64, PathBuf)>, GatherError> {
        list(&version_2(&self.log), "log")
    }
}

/// Why one snapshot makes no state.
pub(super) enum Unfit {
    Damaged(FileError),
    Vanished(io::Error),
}

impl From<FileError> for Unfit {
    fn from(error: FileError) -> Self {
        Self::Damaged(error)
    }
}

pub(super) fn version_2(directory: &Path) -> PathBuf {
    let inner = directory.join("version-2");
    if inner.is_dir() {
        inner
    } else {
        directory.to_owned()
    }
}

/// The files `<prefix>.<zxid>…` of a directory, by zxid, as a server finds them.
pub(super) fn list(directory: &Path, prefix: &str) -> Result<Vec<(i64, PathBuf)>, GatherError> {
    let fail = |error: io::Error| GatherError::Directory(directory.to_owned(), error);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or_default().split('.');
        if parts.next() != Some(prefix) {
            continue;
        }
        if let Some(zxid) = parts.next().and_then(|text| i64::from_str_radix(text, 16).ok()) {
            found.push((zxid, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The logs of a directory, by zxid. A copy that somebody has made of one (`log.<zxid>.bak`) is passed over where the log
/// itself is there, which may have been written on since.
pub(super) fn log_files(directory: &Path) -> Result<Vec<(i64, PathBuf)>, GatherError> {
    let mut found = list(directory, "log")?;
    let is_copy = |path: &Path| path.file_stem() != Some(OsStr::new("log"));
    // It comes after the log, whose name its own begins with.
    found.dedup_by(|later, known| later.0 == known.0 && is_copy(&later.1) && !is_copy(&known.1));
    Ok(found)
}

/// What came of opening the file at `path`: one that is not there any more was purged meanwhile.
pub(super) fn opened<T>(path: &Path, opened: io::Result<T>) -> Result<T, Unfit> {
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unfit::Vanished(error),
        _ => FileError::new(&file_name(path), 0, error.into()).into(),
    })
}

/// Opens a file that is one, and not something that may never be opened.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    match fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(io::Error::other("it is not a file")),
    }
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
