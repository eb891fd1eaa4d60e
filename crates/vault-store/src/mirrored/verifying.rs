//! Whether copies are still what was committed.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::MirroredStore;
use crate::{Damage, StoreError, VaultId, Verification, verify_while};

impl MirroredStore {
    /// Whether a vault has a copy that is not to be made anew, as far as that is known.
    #[must_use]
    pub fn has_copy(&self, id: &VaultId) -> bool {
        let state = self.0.lock();
        state.has_copy(id) && !state.different.contains(id)
    }

    /// Reads the copy of a vault that the first store has as well, as it lies in the second, and compares it with its manifest. One that is damaged
    /// is told ([`damage_of_copies`](Self::damage_of_copies)), and lacking until it was [copied](Self::copy) anew. `go_on` is that of
    /// [`verify_while`]. `None` if it said that it is not to go on, or there is no copy that can be looked at.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`], [`StoreError::Failed`].
    pub fn verify_copy(
        &self,
        id: &VaultId,
        now: OffsetDateTime,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Verification>, StoreError> {
        if !self.has_copy(id) {
            return Ok(None);
        }
        let first = match self.0.first.manifest(id) {
            Err(StoreError::NotFound(_)) => return Ok(None), // whoever reads it reads the copy
            first => first.ok(),
        };
        if let (Some(first), Ok(copy)) = (first, self.0.second.manifest(id))
            && first != copy
        {
            self.0.lock().alike.remove(id); // of another vault: comparing finds that
            return Ok(None);
        }
        let found = match verify_while(&*self.0.second, id, now, go_on) {
            Err(StoreError::NotFound(_)) => return Ok(None), // the next list tells
            found => found?,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        let mut state = self.0.lock();
        if !state.has_copy(id) || state.different.contains(id) {
            return Ok(None); // it was removed meanwhile
        }
        match found.is_sound() {
            true => drop(state.rotten.remove(id)),
            false => {
                state.alike.remove(id);
                state.different.insert(id.clone());
                state.rotten.insert(id.clone(), found.damage.clone());
            }
        }
        Ok(Some(found))
    }

    /// What [`verify_copy`](Self::verify_copy) has found damaged in the second store, and is not made anew yet.
    #[must_use]
    pub fn damage_of_copies(&self) -> BTreeMap<VaultId, Vec<Damage>> {
        let state = self.0.lock();
        let there = state.rotten.iter().filter(|(id, _)| state.has_copy(id));
        there.map(|(id, damage)| (id.clone(), damage.clone())).collect()
    }
}
