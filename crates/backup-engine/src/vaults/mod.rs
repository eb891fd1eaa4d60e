//! What is kept: the vaults, who holds them, and what is known of them.

pub(crate) mod browse;
pub(crate) mod changes;
pub(crate) mod compare;
pub(crate) mod exchange;
mod known;
mod pins;
pub(crate) mod records;
mod stored;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use job_queue::JobStore;
use vault_store::{StoreError, VaultId, VaultStore, Verification};

use self::browse::Catalogs;
use self::known::{Known, all_anew};
use crate::error::parse_id;
use crate::lock::lock;
use crate::{BackupInfo, EngineError};

pub(crate) use self::pins::Pins;
pub(crate) use self::stored::{Stored, Unreadable};

/// What stands for the newest good backup wherever one is only read.
pub(crate) const LATEST: &str = "latest";

/// The store, with what keeps its vaults from being removed.
pub(crate) struct Vaults {
    pub(crate) store: Arc<dyn VaultStore>,
    /// Restores that wait need their vaults.
    jobs: Arc<dyn JobStore>,
    /// Held while pins are changed, and while what has none is removed.
    pinning: Mutex<()>,
    /// Vaults that are being read, and how often.
    read: Mutex<HashMap<VaultId, usize>>,
    known: Known,
    pub(crate) catalogs: Catalogs,
}

impl Vaults {
    pub(crate) fn new(store: Arc<dyn VaultStore>, jobs: Arc<dyn JobStore>) -> Self {
        Self {
            store,
            jobs,
            pinning: Mutex::default(),
            read: Mutex::default(),
            known: Known::default(),
            catalogs: Catalogs::default(),
        }
    }

    /// What is known of every vault, oldest first.
    pub(crate) fn all(&self) -> Result<Vec<Arc<Stored>>, StoreError> {
        self.known.all(&*self.store)
    }

    /// The same, with nothing taken as known: for what is removed, or said not to be.
    pub(crate) fn all_anew(&self) -> Result<Vec<Arc<Stored>>, StoreError> {
        all_anew(&*self.store)
    }

    /// The vault of an id, whether it is there or not, or the newest good one where it is [`LATEST`]. Blocks.
    pub(crate) fn named(&self, id: &str) -> Result<VaultId, EngineError> {
        if id != LATEST {
            return parse_id(id);
        }
        let good = self.first_good(self.all()?.into_iter().rev())?;
        let good = good.ok_or_else(|| EngineError::BackupNotFound("that is good".to_owned()))?;
        Ok(good.id)
    }

    /// The first good vault of these, looked at anew. Blocks.
    pub(crate) fn first_good(
        &self,
        all: impl Iterator<Item = Arc<Stored>>,
    ) -> Result<Option<Stored>, EngineError> {
        for stored in all {
            match &stored.manifest {
                // It may be the one: another one must not stand in for it.
                Err(unreadable) if unreadable.is_passing => {
                    let why = format!("backup {}: {}", stored.id, unreadable.why);
                    return Err(EngineError::Storage(why.into()));
                }
                _ if !stored.is_valid() => {}
                _ => match Stored::read(&*self.store, &stored.id) {
                    Ok(anew) if anew.is_valid() => return Ok(Some(anew)),
                    Ok(_) | Err(StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Ok(None)
    }

    /// What is to be told of a vault. Blocks.
    pub(crate) fn info(&self, stored: Stored) -> BackupInfo {
        let pins = self
            .pins()
            .inspect_err(|error| log::warn!("what is pinned is not known: {error}"));
        BackupInfo::stored(stored, pins.ok().as_ref())
    }

    /// Remembers the result of a check.
    pub(crate) fn record_verification(&self, id: &VaultId, result: &Verification) {
        if let Err(error) = self.store.record_verification(id, result) {
            log::warn!("the verification of {id} could not be recorded: {error}");
        }
        self.known.forget(id); // afterwards, so that nobody takes the one before for the last
    }

    /// Keeps a vault from being removed until the guard is dropped.
    pub(crate) fn hold(self: &Arc<Self>, id: &VaultId) -> Held {
        *lock(&self.read).entry(id.clone()).or_default() += 1;
        Held {
            vaults: Arc::clone(self),
            id: id.clone(),
        }
    }

    /// Does `work` while nothing is removed.
    pub(crate) fn while_all_stay<T>(&self, work: impl FnOnce() -> T) -> T {
        let _read = lock(&self.read);
        work()
    }

    /// An error for a vault that is being read, or that a restore waits for.
    pub(crate) fn check_free(&self, id: &VaultId) -> Result<(), EngineError> {
        self.is_free(id, &lock(&self.read))
    }

    fn is_free(&self, id: &VaultId, read: &HashMap<VaultId, usize>) -> Result<(), EngineError> {
        match read.contains_key(id) || self.jobs.is_needed(id.as_str())? {
            true => Err(EngineError::InUse(id.to_string())),
            false => Ok(()),
        }
    }

    /// Removes a vault, unless it is being read, or a restore of it waits.
    pub(crate) fn remove(&self, id: &VaultId) -> Result<(), EngineError> {
        // Held while removing, so that nobody begins to read it meanwhile.
        let read = lock(&self.read);
        self.is_free(id, &read)?;
        self.store.remove(id)?;
        self.catalogs.forget(id);
        Ok(())
    }
}

/// A vault that may not be removed.
pub(crate) struct Held {
    vaults: Arc<Vaults>,
    id: VaultId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut read = lock(&self.vaults.read);
        if let Some(count) = read.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                read.remove(&self.id);
            }
        }
    }
}
