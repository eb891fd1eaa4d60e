//! What is asked of second copies, where there are any.

use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{Damage, StoreError, StoredCopy, VaultId, Verification};

use super::Vaults;
use super::second::SecondCopy;

impl Vaults {
    /// The copy from which a vault is read, where there are two stores.
    pub(crate) fn copy_read(&self, id: &VaultId) -> Option<StoredCopy> {
        Some(self.second.as_ref()?.store.copy_read(id))
    }

    /// How often something of a vault was read from its second copy.
    pub(crate) fn reads_of_second(&self, id: &VaultId) -> u64 {
        self.second
            .as_ref()
            .map_or(0, |second| second.store.reads_of_second(id))
    }

    /// What was found damaged of a vault is looked for anew.
    pub(crate) fn look_at_first(&self, id: &VaultId) {
        if let Some(second) = &self.second {
            second.store.forget_damage(id);
        }
    }

    /// What was found damaged of a vault, and read from its second copy.
    pub(crate) fn replaced(&self, id: &VaultId) -> Option<Vec<Damage>> {
        self.second.as_ref()?.store.damage().remove(id)
    }

    /// How many copies of a vault a verification reads.
    pub(crate) fn copies(&self, id: &VaultId) -> u64 {
        let has_second = |second: &Arc<SecondCopy>| second.store.has_copy(id);
        1 + u64::from(self.second.as_ref().is_some_and(has_second))
    }

    /// Reads the second copy of a vault, if it has one, and has one that is damaged made anew. Blocks.
    pub(crate) fn verify_second(
        &self,
        id: &VaultId,
        now: OffsetDateTime,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Verification>, StoreError> {
        let Some(second) = &self.second else {
            return Ok(None);
        };
        let found = second.store.verify_copy(id, now, go_on)?;
        if found.as_ref().is_some_and(|found| !found.is_sound()) {
            second.wake_for(id);
        }
        Ok(found)
    }

    /// Says that the second copy was read, if that was since there were so many `reads` of it.
    pub(crate) fn read_since(&self, id: &VaultId, reads: u64) -> Option<StoredCopy> {
        (self.reads_of_second(id) > reads).then_some(StoredCopy::Second)
    }

    /// There may be something to copy, or to remove.
    pub(crate) fn wake_second(&self) {
        if let Some(second) = &self.second {
            second.wake();
        }
    }
}
