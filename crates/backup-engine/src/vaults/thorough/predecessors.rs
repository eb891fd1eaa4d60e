//! What the predecessor keeps znodes in. No manifest has checksums of that, so it is read once, with the znodes.

use vault_store::{Manifest, StoreError, VaultStore, ZNODES};

/// The first file, if it is one of its vaults.
pub(super) fn file(manifest: &Manifest) -> Option<String> {
    let files = &manifest.predecessor.as_ref()?.files;
    Some(files.first().unwrap_or(&ZNODES).to_string())
}

/// How many bytes the files have: 0 where it is none of its vaults.
pub(super) fn bytes(store: &dyn VaultStore, manifest: &Manifest) -> Result<u64, StoreError> {
    let files = manifest.predecessor.iter().flat_map(|left| &left.files);
    files.map(|name| Ok(store.open(&manifest.id, name)?.size())).sum()
}

/// How many of `bytes` go with one of so many frames.
pub(super) fn part(bytes: u64, frame: usize, frames: usize) -> u64 {
    let until = |frame: usize| u128::from(bytes) * frame as u128 / frames.max(1) as u128;
    u64::try_from(until(frame + 1) - until(frame)).unwrap_or(bytes)
}
