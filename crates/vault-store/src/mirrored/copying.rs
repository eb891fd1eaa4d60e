//! What the second store has and lacks, and copying it there.

use std::io::Read as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::shared::Shared;
use super::{MirroredStore, StoredCopy};
use crate::manifest::hex;
use crate::{
    Damage, FileEntry, Manifest, Reader, Stage, StoreError, VaultFile, VaultId, VaultRead, VaultStore,
    verify_while,
};

/// So many manifests are compared at a time.
const COMPARED: usize = 200;

impl MirroredStore {
    /// Looks whether the second store is that of the first, lists it, and learns the notes that it has: before anything of it is listed, so that nobody sees a vault without its pin. Nothing
    /// is changed.
    ///
    /// # Errors
    /// [`StoreError::Failed`] of the second store, which counts as away then: what only it has is not listed. That of the first as well, where it cannot be
    /// asked what was evicted: what was known of that counts, and all of the second is listed where nothing was, since nothing can be evicted.
    pub fn refresh(&self) -> Result<(), StoreError> {
        let evicted = self.0.read_evicted();
        let answer = self.0.look();
        {
            let mut state = self.0.lock();
            state.answers = answer.is_ok();
            state.listed = answer?.into_iter().collect();
        }
        evicted
    }

    /// The vaults of the first store that the second lacked when it was last listed, or has as other ones, oldest first. Each that both have is compared by its
    /// manifest, once.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn lacking(&self) -> Result<Vec<VaultId>, StoreError> {
        let mut ids = self.0.first.ids()?;
        self.0.compare(&ids);
        let state = self.0.lock();
        ids.retain(|id| state.lacks(id) || state.different.contains(id));
        Ok(ids)
    }

    /// Copies a vault to the second store: its files and its manifest as they are, each frame compared with its checksum, and reads
    /// back what was written. A copy that is there and is not the same is removed first, if the first store has it whole,
    /// and it is not known to be damaged or, sealed, another one than its id says. `go_on` is told, before each
    /// piece, how many bytes were copied, or read of what is to be replaced, since it was asked last, and says whether to go on. Whether it was copied; a vault that is gone, or whose earlier
    /// copy is not removed yet, is not.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] of the first store, or of what was written; [`StoreError::Sealed`] where nobody here can tell which of two sealed ones is meant;
    /// [`StoreError::Unsupported`], [`StoreError::Retained`], [`StoreError::Failed`], with the store that it is of. Nothing
    /// is left of the copy then, unless it could not be read back.
    pub fn copy(&self, id: &VaultId, go_on: &mut dyn FnMut(u64) -> bool) -> Result<bool, CopyError> {
        if self.0.lock().evicted.contains(id) {
            return Ok(false);
        }
        let copied = match self.try_copy(id, go_on) {
            Err(CopyError {
                source: StoreError::NotFound(_),
                ..
            }) => false,
            copied => copied?,
        };
        if copied {
            let mut state = self.0.lock();
            state.listed.insert(id.clone());
            state.alike.insert(id.clone());
            state.different.remove(id);
            state.meant.remove(id);
            state.rotten.remove(id);
        }
        Ok(copied)
    }

    fn try_copy(&self, id: &VaultId, go_on: &mut dyn FnMut(u64) -> bool) -> Result<bool, CopyError> {
        let manifest = self.0.first.manifest(id).map_err(of_first)?;
        let Some(mut stage) = self.0.begin(id, &manifest, go_on)? else {
            return Ok(true);
        };
        for entry in &manifest.files {
            let from = self.0.first.open(id, &entry.name).map_err(of_first)?;
            let mut to = stage.create(&entry.name).map_err(of_second)?;
            if !copy_file(id, entry, from, &mut *to, go_on)? {
                return Ok(false);
            }
            to.finish().map_err(of_second)?;
        }
        stage.commit(&manifest).map_err(of_second)?;
        let Some(damage) = damage(&*self.0.second, id, &mut |_| go_on(0)).map_err(of_second)? else {
            return Ok(true);
        };
        self.0.second.remove(id).map_err(of_second)?;
        let what = format!("its second copy is not what was written: {}", damage.what);
        Err(of_second(StoreError::damaged(id, damage.file, what)))
    }
}

