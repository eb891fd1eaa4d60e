//! Why a store did not do what it was asked.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind};

use time::OffsetDateTime;

use crate::{FileName, VaultId};

/// Why a store did not do what it was asked.
///
/// A store of your own makes [`NotFound`](Self::NotFound), [`AlreadyExists`](Self::AlreadyExists) and [`damaged`](Self::damaged) ones by the rules of
/// the traits, leaves those of a commit to [`Staged`](crate::Staged) and those of a manifest to [`Manifest`](crate::Manifest), and tells of whatever goes
/// wrong below it by [`failed`](Self::failed) or [`io`](Self::io): neither needs a path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no committed vault with this id.
    #[error("backup {0} not found")]
    NotFound(VaultId),
    /// A vault, or a stage, with this id is there already. Nothing was changed.
    #[error("backup {0} exists already")]
    AlreadyExists(VaultId),
    /// There is no storage of that name to begin a vault in.
    #[error("there is no storage {0:?}")]
    NoStorage(String),
    /// Somebody else holds the storage, which is named.
    #[error("the storage {0} is in use by another process")]
    Locked(String),
    /// Where the storage was is another one now, or none, such as a directory that was moved or covered by a mount. What is there is neither read nor
    /// written; once the first is back, all goes on.
    #[error(
        "the storage {0} is not the one that was opened: it was moved, replaced, or mounted over, or its .lock was removed. Put it back, or restart to use what is there"
    )]
    Moved(String),
    /// The manifest's version is newer than [`SEALED_VERSION`](crate::SEALED_VERSION).
    #[error("backup {id} has format version {version}, which this program does not know")]
    Unsupported {
        /// The vault.
        id: VaultId,
        /// What its manifest says.
        version: u64,
    },
    /// Something of a committed vault is missing, or is not what was committed.
    #[error("{file} of backup {id} is damaged: {what}")]
    Damaged {
        /// The vault.
        id: VaultId,
        /// The file: also one of the store's own.
        file: String,
        /// What does not hold.
        what: String,
    },
    /// The vault is sealed, and none of the identities that open it is here. Nothing is wrong with it.
    #[error("backup {id} is sealed, and no identity is here that opens what is sealed to {}", .recipients.join(", "))]
    Sealed {
        /// The vault.
        id: VaultId,
        /// The public keys that it is sealed to.
        recipients: Vec<String>,
    },
    /// A stage was asked for a file that it has begun before. The stage is as it was.
    #[error("{file} of backup {id} was begun before")]
    FileExists {
        /// The vault.
        id: VaultId,
        /// The file.
        file: FileName,
    },
    /// A commit met a file that was begun and never finished. Nothing is left of the vault.
    #[error("{file} of backup {id} was not finished")]
    Unfinished {
        /// The vault.
        id: VaultId,
        /// The file.
        file: FileName,
    },
    /// A commit was given a manifest that is not that of what was staged. Nothing is left of the vault.
    #[error("the manifest is not that of backup {id}: {what}")]
    WrongManifest {
        /// The vault that was staged.
        id: VaultId,
        /// What does not hold.
        what: String,
    },
    /// The place keeps a vault from being removed for now, as a bucket with object lock does. It is whole.
    #[error("backup {id} is kept by its storage: {why}")]
    Retained {
        /// The vault.
        id: VaultId,
        /// Until when, where that is known.
        until: Option<OffsetDateTime>,
        /// What the storage says.
        why: String,
    },
    /// What lies below the store failed.
    #[error("{what}: {source}")]
    Failed {
        /// What was being worked on, or done: a path, a key, a request.
        what: String,
        /// Whether the same may succeed later though nobody changes anything.
        transient: bool,
        /// How it failed.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether trying the same again later can help, though nobody changes anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Locked(_) | Self::Moved(_) => true,
            Self::Failed { transient, .. } => *transient,
            _ => false,
        }
    }

    /// [`Damaged`](Self::Damaged), with the file, and what does not hold of it.
    pub fn damaged(id: &VaultId, file: impl Display, what: impl Display) -> Self {
        Self::Damaged {
            id: id.clone(),
            file: file.to_string(),
            what: what.to_string(),
        }
    }

    /// [`Failed`](Self::Failed), with what was being worked on, whether trying again can help, and how it failed.
    pub fn failed(
        what: impl Display,
        transient: bool,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Failed {
            what: what.to_string(),
            transient,
            source: source.into(),
        }
    }

    /// The same of a note that is there and says nothing that can be understood: it stays so until somebody mends it.
    pub fn unreadable_note(name: &FileName, why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::failed(format!("the note {name} cannot be read"), false, why)
    }

    /// The same of an I/O error, whose kind says whether trying again can help. One that was made of a [`StoreError`]
    /// is that again.
    pub fn io(what: impl Display, source: io::Error) -> Self {
        source.downcast::<Self>().unwrap_or_else(|source| {
            let lasting = matches!(
                source.kind(),
                ErrorKind::NotFound
                    | ErrorKind::AlreadyExists
                    | ErrorKind::PermissionDenied
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::NotADirectory
                    | ErrorKind::IsADirectory
                    | ErrorKind::InvalidInput
                    | ErrorKind::InvalidData
                    | ErrorKind::InvalidFilename
                    | ErrorKind::Unsupported
            );
            Self::failed(what, !lasting, source)
        })
    }
}

/// For what can only tell of I/O, such as [`Write`](io::Write): [`StoreError::io`] finds it in there again.
impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::NotFound(_) => ErrorKind::NotFound,
            StoreError::Damaged { .. } => ErrorKind::InvalidData,
            StoreError::Failed { source, .. } => {
                source.downcast_ref::<Self>().map_or(ErrorKind::Other, Self::kind)
            }
            _ => ErrorKind::Other,
        };
        // Whoever sees these goes on as if nothing had happened.
        let kind = match kind {
            ErrorKind::Interrupted | ErrorKind::WouldBlock => ErrorKind::Other,
            kind => kind,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_same_after_a_way_through_io() {
        let full = StoreError::io("bucket/key", ErrorKind::StorageFull.into());
        assert!(full.may_pass());
        let text = full.to_string();
        let through = io::Error::from(full);
        assert_eq!(through.kind(), ErrorKind::StorageFull);
        let back = StoreError::io("a file", through);
        assert_eq!(back.to_string(), text);
        let source = back.source().unwrap().to_string();
        assert!(
            text == format!("bucket/key: {source}") && back.may_pass(),
            "{text}"
        );

        let refused = StoreError::io("bucket/key", ErrorKind::PermissionDenied.into());
        assert!(!refused.may_pass());
        assert!(StoreError::failed("PUT bucket/key", true, "503 slow down").may_pass());
        // A reader would go on at once, and for ever.
        let cut = StoreError::io("bucket/key", ErrorKind::Interrupted.into());
        assert_eq!(io::Error::from(cut).kind(), ErrorKind::Other);
    }
}
