//! Backups that leave, and come in from elsewhere.

use std::io::{Read, Seek};
use std::path::Path;
#[cfg(feature = "s3")]
use std::{sync::Arc, time::Duration};

use vault_store::VaultId;

use super::Engine;
use crate::blocking::blocking;
#[cfg(feature = "s3")]
use crate::error::parse_id;
use crate::error::{EngineError, InvalidRequest};
use crate::requests::{Labels, RestoreRequest, RestoreSource, roots_of};
#[cfg(feature = "s3")]
use crate::vaults::LATEST;
use crate::vaults::exchange::{self, Export, ImportOptions};

impl Engine {
    /// Opens a finished backup to be written out. `latest` is the newest good one.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::InUse`] while it waits or is written; [`EngineError::Invalid`] for one that the predecessor
    /// wrote; [`EngineError::Storage`].
    pub async fn export(&self, id: &str) -> Result<Export, EngineError> {
        let (vaults, _, requests) = self.rooms();
        let id = id.to_owned();
        blocking(move || {
            let id = vaults.named(&id)?;
            requests.finished(&id, || Export::of(&vaults, &id))
        })
        .await
    }

    /// Takes a backup in that [`Export::write_zip`] has written, here or elsewhere, and returns its id. Everything in it is compared with its checksums
    /// before it is there. What was pinned stays so; policies see its own date.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] if anything is off: nothing is changed then. [`EngineError::BackupExists`] without `overwrite`;
    /// [`EngineError::InUse`]; [`EngineError::Storage`]: with `overwrite` the earlier one may be gone then.
    pub async fn import(
        &self,
        archive: impl Read + Seek + Send + 'static,
        options: ImportOptions,
    ) -> Result<VaultId, EngineError> {
        let (vaults, _, requests) = self.rooms();
        let now = self.now();
        blocking(move || {
            let mut archive = exchange::Archive::open(archive)
                .map_err(|error| InvalidRequest::NoBackup(error.to_string()))?;
            exchange::import(&vaults, &mut archive, &options, now, |id| {
                Ok(requests.pending(id)?.is_some())
            })
        })
        .await
    }

    /// Takes in the backup that lies in the directory `path` below `root`, as [`import`](Self::import) does, and queues a restore of it as `request`
    /// says, whatever source that names, by a job that is told with `labels`. One that was taken in before is not copied again, and one of more than `limit` bytes is
    /// refused. Returns the id of the job.
    ///
    /// # Errors
    /// [`EngineError::Invalid`], also where `path` leads out of `root`; [`EngineError::BackupExists`] for another backup with that id; those of
    /// [`restore`](Self::restore).
    pub async fn restore_external_labelled(
        &self,
        root: &Path,
        path: &str,
        request: RestoreRequest,
        limit: u64,
        labels: Labels,
    ) -> Result<String, EngineError> {
        let (vaults, _, requests) = self.rooms();
        let (root, path, now) = (root.to_owned(), path.to_owned(), self.now());
        let full = roots_of(&request.roots).is_empty();
        let id = blocking(move || {
            requests.check_full(full)?;
            let no_backup = |why: std::io::Error| InvalidRequest::NoBackup(format!("{path:?}: {why}"));
            let mut directory = exchange::Directory::below(&root, &path).map_err(no_backup)?;
            exchange::adopt(&vaults, &mut directory, limit, now, |id| {
                Ok(requests.pending(id)?.is_some())
            })
        });
        let source = RestoreSource::Vault(id.await?.to_string());
        self.restore_labelled(RestoreRequest { source, ..request }, labels)
            .await
    }

    /// Addresses from which anybody can read the files of a backup in a bucket until `valid_for` has passed, in the order of its manifest.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::NoLinks`] where backups are in no bucket; [`EngineError::Storage`].
    #[cfg(feature = "s3")]
    pub async fn links(&self, id: &str, valid_for: Duration) -> Result<Vec<(String, String)>, EngineError> {
        let (id, vaults) = (id.to_owned(), Arc::clone(&self.vaults));
        let (objects, further) = (self.objects.clone(), Arc::clone(&self.further_objects));
        if objects.is_none() && further.is_empty() {
            if id != LATEST {
                parse_id(&id)?;
            }
            return Err(EngineError::NoLinks(id));
        }
        blocking(move || {
            let id = vaults.named(&id)?;
            let storage = vaults.storage_of(&id);
            let named = further.iter().find(|(name, _)| Some(name) == storage.as_ref());
            let objects = named.map(|(_, objects)| objects).or(objects.as_ref());
            let Some(objects) = objects else {
                return Err(EngineError::NoLinks(id.to_string()));
            };
            let links = objects.links(&id, valid_for)?;
            Ok(links
                .into_iter()
                .map(|(name, link)| (name.to_string(), link))
                .collect())
        })
        .await
    }
}
