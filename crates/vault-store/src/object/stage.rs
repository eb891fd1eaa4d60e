//! A vault on its way into an object store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::{ObjectStore, ObjectStoreExt as _, PutMode};
use rustix::time::{ClockId, clock_gettime};

use super::failures::{is_missing, store_error};
use super::place::{PATIENCE, Place, delete_below, locked};
use super::sealed::{Head, seal};
use super::upload::ObjectFile;
use crate::{FileName, Manifest, Stage, Staged, StoreError, VaultFile, VaultId};

/// A stage is not committed when it is older: what is older than a day is swept, also by other machines, whose clocks may differ.
const LIMIT: Duration = Duration::from_secs(20 * 3600);
/// How often the manifest is put before its commit has failed.
const ATTEMPTS: usize = 3;

/// The tokens of the stages of this process, by their ids.
pub(super) type Staging = BTreeMap<VaultId, String>;

pub(super) struct ObjectStage {
    place: Arc<Place>,
    staging: Arc<Mutex<Staging>>,
    id: VaultId,
    /// Never given again.
    token: String,
    staged: Staged,
    over: Arc<AtomicBool>,
    /// Of the time that the machine is up, suspended or not.
    begun: Duration,
    /// Whether its objects are those of a vault, or may be.
    keep: bool,
}

impl ObjectStage {
    /// Takes the id within this process.
    pub(super) fn begin(
        place: &Arc<Place>,
        staging: &Arc<Mutex<Staging>>,
        id: &VaultId,
    ) -> Result<Self, StoreError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let mut ids = locked(staging);
        if ids.contains_key(id) {
            return Err(StoreError::AlreadyExists(id.clone()));
        }
        ids.insert(id.clone(), token.clone());
        Ok(Self {
            place: Arc::clone(place),
            staging: Arc::clone(staging),
            id: id.clone(),
            token,
            staged: Staged::new(id),
            over: Arc::default(),
            begun: uptime(),
            keep: false,
        })
    }
}

impl Stage for ObjectStage {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        self.staged.begin(name)?;
        let key = self.place.file(&self.id, &self.token, name.as_str());
        let file = ObjectFile::new(&self.place, key, name, &self.staged, &self.over);
        Ok(Box::new(file))
    }

    fn commit(mut self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        self.staged.check(manifest)?;
        let bytes = seal(&self.token, manifest)?;
        if uptime().saturating_sub(self.begun) > LIMIT {
            let what = "it took longer than 20 hours, and may be swept";
            return Err(StoreError::failed(&self.id, false, what));
        }
        let (place, id, token) = (Arc::clone(&self.place), self.id.clone(), self.token.clone());
        let objects = self.place.objects();
        // Until it is known what came of it.
        self.keep = true;
        let outcome = self.place.wait(async move {
            let key = place.manifest(&id);
            Ok(put_manifest(&*objects, &key, &id, &token, bytes.into()).await)
        })?;
        match outcome {
            Committed::Ours => Ok(()),
            Committed::Not(error) => {
                self.keep = false;
                Err(error)
            }
            Committed::Unknown(error) => Err(error),
        }
    }
}

/// Since the machine was started, with the time that it was suspended.
fn uptime() -> Duration {
    let since = clock_gettime(ClockId::Boottime);
    Duration::new(
        since.tv_sec.try_into().unwrap_or_default(),
        since.tv_nsec.try_into().unwrap_or_default(),
    )
}

/// What came of a commit.
enum Committed {
    Ours,
    /// There is no such vault, and will not be.
    Not(StoreError),
    /// Nobody knows: it may be there, or become so.
    Unknown(StoreError),
}

/// Puts the manifest where none is. An answer that is lost, or was given to a request that was sent twice, is looked up.
async fn put_manifest(
    objects: &dyn ObjectStore,
    key: &object_store::path::Path,
    id: &VaultId,
    token: &str,
    bytes: object_store::PutPayload,
) -> Committed {
    let mut attempts = 1;
    let mut may_come = false;
    loop {
        let put = objects.put_opts(key, bytes.clone(), PutMode::Create.into()).await;
        let Err(error) = put else {
            return Committed::Ours;
        };
        let there = async {
            let found = objects.get(key).await?;
            // Ours has as many bytes.
            match found.meta.size == bytes.content_length() as u64 {
                true => found.bytes().await.map(Some),
                false => Ok(None),
            }
        };
        match there.await {
            Ok(there) => match there.as_deref().and_then(Head::split) {
                Some((head, _)) if head.stage == token => return Committed::Ours,
                _ => return Committed::Not(StoreError::AlreadyExists(id.clone())),
            },
            Err(missing) if is_missing(&missing) => {
                let failure = store_error(key, &error);
                // A request that was given up may still be done later; one that was refused may not.
                may_come |= failure.may_pass();
                if !failure.may_pass() || attempts == ATTEMPTS {
                    return match may_come {
                        true => Committed::Unknown(failure),
                        false => Committed::Not(failure),
                    };
                }
            }
            Err(_) => return Committed::Unknown(store_error(key, &error)),
        }
        attempts += 1;
    }
}

impl Drop for ObjectStage {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if !self.keep {
            let (objects, prefix) = (self.place.objects(), self.place.stage(&self.id, &self.token));
            let clear = async move {
                let cleared = delete_below(&*objects, &prefix).await;
                cleared.map_err(|error| store_error(&prefix, &error))
            };
            if let Err(error) = self.place.wait_at_most(PATIENCE, clear) {
                log::warn!("What backup {} left is swept in a day: {error}", self.id);
            }
        }
        locked(&self.staging).remove(&self.id);
    }
}