impl Shared {
    /// Lists the second store, if it is the right one.
    fn look(&self) -> Result<Vec<VaultId>, StoreError> {
        let is_to_be_marked = self.recognise();
        self.lock().is_to_be_marked = *is_to_be_marked.as_ref().unwrap_or(&false);
        is_to_be_marked?;
        self.learn_notes()?;
        self.second.ids()
    }

    /// Compares manifests of those that both stores have and that were not compared yet.
    fn compare(&self, ids: &[VaultId]) {
        let unknown: Vec<_> = {
            let state = self.lock();
            let is_unknown = |id: &&VaultId| {
                !state.lacks(id) && !state.alike.contains(*id) && !state.different.contains(*id)
            };
            ids.iter().rev().filter(is_unknown).take(COMPARED).collect()
        };
        for id in unknown {
            let Ok(manifest) = self.first.manifest(id) else {
                continue; // whoever reads it tells
            };
            let is_alike = match self.second.manifest(id) {
                Ok(copy) => copy == manifest,
                Err(StoreError::Damaged { .. } | StoreError::NotFound(_)) => false,
                Err(error) => {
                    log::warn!("the second copy of backup {id} is compared later: {error}");
                    return;
                }
            };
            let mut state = self.lock();
            match is_alike {
                true => drop(state.alike.insert(id.clone())),
                false => {
                    log::warn!(
                        "the second copy of backup {id} is of another one: it is made anew if this one is sound"
                    );
                    state.different.insert(id.clone());
                }
            }
        }
    }

    /// A stage for the copy; `None` if it is there.
    fn begin(
        &self,
        id: &VaultId,
        manifest: &Manifest,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Box<dyn Stage>>, CopyError> {
        match self.second.stage(id) {
            Err(StoreError::AlreadyExists(_)) => {}
            stage => return stage.map(Some).map_err(of_second),
        }
        match self.second.manifest(id) {
            Ok(there) if there != *manifest => self.check_own(id).map_err(of_first)?,
            Ok(_) => {
                let found = damage(&*self.second, id, go_on).map_err(of_second)?;
                if found.is_none() {
                    return Ok(None);
                }
            }
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => return Err(of_second(error)),
        }
        if let Some(damage) = damage(&*self.first, id, go_on).map_err(of_first)? {
            return Err(of_first(StoreError::damaged(id, damage.file, damage.what)));
        }
        self.second.remove(id).map_err(of_second)?;
        self.second.stage(id).map(Some).map_err(of_second)
    }
}

/// Why a vault was not copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("{source}")]
pub struct CopyError {
    /// The store that did not do what it was asked.
    pub of: StoredCopy,
    /// What it said.
    pub source: StoreError,
}

impl From<CopyError> for StoreError {
    fn from(error: CopyError) -> Self {
        error.source
    }
}

fn of_first(source: StoreError) -> CopyError {
    let of = StoredCopy::First;
    CopyError { of, source }
}

fn of_second(source: StoreError) -> CopyError {
    let of = StoredCopy::Second;
    CopyError { of, source }
}

/// The first thing that is damaged of a vault in a store.
fn damage(
    store: &dyn VaultStore,
    id: &VaultId,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Damage>, StoreError> {
    match verify_while(store, id, id.time(), go_on)? {
        Some(found) => Ok(found.damage.into_iter().next()),
        None => Err(StoreError::failed(id, true, "it was not read to the end")),
    }
}

/// Whether it was copied to the end.
fn copy_file(
    id: &VaultId,
    entry: &FileEntry,
    from: Arc<dyn VaultRead>,
    to: &mut dyn VaultFile,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, CopyError> {
    let name = &entry.name;
    let damaged = |what: String| of_first(StoreError::damaged(id, name, what));
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
                .map_err(|error| of_first(StoreError::io(name, error)))?;
            if count == 0 {
                return Err(damaged(format!("frame {index} is cut")));
            }
            hash.update(&piece[..count]);
            to.write_all(&piece[..count])
                .map_err(|error| of_second(StoreError::io(name, error)))?;
            (left, done) = (left - count as u64, count as u64);
        }
        if hex(&hash.finalize()) != frame.sha256 {
            let what = format!("the SHA-256 of frame {index} differs from the one recorded");
            return Err(damaged(what));
        }
    }
    Ok(go_on(done))
}
