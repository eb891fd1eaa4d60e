//! What is kept: the vaults, who holds them, and what is known of them.

pub(crate) mod browse;
pub(crate) mod changes;
pub(crate) mod compare;
mod copies;
mod counted;
pub(crate) mod exchange;
pub(crate) mod finding;
mod known;
mod parts;
mod pins;
mod predecessor;
pub(crate) mod records;
mod remote;
mod retained;
mod second;
mod storages;
mod stored;
pub(crate) mod thorough;
pub(crate) mod wanted;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use job_queue::JobStore;
use vault_store::{FsStore, NamedVaults, Replacing, StoreError, Tested, VaultId, VaultStore, Verification};

use self::browse::Catalogs;
use self::known::{AT_ONCE, Known, all_anew};
use self::remote::{Remote, Seen};
use self::retained::Retained;
use crate::EngineError;
use crate::error::parse_id;
use crate::leadership::Leadership;
use crate::lock::lock;

pub(crate) use self::counted::CountedVaults;
pub(crate) use self::parts::{AroundVaults, Parts};
pub(crate) use self::pins::{PINS, Pins, are_sound as are_pins, merged as merged_pins};
pub(crate) use self::second::SecondCopy;
pub(crate) use self::stored::{AHEAD, Stored, Unreadable};

/// What stands for the newest good backup wherever one is only read.
pub(crate) const LATEST: &str = "latest";

/// The store, with what keeps its vaults from being removed.
pub(crate) struct Vaults {
    pub(crate) store: Arc<dyn VaultStore>,
    /// Restores that wait need their vaults.
    jobs: Arc<dyn JobStore>,
    /// Held while pins are changed, and while what has none is removed.
    pinning: Mutex<()>,
    in_use: Mutex<InUse>,
    /// A removal has ended.
    removed: Condvar,
    /// Held while what was found of a vault is recorded.
    recording: Mutex<()>,
    known: Known,
    /// Who leads no more removes nothing.
    leadership: Option<Arc<dyn Leadership>>,
    /// What is known where each question of the store is a request.
    remote: Option<Arc<Remote>>,
    /// The directory of this process, whether vaults are in it or elsewhere.
    place: Option<Arc<FsStore>>,
    /// What is around the store, which vaults from outside are looked at through.
    around: Option<AroundVaults>,
    pub(crate) retained: Retained,
    /// What keeps vaults in several stores, if there are several: it is below the store.
    storages: Option<NamedVaults>,
    /// What keeps copies in another place, if there is one: it is below the store.
    pub(crate) second: Option<Arc<SecondCopy>>,
    pub(crate) catalogs: Catalogs,
}

#[derive(Default)]
struct InUse {
    /// Vaults that are being read, and how often.
    read: HashMap<VaultId, usize>,
    /// Vaults that are being removed, which can take minutes: nobody else's wait for that.
    removing: HashSet<VaultId>,
}

