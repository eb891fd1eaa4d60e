//! The manifest of a vault, as it is kept.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{Consistency, Contents, FileName, MANIFEST, Mode, Predecessor, StoreError, VaultId};

/// The manifest version of a vault that is not sealed.
///
/// 2 added amendments, which a reader of version 1 would miss; version 1 is read as it is.
pub const FORMAT_VERSION: u64 = 2;

/// The manifest version of a sealed vault, and the newest that is read: a reader of version 2 would take the sealed bytes for znodes.
pub const SEALED_VERSION: u64 = 3;

/// No manifest is larger: about 400,000 frames.
pub(crate) const MAX_MANIFEST: usize = 64 << 20;

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// What a vault holds and what its files must be: `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] at the time of writing, or [`SEALED_VERSION`].
    pub version: u64,
    /// The vault.
    pub id: VaultId,
    /// The root znodes that were asked for; `None` for a full backup.
    pub roots: Option<Vec<String>>,
    /// How it was taken.
    pub mode: Mode,
    /// Whether eviction policies must leave it.
    pub pinned: bool,
    /// A key of the request that is only recorded.
    pub sharded: bool,
    /// Whether the schedule asked for it, and nobody by hand; `None` in vaults of versions that did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<bool>,
    /// The backup before whose restore it was taken, of what was to be changed. It is not what is meant by the newest backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_restore_of: Option<VaultId>,
    /// The job of that restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_job: Option<String>,
    /// The term of the leader that wrote it, where several servers share a storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// When the work began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub finished_at: OffsetDateTime,
    /// How it ended.
    pub outcome: Outcome,
    /// Every file of the vault but the manifest and what lies about it.
    pub files: Vec<FileEntry>,
    /// What was captured; `None` in a failed backup.
    pub contents: Option<Contents>,
    /// `None` where this is all there is to know. Else the vault is sealed and nobody has opened it: `files` are the sealed ones, `roots` names
    /// none, the reason of `outcome` is not the true one, and `contents` is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// `Some` where the Qubership backup daemon wrote it: `files` names none then, and `contents` is `None`, since nothing noted them. It is never
    /// kept.
    #[serde(skip)]
    pub predecessor: Option<Predecessor>,
}

/// What is told of a sealed vault to whoever cannot open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The public keys (`age1…`) that it is sealed to: one of their identities opens it.
    pub recipients: Vec<String>,
    /// Whether it is a good backup though something could not be read.
    #[serde(default)]
    pub allow_partial: bool,
}

impl Manifest {
    /// A manifest of a full, unpinned backup without files, begun and ended at `at`.
    #[must_use]
    pub fn new(id: &VaultId, mode: Mode, at: OffsetDateTime, outcome: Outcome) -> Self {
        Self {
            version: FORMAT_VERSION,
            id: id.clone(),
            roots: None,
            mode,
            pinned: false,
            sharded: false,
            scheduled: None,
            before_restore_of: None,
            restore_job: None,
            term: None,
            started_at: at,
            finished_at: at,
            outcome,
            files: Vec::new(),
            contents: None,
            sealed: None,
            predecessor: None,
        }
    }

