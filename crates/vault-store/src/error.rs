use std::io;
use std::path::{Path, PathBuf};

use crate::VaultId;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no committed vault with this id.
    #[error("backup {0} not found")]
    NotFound(VaultId),
    /// A vault, or a stage, with this id is there already. Nothing was changed.
    #[error("backup {0} exists already")]
    AlreadyExists(VaultId),
    /// Another process holds the storage.
    #[error("the storage {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The manifest's version is newer than [`FORMAT_VERSION`](crate::FORMAT_VERSION).
    #[error("backup {id} has format version {version}, which this program does not know")]
    Unsupported {
        /// The vault.
        id: VaultId,
        /// What its manifest says.
        version: u64,
    },
    /// A file of the vault is not what was committed.
    #[error("{file} of backup {id} is damaged: {what}")]
    Damaged {
        /// The vault.
        id: VaultId,
        /// The file.
        file: String,
        /// What does not hold.
        what: String,
    },
    /// A file name is not plain, or one of the store's own.
    #[error("{0:?} cannot be the name of a file in a backup")]
    InvalidName(String),
    /// The storage below failed.
    #[error("{}: {source}", .path.display())]
    Io {
        /// What was being worked on.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether trying the same again later can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Locked(_) | Self::Io { .. })
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
