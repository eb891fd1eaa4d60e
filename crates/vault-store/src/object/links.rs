//! Addresses of files for whoever has no credentials.

use std::sync::Arc;
use std::time::Duration;

use object_store::signer::{Method, Signer};

use super::ObjectVaults;
use super::failures::store_error;
use crate::{FileName, StoreError, VaultId, VaultStore as _};

impl ObjectVaults {
    /// Lets [`links`](Self::links) be made by `signer`, which is commonly the store itself.
    #[must_use]
    pub fn with_signer(self, signer: Arc<dyn Signer>) -> Self {
        let signer = Some(signer);
        Self { signer, ..self }
    }

    /// Addresses from which anybody can read the files of a vault until `valid_for` has passed, in the order of its manifest.
    ///
    /// # Errors
    /// As [`manifest`](crate::VaultStore::manifest); [`StoreError::Failed`] where this store can sign none.
    pub fn links(&self, id: &VaultId, valid_for: Duration) -> Result<Vec<(FileName, String)>, StoreError> {
        let Some(signer) = self.signer.clone() else {
            return Err(StoreError::failed(
                id,
                false,
                "this storage has no links to its files",
            ));
        };
        let manifest = self.manifest(id)?;
        let stage = self.head(id)?.stage;
        let names: Vec<_> = manifest.files.into_iter().map(|file| file.name).collect();
        let keys: Vec<_> = names
            .iter()
            .map(|name| self.place.file(id, &stage, name.as_str()))
            .collect();
        let id = id.clone();
        let urls = self.place.wait(async move {
            let urls = signer.signed_urls(Method::GET, &keys, valid_for).await;
            urls.map_err(|error| store_error(format_args!("links to backup {id}"), &error))
        })?;
        Ok(names
            .into_iter()
            .zip(urls.into_iter().map(String::from))
            .collect())
    }
}
