//! The two manifests of a sealed vault: the one that everybody reads, and the one that is sealed with it.

use std::io::{Read as _, Write};
use std::sync::Arc;

use super::keys::{Identities, Recipients};
use super::read::SealedRead;
use crate::manifest::MAX_MANIFEST;
use crate::{
    FileEntry, FileName, MANIFEST, Manifest, Outcome, Reader, SEALED_VERSION, Sealed, StoreError, VaultRead,
};

/// The file of a sealed vault that has the true manifest. Its first line is the manifest that everybody reads, without this file; the true
/// one follows.
pub(super) const MANIFEST_AGE: FileName = FileName::from_static("manifest.age");

/// In place of why a backup failed, which may name znodes.
const REASON: &str = "the reason is sealed with the backup";

/// What everybody may read of `manifest`, whose sealed files are `files`.
pub(super) fn outside(manifest: &Manifest, files: Vec<FileEntry>, recipients: &Recipients) -> Manifest {
    let reason = REASON.to_owned();
    let captured = manifest.contents.as_ref().map(|contents| contents.captured());
    Manifest {
        version: SEALED_VERSION,
        id: manifest.id.clone(),
        // Only whether some were named.
        roots: manifest.roots.as_ref().map(|_| Vec::new()),
        mode: manifest.mode,
        pinned: manifest.pinned,
        sharded: manifest.sharded,
        scheduled: manifest.scheduled,
        before_restore_of: manifest.before_restore_of.clone(),
        restore_job: manifest.restore_job.clone(),
        term: manifest.term,
        started_at: manifest.started_at,
        finished_at: manifest.finished_at,
        outcome: match manifest.outcome {
            Outcome::Complete => Outcome::Complete,
            Outcome::Partial { .. } => Outcome::Partial { reason },
            Outcome::Failed { .. } => Outcome::Failed { reason },
        },
        files,
        contents: None,
        sealed: Some(Sealed {
            recipients: recipients.names(),
            allow_partial: captured.is_some_and(|captured| captured.allow_partial),
        }),
        predecessor: None,
    }
}

/// Writes what is sealed of both.
pub(super) fn write(outside: &Manifest, manifest: &Manifest, to: &mut impl Write) -> Result<(), StoreError> {
    let failed = |error| StoreError::io(MANIFEST_AGE, error);
    let bytes = manifest.to_bytes()?;
    let line = serde_json::to_vec(outside).map_err(|error| failed(error.into()))?;
    for part in [&line[..], b"\n", &bytes] {
        to.write_all(part).map_err(failed)?;
    }
    Ok(())
}

/// The true manifest, from `file`. What everybody reads is compared with what was sealed: it is the one part that anybody could change.
pub(super) fn open(
    mut outside: Manifest,
    file: Arc<dyn VaultRead>,
    identities: &Identities,
) -> Result<Manifest, StoreError> {
    let id = outside.id.clone();
    let file = SealedRead::new(&id, &MANIFEST_AGE, file, identities)?;
    let damaged = |what: &str| StoreError::damaged(&id, MANIFEST, what);
    let mut bytes = Vec::new();
    Reader::new(Arc::new(file))
        .take(2 * MAX_MANIFEST as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| StoreError::io(MANIFEST_AGE, error))?;
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let manifest = Manifest::parse(&id, rest)?;
    let sealed: Manifest =
        serde_json::from_slice(line).map_err(|error| damaged(&format!("it cannot be read: {error}")))?;
    outside.files.retain(|file| file.name != MANIFEST_AGE);
    if sealed != outside {
        return Err(damaged("it is not what was sealed with the backup"));
    }
    Ok(manifest)
}