    /// Reads the manifest of the vault `id`. That the bytes are those that were written is for the store to know.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for a later version; [`StoreError::Damaged`], also where it is that of another vault.
    pub fn parse(id: &VaultId, bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = |what: String| StoreError::damaged(id, MANIFEST, what);
        let unreadable = |error: serde_json::Error| damaged(format!("it cannot be read: {error}"));
        // What else is in a newer one nobody knows.
        let Version { version } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version > SEALED_VERSION {
            let id = id.clone();
            return Err(StoreError::Unsupported { id, version });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        if manifest.id != *id {
            return Err(damaged(format!("it is that of backup {}", manifest.id)));
        }
        match manifest.contents.as_ref().map(Contents::mode) {
            Some(mode) if mode != manifest.mode => {
                let said = manifest.mode;
                Err(damaged(format!("it says {said}, and its contents are {mode}")))
            }
            _ => Ok(manifest),
        }
    }

    /// What [`parse`](Self::parse) reads: JSON, with line breaks for people.
    ///
    /// # Errors
    /// [`StoreError::WrongManifest`] if it has more than 64 MiB: nobody would read it again.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let wrong = |what: String| StoreError::WrongManifest {
            id: self.id.clone(),
            what,
        };
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| wrong(error.to_string()))?;
        if bytes.len() > MAX_MANIFEST {
            return Err(wrong(format!(
                "it has {} bytes, and {MAX_MANIFEST} are read",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// The one date of a backup: the time of its id, or its end, whichever is earlier. Ids can run ahead of the clock.
    #[must_use]
    pub fn date(&self) -> OffsetDateTime {
        self.id.time().min(self.finished_at)
    }

    /// Whether it is a good backup: complete, or partial where that was allowed. Its files are another matter.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        match self.outcome {
            Outcome::Complete => true,
            Outcome::Partial { .. } => match &self.sealed {
                Some(sealed) => sealed.allow_partial,
                None => self
                    .contents
                    .as_ref()
                    .is_some_and(|contents| contents.captured().allow_partial),
            },
            Outcome::Failed { .. } => false,
        }
    }

    /// An error if the vault is sealed and nobody has opened it: what asks for its znodes asks this first.
    ///
    /// # Errors
    /// [`StoreError::Sealed`].
    pub fn require_open(&self) -> Result<(), StoreError> {
        match &self.sealed {
            None => Ok(()),
            Some(Sealed { recipients, .. }) => Err(StoreError::Sealed {
                id: self.id.clone(),
                recipients: recipients.clone(),
            }),
        }
    }

    /// Whether something that was asked for could not be read.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        matches!(self.outcome, Outcome::Partial { .. })
    }

    /// Why it is not complete.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Complete => None,
            Outcome::Partial { reason } | Outcome::Failed { reason } => Some(reason),
        }
    }

    /// The ensemble that it is of, where that was noted.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.contents.as_ref()?.captured().source.as_deref()
    }

    /// Whether it shows one moment; `None` in a failed backup. Nothing tells that of the predecessor's.
    #[must_use]
    pub fn consistency(&self) -> Option<Consistency> {
        match &self.contents {
            Some(contents) => Some(contents.captured().consistency),
            None if self.predecessor.is_some() && !matches!(self.outcome, Outcome::Failed { .. }) => {
                Some(Consistency::Fuzzy)
            }
            None => None,
        }
    }

    /// What no restore of it can bring back, in plain words: nothing, but for the predecessor's.
    #[must_use]
    pub fn lacks(&self) -> &'static [&'static str] {
        let predecessor = self.predecessor.as_ref();
        predecessor.map_or(&[], |predecessor| predecessor.lacks(self.mode))
    }

    /// Whether it was asked for the same znodes as `roots`, or for more: then what it says of them is all of it.
    #[must_use]
    pub fn was_asked_for(&self, roots: Option<&Vec<String>>) -> bool {
        self.roots.is_none() || self.roots.as_ref() == roots
    }

    /// Whether only some root znodes were asked for.
    #[must_use]
    pub fn is_granular(&self) -> bool {
        self.roots.is_some()
    }
}

/// How a backup ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that was asked for is in it.
    Complete,
    /// Something could not be read.
    Partial {
        /// What, in plain words.
        reason: String,
    },
    /// It holds nothing to restore.
    Failed {
        /// Why, in plain words.
        reason: String,
    },
}

/// A file of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name.
    pub name: FileName,
    /// Its length.
    pub bytes: u64,
    /// Its parts, one after another, which cover it.
    pub frames: Vec<FrameEntry>,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameEntry {
    /// First byte, from the start of the file.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// Number of records in it.
    pub records: u64,
    /// SHA-256 of its bytes, in lower-case hex.
    pub sha256: String,
}

impl FileEntry {
    /// A file of one frame.
    #[must_use]
    pub fn whole(name: &FileName, bytes: &[u8]) -> Self {
        let length = bytes.len() as u64;
        let frame = FrameEntry {
            offset: 0,
            length,
            records: 1,
            sha256: hex(&Sha256::digest(bytes)),
        };
        Self {
            name: name.clone(),
            bytes: length,
            frames: vec![frame],
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
            text
        })
}
