//! What the second store has and lacks, and copying it there.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::MirroredStore;
use crate::manifest::hex;
use crate::{FileEntry, Reader, StoreError, VaultFile, VaultId, VaultRead};

impl MirroredStore {
    /// Lists the second store. The first time that it answers, notes that only it has are taken back, before anything of it is listed.
    ///
    /// # Errors
    /// [`StoreError::Failed`] of either: the second store counts as away then, and what only it has is not listed.
    pub fn refresh(&self) -> Result<(), StoreError> {
        let answer = self.list_second();
        let mut state = self.0.lock();
        state.answers = answer.is_ok();
        state.listed = answer?;
        Ok(())
    }

    fn list_second(&self) -> Result<BTreeSet<VaultId>, StoreError> {
        let listed = self.0.second.ids()?;
        self.0.read_evicted()?;
        for name in &self.0.notes {
            if self.0.lock().notes.contains_key(name) {
                continue;
            }
            let Some(copied) = self.0.second.note(name)? else {
                continue;
            };
            if self.0.first.note(name)?.is_none() {
                self.0.first.keep_note(name, &copied)?;
                log::warn!("the note {name} was lost, and is that of the second copy again");
            }
            self.0.lock().notes.insert(name.clone(), copied);
        }
        Ok(listed.into_iter().collect())
    }

    /// Copies the notes that have changed.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn copy_notes(&self) -> Result<(), StoreError> {
        for name in &self.0.notes {
            let Some(note) = self.0.first.note(name)? else {
                continue;
            };
            if self.0.lock().notes.get(name) != Some(&note) {
                self.0.second.keep_note(name, &note)?;
                self.0.lock().notes.insert(name.clone(), note);
            }
        }
        Ok(())
    }

    /// The vaults of the first store that the second lacked when it was last listed, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn lacking(&self) -> Result<Vec<VaultId>, StoreError> {
        let mut ids = self.0.first.ids()?;
        let state = self.0.lock();
        ids.retain(|id| state.lacks(id));
        Ok(ids)
    }

    /// Copies a vault to the second store: its files and its manifest as they are, each frame compared with its checksum. `go_on` is told, before each
    /// piece, how many bytes were copied since it was asked last, and says whether to go on. Whether it was copied; a vault that is gone, or whose earlier
    /// copy is not removed yet, is not.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] of the first store, [`StoreError::Unsupported`], [`StoreError::Failed`]. Nothing is left of the copy then.
    pub fn copy(&self, id: &VaultId, go_on: &mut dyn FnMut(u64) -> bool) -> Result<bool, StoreError> {
        if self.0.lock().evicted.contains(id) {
            return Ok(false);
        }
        let copied = match self.try_copy(id, go_on) {
            Err(StoreError::NotFound(_)) => false,
            copied => copied?,
        };
        if copied {
            self.0.lock().listed.insert(id.clone());
        }
        Ok(copied)
    }

    fn try_copy(&self, id: &VaultId, go_on: &mut dyn FnMut(u64) -> bool) -> Result<bool, StoreError> {
        let manifest = self.0.first.manifest(id)?;
        let mut stage = match self.0.second.stage(id) {
            Err(StoreError::AlreadyExists(_)) if self.0.second.manifest(id)? == manifest => return Ok(true),
            stage => stage?,
        };
        for entry in &manifest.files {
            let from = self.0.first.open(id, &entry.name)?;
            let mut to = stage.create(&entry.name)?;
            if !copy_file(id, entry, from, &mut *to, go_on)? {
                return Ok(false);
            }
            to.finish()?;
        }
        stage.commit(&manifest)?;
        Ok(true)
    }
}

/// Whether it was copied to the end.
fn copy_file(
    id: &VaultId,
    entry: &FileEntry,
    from: Arc<dyn VaultRead>,
    to: &mut dyn VaultFile,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, StoreError> {
    let name = &entry.name;
    let damaged = |what: String| StoreError::damaged(id, name, what);
    let (mut from, mut piece, mut done) = (Reader::new(from), vec![0; 1 << 20], 0);
    for (index, frame) in entry.frames.iter().enumerate() {
        let (mut left, mut hash) = (frame.length, Sha256::new());
        while left > 0 {
            if !go_on(std::mem::take(&mut done)) {
                return Ok(false);
            }
            let most = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            let count = from
                .read(&mut piece[..most])
                .map_err(|error| StoreError::io(name, error))?;
            if count == 0 {
                return Err(damaged(format!("frame {index} is cut")));
            }
            hash.update(&piece[..count]);
            to.write_all(&piece[..count])
                .map_err(|error| StoreError::io(name, error))?;
            (left, done) = (left - count as u64, count as u64);
        }
        if hex(&hash.finalize()) != frame.sha256 {
            let what = format!("the SHA-256 of frame {index} differs from the one recorded");
            return Err(damaged(what));
        }
    }
    Ok(go_on(done))
}
