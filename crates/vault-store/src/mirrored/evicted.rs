//! Vaults that were evicted from the first store, or replaced there, and whose copies are to go as well.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::MirroredStore;
use super::shared::Shared;
use crate::{FileName, StoreError, VaultId};

/// The note in the first store of the ids whose copies are to be removed: a list in JSON.
const EVICTED: FileName = FileName::from_static("evicted-copies");

impl Shared {
    fn evicting(&self) -> MutexGuard<'_, ()> {
        self.evicting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the note, and takes what it says as what is so.
    pub(super) fn read_evicted(&self) -> Result<(), StoreError> {
        let _one_by_one = self.evicting();
        self.noted().map(drop)
    }

    fn noted(&self) -> Result<BTreeSet<VaultId>, StoreError> {
        let noted = match self.first.note(&EVICTED)? {
            None => BTreeSet::new(),
            // Copies that were to go are vaults like others then, which is better than to evict nothing any more.
            Some(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                log::error!("which copies are to be removed cannot be read, and is noted anew: {error}");
                self.lock().evicted.clone()
            }),
        };
        self.lock().evicted.clone_from(&noted);
        Ok(noted)
    }

    fn keep(&self, noted: &BTreeSet<VaultId>) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(noted).map_err(|error| StoreError::failed(EVICTED, false, error))?;
        self.first.keep_note(&EVICTED, &bytes)?;
        self.lock().evicted.clone_from(noted);
        Ok(())
    }

    /// Removes a vault from the first store. Noted before: whatever happens next, its copy will go, and is not read any more.
    pub(super) fn evict(&self, id: &VaultId) -> Result<(), StoreError> {
        let had_copy = self.has_copy(id);
        let is_new = {
            let _one_by_one = self.evicting();
            let is_new = self.note_copy(id)?;
            self.lock().leaving.insert(id.clone());
            is_new
        };
        let removed = self.first.remove(id);
        let _one_by_one = self.evicting();
        self.lock().leaving.remove(id);
        match removed {
            Err(StoreError::NotFound(_)) if had_copy => Ok(()),
            Err(error) => {
                // Nothing was evicted, unless the vault has left all the same. If this fails as well, its copy is found to be that of a vault that is there.
                let has_left = matches!(self.first.manifest(id), Err(StoreError::NotFound(_)));
                if is_new
                    && !has_left
                    && let Err(error) = self.forget(&BTreeSet::from([id.clone()]))
                {
                    log::warn!("backup {id} was not removed, and is noted as removed: {error}");
                }
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Notes that the copy of a vault that another one has taken the place of is to go: it comes back for nobody, whatever becomes of the other.
    pub(super) fn supersede(&self, id: &VaultId) -> Result<(), StoreError> {
        let _one_by_one = self.evicting();
        self.note_copy(id).map(drop)
    }

    /// Puts an id into the note, while nobody else changes that, and says whether it was not in it.
    fn note_copy(&self, id: &VaultId) -> Result<bool, StoreError> {
        let mut noted = self.noted()?;
        let is_new = noted.insert(id.clone());
        if is_new {
            self.keep(&noted)?;
        }
        let mut state = self.lock();
        state.left.insert(id.clone());
        state.alike.remove(id);
        state.different.remove(id);
        Ok(is_new)
    }

    /// Takes ids from the note.
    fn forget(&self, ids: &BTreeSet<VaultId>) -> Result<(), StoreError> {
        let noted = self.noted()?;
        self.keep(&noted.difference(ids).cloned().collect())
    }

    /// Whether the copy of a vault that is noted is to be removed: not if the first store has the very same.
    fn is_doomed(&self, id: &VaultId) -> Result<bool, StoreError> {
        match self.first.manifest(id) {
            Err(StoreError::NotFound(_)) => Ok(true),
            Err(error) => Err(error),
            Ok(there) => match self.second.manifest(id) {
                Ok(copy) => Ok(copy != there),
                Err(StoreError::NotFound(_)) => Ok(false),
                Err(StoreError::Damaged { .. }) => Ok(true),
                Err(error) => Err(error),
            },
        }
    }
}

impl MirroredStore {
    /// Removes from the second store what was evicted from the first. What the second keeps for now ([`StoreError::Retained`]) is no failure: it is told in
    /// the log, and tried again when its time has come, or each hour.
    ///
    /// # Errors
    /// The first failure of either store; the others were removed.
    pub fn remove_evicted(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        let shared = &self.0;
        let noted = {
            let _one_by_one = shared.evicting();
            let noted = shared.noted()?;
            let mut state = shared.lock();
            state.left = state.leaving.clone();
            noted
        };
        if !noted.is_empty() {
            shared.first.ids()?; // what another process has written is known then
        }
        shared.lock().kept.retain(|id, _| noted.contains(id));
        let (mut gone, mut spared, mut failed) = (BTreeSet::new(), BTreeSet::new(), None);
        for id in noted {
            let kept = shared.lock().kept.get(&id).copied();
            if kept.is_some_and(|until| now < until) {
                continue;
            }
            let removed = match shared.is_doomed(&id) {
                Ok(true) => shared.second.remove(&id),
                Ok(false) => {
                    spared.insert(id);
                    continue;
                }
                Err(error) => Err(error),
            };
            match removed {
                Ok(()) | Err(StoreError::NotFound(_)) => drop(gone.insert(id)),
                Err(StoreError::Retained { until, ref why, .. }) => {
                    if kept.is_none() {
                        log::info!("the second copy of backup {id} is to be evicted, and is kept: {why}");
                    }
                    let again = until.filter(|until| *until > now);
                    let again = again.unwrap_or(now + time::Duration::HOUR);
                    shared.lock().kept.insert(id, again);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if !gone.is_empty() || !spared.is_empty() {
            let _one_by_one = shared.evicting();
            {
                let mut state = shared.lock();
                // An eviction that began meanwhile may have removed them after all.
                gone.extend(spared.difference(&state.left).cloned());
                // Copying finds it there, if it was the very same.
                state.listed.retain(|id| !gone.contains(id));
            }
            shared.forget(&gone)?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Learns which copies are to be removed, where another process evicts.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn follow_evictions(&self) -> Result<(), StoreError> {
        self.0.read_evicted()
    }

    /// How many copies wait to be removed.
    #[must_use]
    pub fn evicted(&self) -> usize {
        self.0.lock().evicted.len()
    }
}
