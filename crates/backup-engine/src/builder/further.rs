//! Where vaults are kept besides.

use std::collections::HashSet;
use std::sync::Arc;

#[cfg(feature = "object-store")]
use vault_store::ObjectVaults;
use vault_store::{NamedVaults, VaultStore};

use super::EngineBuilder;
use crate::error::InvalidRequest;

/// What the storage is called, where there are several, that backups are kept in unless another one is asked for.
pub const DEFAULT_STORAGE: &str = "default";

impl EngineBuilder {
    /// Keeps those vaults in `store` that are asked for [by this name](crate::BackupRequest::storage), beside [those](Self::vaults) in the storage that is
    /// [`DEFAULT_STORAGE`] from then on, which also has all notes. Each storage has policies applied by itself. While one of them is away nothing is listed or
    /// evicted by policies, and backups are taken in the others. `vault_store::NamedVaults` tells the rules. Names differ, and none is [`DEFAULT_STORAGE`], or
    /// [`build`](Self::build) refuses them.
    pub fn further_vaults(mut self, name: impl Into<String>, store: Arc<dyn VaultStore>) -> Self {
        self.further.push((name.into(), store));
        self
    }

    /// The same of an object store, which is asked for as little, and swept, as that of [`objects`](Self::objects).
    #[cfg(feature = "object-store")]
    pub fn further_objects(mut self, name: impl Into<String>, objects: ObjectVaults) -> Self {
        let name = name.into();
        self.further_objects.push((name.clone(), objects.clone()));
        self.further_vaults(name, Arc::new(objects))
    }

    /// Puts all together, if there are several.
    pub(super) fn name_storages(&mut self) -> Result<Option<NamedVaults>, InvalidRequest> {
        if self.further.is_empty() {
            return Ok(None);
        }
        #[cfg(feature = "object-store")]
        {
            self.is_remote |= !self.further_objects.is_empty();
        }
        let further = std::mem::take(&mut self.further);
        let mut names = HashSet::from([DEFAULT_STORAGE]);
        if let Some((twice, _)) = further.iter().find(|(name, _)| !names.insert(name)) {
            return Err(InvalidRequest::StorageTwice(twice.clone()));
        }
        let all = NamedVaults::new(DEFAULT_STORAGE, Arc::clone(&self.vaults), further);
        self.vaults = Arc::new(all.clone());
        Ok(Some(all))
    }
}
