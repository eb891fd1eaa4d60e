//! Vaults that their storage keeps from being removed.

use std::collections::HashMap;
use std::sync::Mutex;

use time::OffsetDateTime;
use vault_store::VaultId;

use crate::lock::lock;

/// Those whose removal was refused since the start, and until when they are kept, where that was told.
#[derive(Default)]
pub(crate) struct Retained(Mutex<HashMap<VaultId, Option<OffsetDateTime>>>);

impl Retained {
    pub(super) fn note(&self, id: &VaultId, until: Option<OffsetDateTime>) {
        lock(&self.0).insert(id.clone(), until);
    }

    pub(super) fn forget(&self, id: &VaultId) {
        lock(&self.0).remove(id);
    }

    /// `None` if its removal was not refused.
    pub(crate) fn until(&self, id: &VaultId) -> Option<Option<OffsetDateTime>> {
        lock(&self.0).get(id).copied()
    }
}
