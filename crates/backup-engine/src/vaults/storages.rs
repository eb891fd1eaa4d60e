//! What is asked of several storages, where there are several.

use std::sync::Arc;
use std::time::Duration;

use vault_store::{StoreError, VaultId};

use super::{Stored, Vaults};
use crate::blocking::within;
use crate::error::InvalidRequest;
use crate::{DEFAULT_STORAGE, EngineError};

/// So long all of them have to tell what there is, where the default one can be asked alone.
const PATIENCE: Duration = Duration::from_secs(5);

impl Vaults {
    /// What they are called, the default one first; none where there is only one.
    pub(crate) fn storages(&self) -> Vec<String> {
        let names = |all: &vault_store::NamedVaults| all.names().map(str::to_owned).collect();
        self.storages.as_ref().map(names).unwrap_or_default()
    }

    /// The one that a vault is in, where there are several. Blocks.
    pub(crate) fn storage_of(&self, id: &VaultId) -> Option<String> {
        match self.storages.as_ref()?.storage_of(id) {
            Ok(name) => Some(name.to_owned()),
            // It may be known from its second copy.
            Err(StoreError::NotFound(_)) => None,
            Err(error) => {
                log::warn!("in which storage backup {id} is is not known: {error}");
                None
            }
        }
    }

    /// The one that is meant by a request, where there are several.
    pub(crate) fn storage_meant(&self, asked: Option<String>) -> Option<String> {
        self.storages.as_ref()?;
        Some(asked.unwrap_or_else(|| DEFAULT_STORAGE.to_owned()))
    }

    /// An error where there is none of this name.
    pub(crate) fn check_storage(&self, name: Option<&str>) -> Result<(), InvalidRequest> {
        let Some(name) = name else { return Ok(()) };
        let known = self.storages();
        match known.iter().any(|known| known == name) {
            true => Ok(()),
            false => Err(InvalidRequest::UnknownStorage {
                name: name.to_owned(),
                known,
            }),
        }
    }

    /// An error where a vault is in another storage than the one that was named. Blocks.
    pub(crate) fn check_is_in(&self, id: &VaultId, wanted: Option<&str>) -> Result<(), EngineError> {
        let (Some(wanted), Some(storages)) = (wanted, &self.storages) else {
            return Ok(());
        };
        match storages.storage_of(id) {
            Ok(found) if found != wanted => Err(EngineError::Elsewhere {
                id: id.clone(),
                wanted: wanted.to_owned(),
                found: found.to_owned(),
            }),
            // None has it: there is a second copy, which does not tell of what.
            Ok(_) | Err(StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is a vault with this id. One that is known to be in a storage is there while others are away. Blocks.
    pub(crate) fn contains(&self, id: &VaultId) -> Result<bool, StoreError> {
        let known = self.storages.as_ref().map(|all| all.storage_of(id));
        match known {
            Some(Ok(_)) => Ok(true),
            _ => Ok(self.store.ids()?.contains(id)),
        }
    }

    /// The ids that were given out, oldest first, as far as they are vaults. Where a storage is away, those that are known to be there: it keeps nobody from
    /// backing up to another. Blocks.
    pub(crate) fn ids_given(&self) -> Result<Vec<VaultId>, StoreError> {
        let Some(storages) = &self.storages else {
            return self.store.ids();
        };
        let store = Arc::clone(&self.store);
        match within(PATIENCE, move || store.ids()) {
            Ok(Ok(ids)) => Ok(ids),
            Ok(Err(_)) | Err(_) => storages.ids_at_hand(),
        }
    }

    /// What is known of every vault, without waiting for a storage that is away. Blocks.
    pub(crate) fn all_at_hand(&self) -> Result<Vec<Arc<Stored>>, StoreError> {
        match self.storages {
            None => self.all(),
            Some(_) => Ok(self.all_soon().0),
        }
    }
}
