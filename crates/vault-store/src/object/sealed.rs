//! The object that makes a vault: a line about it, and its manifest.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::manifest::hex;
use crate::{MANIFEST, Manifest, StoreError, VaultId};

/// The first line, which is JSON like what follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Where the files are.
    pub(super) stage: String,
    /// SHA-256 of the stage, a line break, and what follows this line.
    sha256: String,
}

/// What is known of a vault.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) head: Head,
    /// `None` where it cannot be read, and where it was read and is too large to be kept.
    pub(super) manifest: Option<Arc<Manifest>>,
    /// Why there is no manifest.
    unread: Option<StoreError>,
    /// Of the files; `None` where that is not known.
    pub(super) files_bytes: Option<u64>,
    /// Of the object itself.
    pub(super) bytes: u64,
}

/// The object's bytes.
pub(super) fn seal(stage: &str, manifest: &Manifest) -> Result<Vec<u8>, StoreError> {
    let text = manifest.to_bytes()?;
    let head = Head {
        stage: stage.to_owned(),
        sha256: checksum(stage, &text),
    };
    let mut bytes =
        serde_json::to_vec(&head).map_err(|error| StoreError::failed(&manifest.id, false, error))?;
    bytes.push(b'\n');
    bytes.extend(text);
    Ok(bytes)
}

/// A line that names another stage than the one that was written is as damaged as what follows it.
fn checksum(stage: &str, text: &[u8]) -> String {
    let hash = Sha256::new()
        .chain_update(stage)
        .chain_update(b"\n")
        .chain_update(text);
    hex(&hash.finalize())
}

impl Head {
    /// Of an object's bytes, and what follows; `None` if it cannot be read.
    pub(super) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head = serde_json::from_slice(&bytes[..end]).ok()?;
        Some((head, &bytes[end + 1..]))
    }

    /// One that says only where the files are.
    pub(super) fn of_stage(stage: String) -> Self {
        let sha256 = String::new();
        Self { stage, sha256 }
    }
}

impl Sealed {
    pub(super) fn read(id: &VaultId, head: Head, text: &[u8], bytes: u64) -> Self {
        let manifest = match checksum(&head.stage, text) == head.sha256 {
            true => Manifest::parse(id, text),
            false => Err(StoreError::damaged(
                id,
                MANIFEST,
                "its SHA-256 and that of its stage differ from the one recorded in its first line",
            )),
        };
        let sum = |manifest: &Manifest| manifest.files.iter().map(|file| file.bytes).sum();
        let files_bytes = manifest.as_ref().ok().map(sum);
        let (manifest, unread) = match manifest {
            Ok(manifest) => (Some(Arc::new(manifest)), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            head,
            manifest,
            unread,
            files_bytes,
            bytes,
        }
    }

    /// The same without its manifest.
    pub(super) fn without_manifest(&self) -> Self {
        Self {
            head: self.head.clone(),
            manifest: None,
            unread: None,
            files_bytes: self.files_bytes,
            bytes: self.bytes,
        }
    }

    /// Whether its manifest was read and can be.
    pub(super) fn is_sound(&self) -> bool {
        self.manifest.is_some()
    }

    /// Why there is no manifest.
    pub(super) fn why(&self, id: &VaultId) -> StoreError {
        match &self.unread {
            Some(StoreError::Unsupported { version, .. }) => StoreError::Unsupported {
                id: id.clone(),
                version: *version,
            },
            Some(StoreError::Damaged { what, .. }) => StoreError::damaged(id, MANIFEST, what),
            _ => StoreError::damaged(id, MANIFEST, "it cannot be read"),
        }
    }
}
