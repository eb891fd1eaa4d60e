//! A vault that takes the place of one with the same id, whose copy stays until that is there.

use std::sync::Arc;

use super::MirroredStore;
use super::shared::Shared;
use crate::{StoreError, VaultId};

/// Until this is dropped, a vault with the id can be staged though the second store has a copy of the earlier one. Once that is committed,
/// [`committed`](Self::committed) says so.
#[must_use]
pub struct Replacing {
    shared: Arc<Shared>,
    id: VaultId,
}

impl MirroredStore {
    /// Removes a vault from the first store alone, for another one with its id. Its copy is read until that is [committed](Replacing::committed), and
    /// removed after that, if it is not the same.
    ///
    /// # Errors
    /// Those of [`remove`](crate::VaultStore::remove).
    pub fn replace(&self, id: &VaultId) -> Result<Replacing, StoreError> {
        let shared = Arc::clone(&self.0);
        let had_copy = {
            let mut state = shared.lock();
            state.alike.remove(id);
            *state.replaced.entry(id.clone()).or_default() += 1;
            state.has_copy(id)
        };
        let replacing = Replacing {
            shared,
            id: id.clone(),
        };
        match self.0.first.remove(id) {
            Err(StoreError::NotFound(_)) if had_copy => {}
            removed => removed?,
        }
        Ok(replacing)
    }
}

impl Replacing {
    /// The other vault is there: it is the one that is meant, and it is noted that the copy is of the earlier one, which is read no more, also by later processes.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: the other vault is there all the same, and a later process may read the earlier one's copy where that is lost.
    pub fn committed(self) -> Result<(), StoreError> {
        self.shared.lock().meant.insert(self.id.clone());
        self.shared.supersede(&self.id)
    }
}

impl std::fmt::Debug for Replacing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replacing")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Replacing {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.alike.remove(&self.id);
        if let Some(count) = state.replaced.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                state.replaced.remove(&self.id);
            }
        }
    }
}
