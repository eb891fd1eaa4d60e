//! Vaults in an object store.

#[cfg(feature = "cloud")]
mod cloud;
mod conditions;
mod failures;
#[cfg(feature = "http")]
mod http;
mod known;
#[cfg(feature = "http")]
mod links;
mod place;
mod read;
mod removal;
#[cfg(feature = "s3")]
mod s3;
mod sealed;
mod stage;
mod upload;

use std::fmt;
use std::sync::{Arc, Mutex};

use object_store::path::Path;
#[cfg(feature = "http")]
use object_store::signer::Signer;
use object_store::{ObjectStore, ObjectStoreExt as _};
use time::OffsetDateTime;

#[cfg(feature = "cloud")]
pub use self::cloud::CloudConfig;
use self::failures::{is_missing, store_error};
use self::known::Known;
use self::place::{Place, locked};
use self::read::ObjectRead;
#[cfg(feature = "s3")]
pub use self::s3::{S3Config, S3Keys, S3Secret};
use self::sealed::{Head, Sealed};
use self::stage::{ObjectStage, Staging};
use crate::{FileName, Manifest, Stage, StoreError, VERIFIED, VaultId, VaultRead, VaultStore, Verification};

/// Vaults in whatever `object_store` reaches: S3 and what speaks its protocol, Azure, Google, a directory, memory.
///
/// A vault is there from when the object `manifests/<id>.json` is, which is made by one request that refuses to overwrite, and says under
/// which stage `vaults/<id>/<stage>/` its files are. Stages are never repeated: several processes share a place and never mix what they
/// write, and of two that commit one id one is told that it exists.
///
/// Calls block, from any thread; the requests are made by two threads that all clones share. On the threads of an async runtime use
/// `spawn_blocking`, as for any store: a call there keeps its thread waiting.
#[derive(Clone)]
pub struct ObjectVaults {
    place: Arc<Place>,
    known: Arc<Known>,
    staging: Arc<Mutex<Staging>>,
    #[cfg(feature = "http")]
    signer: Option<Arc<dyn Signer>>,
}

impl ObjectVaults {
    /// The vaults below `prefix`, which may be empty. Nothing is asked for yet; [`check`](Self::check) does.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where the prefix cannot be part of a key, or there are no threads to be had.
    pub fn open(objects: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, StoreError> {
        let path = Path::parse(prefix).map_err(|error| StoreError::failed(prefix, false, error))?;
        Ok(Self {
            place: Arc::new(Place::new(objects, path)?),
            known: Arc::default(),
            staging: Arc::default(),
            #[cfg(feature = "http")]
            signer: None,
        })
    }

    /// Asks whether the place is there and may be read.
    ///
    /// # Errors
    /// [`StoreError::Failed`], which names a bucket that is not there, credentials that are refused, and a clock that is off.
    pub fn check(&self) -> Result<(), StoreError> {
        self.place.first_of_manifests()
    }

    /// Which condition of a write the place ignores, as HTTP calls it: `If-None-Match`, without which a commit may overwrite another's, or, where something
    /// is `replacing` objects, as jobs and leases do, `If-Match`. `None` if it knows them. An object `probe` is written and removed for it.
    ///
    /// # Errors
    /// [`StoreError::Failed`], also where nothing may be written.
    pub fn ignored_condition(&self, replacing: bool) -> Result<Option<&'static str>, StoreError> {
        conditions::ignored(&self.place, replacing)
    }

    /// Removes what belongs to no vault and is older than a day, and says what: what was left by processes that ended, also on other machines, and
    /// by removals that were cut short. A stage cannot be committed any more once it is 20 hours old, so that none in progress is met.
    ///
    /// Unfinished parts of files are not seen by this; a rule of the bucket has to end them.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; some may be removed then.
    pub fn sweep(&self, now: OffsetDateTime) -> Result<Vec<String>, StoreError> {
        removal::sweep(self, now)
    }

    /// What the manifest's object says, from memory if it was read before.
    fn head(&self, id: &VaultId) -> Result<Head, StoreError> {
        match self.known.get(id) {
            Some(sealed) => Ok(sealed.head.clone()),
            None => Ok(self.look(id)?.head.clone()),
        }
    }

    /// Reads the manifest's object anew.
    fn look(&self, id: &VaultId) -> Result<Arc<Sealed>, StoreError> {
        let (place, known, id) = (Arc::clone(&self.place), Arc::clone(&self.known), id.clone());
        self.place.wait(async move { known.look(&place, &id).await })
    }
}

impl VaultStore for ObjectVaults {
    /// One list. The manifests of vaults that were not known are read at the same time as well, many at once, so that asking for them
    /// needs no more requests.
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        let (place, known) = (Arc::clone(&self.place), Arc::clone(&self.known));
        self.place.wait(async move {
            let there = place.manifests().await?;
            let ids = there.keys().cloned().collect();
            known.update(&place, there).await;
            Ok(ids)
        })
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        if let Some(manifest) = self.known.get(id).and_then(|sealed| sealed.manifest.clone()) {
            return Ok(Manifest::clone(&manifest));
        }
        let sealed = self.look(id)?;
        match &sealed.manifest {
            Some(manifest) => Ok(Manifest::clone(manifest)),
            None => Err(sealed.why(id)),
        }
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        let stage = ObjectStage::begin(&self.place, &self.staging, id)?;
        let key = self.place.manifest(id);
        let objects = self.place.objects();
        let taken = self.place.wait(async move {
            match objects.head(&key).await {
                Ok(_) => Ok(true),
                Err(error) if is_missing(&error) => Ok(false),
                Err(error) => Err(store_error(&key, &error)),
            }
        })?;
        if taken {
            return Err(StoreError::AlreadyExists(id.clone()));
        }
        Ok(Box::new(stage))
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        let mut stage = self.head(id)?.stage;
        loop {
            let key = self.place.file(id, &stage, file.as_str());
            if let Some(open) = ObjectRead::open(&self.place, id, key)? {
                return Ok(Arc::new(open));
            }
            // Removed by another process, and perhaps written anew, or damaged.
            let now = self.look(id)?.head.stage.clone();
            if now == stage {
                return Err(StoreError::damaged(id, file, "it is missing"));
            }
            stage = now;
        }
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        removal::remove(self, id)
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        let sealed = match self.known.get(id) {
            Some(sealed) => sealed,
            None => self.look(id)?,
        };
        match sealed.files_bytes {
            Some(bytes) => Ok(bytes + sealed.bytes),
            None => Ok(self.place.bytes_below(self.place.stage(id, &sealed.head.stage))? + sealed.bytes),
        }
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        let key = self.place.file(id, &self.head(id)?.stage, VERIFIED);
        let text =
            serde_json::to_vec_pretty(result).map_err(|error| StoreError::failed(&key, false, error))?;
        self.place.put(key, text)
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        let key = self.place.file(id, &self.head(id)?.stage, VERIFIED);
        let text = self.place.get(key)?;
        // A result that cannot be read is as good as none: the vault can be checked again.
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.place.get(self.place.note(name))?.map(Vec::from))
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.place.put(self.place.note(name), bytes.to_vec())
    }
}

impl fmt::Debug for ObjectVaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectVaults")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