impl Vaults {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            store: parts.store,
            jobs: parts.jobs,
            pinning: Mutex::default(),
            in_use: Mutex::default(),
            removed: Condvar::new(),
            recording: Mutex::default(),
            known: Known::default(),
            leadership: parts.leadership,
            remote: parts.is_remote.then(Arc::default),
            place: parts.place,
            around: parts.around,
            retained: Retained::default(),
            storages: parts.storages,
            second: parts.second,
            catalogs: Catalogs::default(),
        }
    }

    /// Whether each question of the store is a request to another machine.
    pub(crate) fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// An error where the directory of this process is another one than at its start: what is queued there is lost. Blocks.
    pub(crate) fn check_place(&self) -> Result<(), StoreError> {
        self.place.as_ref().map_or(Ok(()), |place| place.check_in_place())
    }

    /// Where files may be that nobody needs after this process.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.place
            .as_ref()
            .map_or_else(std::env::temp_dir, |place| place.scratch())
    }

    /// What is known of every vault, oldest first.
    pub(crate) fn all(&self) -> Result<Vec<Arc<Stored>>, StoreError> {
        match &self.remote {
            Some(remote) => remote.all(&self.store),
            None => self.known.all(&*self.store),
        }
    }

    /// The same, for whoever chooses one of them: where the first place cannot be listed it fails, as the one to be chosen may be there alone. Blocks.
    pub(crate) fn all_to_choose(&self) -> Result<Vec<Arc<Stored>>, StoreError> {
        let all = self.all()?;
        self.check_listed().map(|()| all)
    }

    /// An error, which may pass, where the first place could not be listed the last time.
    pub(crate) fn check_listed(&self) -> Result<(), StoreError> {
        match self.second.as_ref().and_then(|second| second.store.trouble()) {
            None => Ok(()),
            Some(why) => {
                let what = "where backups are kept cannot be listed, and second copies may not be all";
                Err(StoreError::failed(what, true, why))
            }
        }
    }

    /// What is known of every vault without waiting for a remote storage, and why it is not known better.
    pub(crate) fn all_soon(&self) -> Seen {
        let (all, trouble) = match &self.remote {
            Some(remote) => remote.soon(&self.store),
            None => match self.known.all(&*self.store) {
                Ok(all) => (all, None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            },
        };
        let without_first = || self.second.as_ref()?.store.trouble();
        (all, trouble.or_else(without_first))
    }

    /// How many vaults of a remote storage are known of which it was not read yet what was recorded of them.
    pub(crate) fn unread(&self) -> u64 {
        self.remote.as_ref().map_or(0, |remote| remote.unread())
    }

    /// The ids of all vaults, oldest first. Of a remote storage those that other processes have written or removed within the last
    /// seconds may be missing, or there.
    pub(crate) fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        match &self.remote {
            Some(remote) => remote.ids(&self.store),
            None => self.store.ids(),
        }
    }

    /// Has a remote storage asked for what is not known yet. Nobody waits for it.
    pub(crate) fn refresh(&self) {
        if let Some(remote) = &self.remote {
            remote.refresh(&self.store);
        }
    }

    /// Others have written and removed vaults: what is known is asked for anew.
    pub(crate) fn forget_all(&self) {
        if let Some(remote) = &self.remote {
            remote.forget();
        }
    }

    /// This process has written or removed a vault. Afterwards, so that nobody takes what was before for the last.
    pub(crate) fn changed(&self, id: &VaultId) {
        self.wake_second();
        self.look_anew(id);
    }

    fn look_anew(&self, id: &VaultId) {
        match &self.remote {
            Some(remote) => remote.changed(&*self.store, id),
            None => self.known.forget(id),
        }
    }

    /// The same, with nothing taken as known: for what is removed, or said not to be.
    pub(crate) fn all_anew(&self) -> Result<Vec<Arc<Stored>>, StoreError> {
        let at_once = if self.remote.is_some() { AT_ONCE } else { 1 };
        all_anew(&*self.store, at_once)
    }

    /// The vault of an id, whether it is there or not, or the newest good one where it is [`LATEST`]. Blocks.
    pub(crate) fn named(&self, id: &str) -> Result<VaultId, EngineError> {
        if id != LATEST {
            return parse_id(id);
        }
        let good = self.first_good(self.all_to_choose()?.into_iter().rev())?;
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
                _ if !stored.is_good() => {}
                _ => match Stored::read(&*self.store, &stored.id) {
                    Ok(anew) if anew.is_valid() => return Ok(Some(anew)),
                    Ok(_) | Err(StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Ok(None)
    }

    /// Remembers the result of a check, and what is known of tests.
    pub(crate) fn record_verification(&self, id: &VaultId, result: &Verification) {
        self.record(id, |before| Verification {
            tested: before.and_then(|before| before.tested),
            ..result.clone()
        });
        // Whether its index is believed may be another now.
        self.catalogs.forget(id);
    }

    /// The same of a check that has compared checksums alone: where these are right it does not forget what somebody else has found deeper meanwhile.
    pub(crate) fn record_checksums(&self, id: &VaultId, result: &Verification) {
        self.record(id, |before| {
            let mut now = result.clone();
            if let Some(before) = before {
                if now.is_sound() {
                    now.damage = before.damage;
                }
                now.tested = before.tested;
            }
            now
        });
    }

    /// Remembers damage that no checksum tells, beside what the last check has found.
    pub(crate) fn record_damage(&self, id: &VaultId, found: &Verification) {
        self.record(id, |before| {
            let mut all = before.unwrap_or_else(|| Verification::new(found.at, Vec::new()));
            all.damage.extend_from_slice(&found.damage);
            all
        });
    }

    /// Remembers what came of a test, and the last check.
    pub(crate) fn record_test(&self, id: &VaultId, tested: Tested) {
        self.record(id, |before| {
            let found = before.unwrap_or_else(|| Verification::new(tested.at, Vec::new()));
            Verification {
                tested: Some(tested),
                ..found
            }
        });
    }

    fn record(&self, id: &VaultId, result: impl FnOnce(Option<Verification>) -> Verification) {
        let _one_by_one = lock(&self.recording);
        let recorded = match self.store.verification(id) {
            Ok(before) => self.store.record_verification(id, &result(before)),
            Err(error) => Err(error),
        };
        if let Err(error) = recorded {
            log::warn!("the verification of {id} could not be recorded: {error}");
        }
        self.look_anew(id);
    }

    /// Keeps a vault from being removed until the guard is dropped. Blocks while it is being removed.
    pub(crate) fn hold(self: &Arc<Self>, id: &VaultId) -> Held {
        *self.once_not_removed(id).read.entry(id.clone()).or_default() += 1;
        Held {
            vaults: Arc::clone(self),
            id: id.clone(),
        }
    }

    fn once_not_removed(&self, id: &VaultId) -> MutexGuard<'_, InUse> {
        let waited = self
            .removed
            .wait_while(lock(&self.in_use), |in_use| in_use.removing.contains(id));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// An error for a vault that is being read, or that a restore waits for.
    pub(crate) fn check_free(&self, id: &VaultId) -> Result<(), EngineError> {
        let is_read = lock(&self.in_use).read.contains_key(id);
        if is_read || self.jobs.is_needed(id.as_str())? {
            return Err(EngineError::InUse(id.to_string()));
        }
        Ok(())
    }

    /// Removes a vault, unless it is being read, or a restore of it waits.
    pub(crate) fn remove(&self, id: &VaultId) -> Result<(), EngineError> {
        self.remove_by(id, || self.store.remove(id))
    }

    /// The same for another vault with its id, which can be staged until what this returns is dropped. A second copy stays, and is read until then.
    pub(crate) fn replace(&self, id: &VaultId) -> Result<Option<Replacing>, EngineError> {
        self.remove_by(id, || match &self.second {
            None => self.store.remove(id).map(|()| None),
            Some(second) => second.store.replace(id).map(Some),
        })
    }

    fn remove_by<T>(
        &self,
        id: &VaultId,
        remove: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, EngineError> {
        let removing = {
            let mut in_use = self.once_not_removed(id);
            if in_use.read.contains_key(id) {
                return Err(EngineError::InUse(id.to_string()));
            }
            in_use.removing.insert(id.clone());
            Removing { vaults: self, id }
        };
        // From here on no job can come to need it. That may be a request, for which nobody waits who wants another vault.
        if self.jobs.is_needed(id.as_str())? {
            return Err(EngineError::InUse(id.to_string()));
        }
        if let Some(leadership) = &self.leadership {
            leadership
                .may_write()
                .map_err(|why| EngineError::NotLeading(why.to_string()))?;
        }
        let removed = remove();
        if let Err(StoreError::Retained { until, .. }) = &removed {
            self.retained.note(id, *until);
        }
        let removed = removed?;
        drop(removing);
        self.retained.forget(id);
        self.changed(id);
        self.catalogs.forget(id);
        Ok(removed)
    }
}

/// A vault that may not be removed.
pub(crate) struct Held {
    vaults: Arc<Vaults>,
    id: VaultId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let read = &mut lock(&self.vaults.in_use).read;
        if let Some(count) = read.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                read.remove(&self.id);
            }
        }
    }
}

/// Nobody begins to read the vault as long as this is there.
struct Removing<'a> {
    vaults: &'a Vaults,
    id: &'a VaultId,
}

impl Drop for Removing<'_> {
    fn drop(&mut self) {
        lock(&self.vaults.in_use).removing.remove(self.id);
        self.vaults.removed.notify_all();
    }
}
