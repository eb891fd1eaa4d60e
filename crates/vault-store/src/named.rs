//! Several stores as one, each by a name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::{
    FileName, MANIFEST, Manifest, Stage, StoreError, VaultFile, VaultId, VaultRead, VaultStore, Verification,
};

/// A further store that could not be listed is not asked for that again before: each time may take its whole patience.
const AGAIN: Duration = Duration::from_secs(10);

/// Vaults in a default store and in further ones, each by a name.
///
/// [`stage`](VaultStore::stage) and notes are the default store's, and [`stage_in`](VaultStore::stage_in) begins a vault in any of them. Everything
/// else is done by the store that has the vault. [`ids`](VaultStore::ids) fails, with the name of the store, where one of them cannot be listed: a list
/// that lacks vaults without saying so is not told. A vault of the default store is read, written and removed all the same.
///
/// An id is looked for where it is staged and nowhere else, so that no store waits for another. Whoever gives ids out takes care that they are not
/// repeated: two vaults of one id in two stores are listed as one that is damaged, and are not removed.
///
/// Clones share everything.
#[derive(Clone)]
pub struct NamedVaults(Arc<Shared>);

struct Shared {
    /// The default store is the first.
    places: Vec<Place>,
    known: Mutex<Known>,
}

struct Place {
    name: String,
    store: Arc<dyn VaultStore>,
    /// When it could not be listed, and why not.
    away: Mutex<Option<(Instant, String)>>,
}

/// Where vaults are, as far as that is known.
#[derive(Default)]
struct Known {
    places: HashMap<VaultId, Noted>,
    /// Those that several stores have.
    twins: BTreeMap<VaultId, Vec<usize>>,
    /// How many lists were begun.
    lists: u64,
}

#[derive(Clone, Copy)]
struct Noted {
    place: usize,
    /// How many lists had been begun by then.
    lists: u64,
}

impl NamedVaults {
    /// Vaults in `store`, which is called `name` and is the default one, and in `further` ones. No two have one name.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        store: Arc<dyn VaultStore>,
        further: impl IntoIterator<Item = (String, Arc<dyn VaultStore>)>,
    ) -> Self {
        let all = [(name.into(), store)].into_iter().chain(further);
        let places = all.map(|(name, store)| Place {
            name,
            store,
            away: Mutex::default(),
        });
        Self(Arc::new(Shared {
            places: places.collect(),
            known: Mutex::default(),
        }))
    }

    /// What the stores are called, the default one first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.places.iter().map(|place| &*place.name)
    }

    /// The name of the store that has a vault; of several the first. The stores are asked once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Failed`] where none that could be asked has it.
    pub fn storage_of(&self, id: &VaultId) -> Result<&str, StoreError> {
        let shared = &self.0;
        let place = shared.noted(id).map_or_else(|| shared.look_for(id, None), Ok)?;
        Ok(&shared.places[place].name)
    }

    /// The ids of the default store, and those that the others are known to have, oldest first: for whoever may not wait for these.
    ///
    /// # Errors
    /// [`StoreError::Failed`] of the default store.
    pub fn ids_at_hand(&self) -> Result<Vec<VaultId>, StoreError> {
        let mut ids: BTreeSet<_> = self.0.places[0].ids()?.into_iter().collect();
        ids.extend(self.0.lock().places.keys().cloned());
        Ok(ids.into_iter().collect())
    }
}

impl Place {
    /// The error, with the name of the store where that is what has failed.
    fn named(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Failed {
                what,
                transient,
                source,
            } => StoreError::Failed {
                what: format!("storage {}: {what}", self.name),
                transient,
                source,
            },
            other => other,
        }
    }

    fn away(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        self.store.ids().map_err(|error| self.named(error))
    }

    /// The same, unless it could not be asked a moment ago.
    fn ids_unless_away(&self) -> Result<Vec<VaultId>, StoreError> {
        self.check_there()?;
        let ids = self.store.ids();
        *self.away() = match &ids {
            Err(error) if error.may_pass() => Some((Instant::now(), error.to_string())),
            _ => None,
        };
        ids.map_err(|error| self.named(error))
    }

    fn check_there(&self) -> Result<(), StoreError> {
        match &*self.away() {
            Some((since, why)) if since.elapsed() < AGAIN => {
                let what = format!("storage {}", self.name);
                Err(StoreError::failed(what, true, why.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Whether it is there. A further store that does not answer is not asked again at once.
    fn has(&self, id: &VaultId, is_further: bool) -> Result<bool, StoreError> {
        self.check_there()?;
        match self.store.size(id) {
            Err(StoreError::NotFound(_)) => Ok(false),
            Err(error @ (StoreError::Failed { .. } | StoreError::Moved(_) | StoreError::Locked(_))) => {
                if is_further && error.may_pass() {
                    *self.away() = Some((Instant::now(), error.to_string()));
                }
                Err(self.named(error))
            }
            // Whatever is wrong with it, it is there.
            Ok(_) | Err(_) => Ok(true),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted(&self, id: &VaultId) -> Option<usize> {
        Some(self.lock().places.get(id)?.place)
    }

    fn note(&self, id: &VaultId, place: usize) {
        let mut known = self.lock();
        let lists = known.lists;
        known.places.insert(id.clone(), Noted { place, lists });
    }

    fn forget(&self, id: &VaultId) {
        self.lock().places.remove(id);
    }

    /// Asks the stores one after another, all `but` one.
    fn look_for(&self, id: &VaultId, but: Option<usize>) -> Result<usize, StoreError> {
        let mut not_asked = None;
        for (index, place) in self.places.iter().enumerate() {
            if Some(index) == but {
                continue;
            }
            match place.has(id, index > 0) {
                Ok(true) => {
                    self.note(id, index);
                    return Ok(index);
                }
                Ok(false) => {}
                Err(error) => not_asked = not_asked.or(Some(error)),
            }
        }
        Err(not_asked.unwrap_or_else(|| StoreError::NotFound(id.clone())))
    }

    /// Asks the store that has the vault.
    fn at<T>(
        &self,
        id: &VaultId,
        ask: impl Fn(&dyn VaultStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let noted = self.noted(id);
        let place = noted.map_or_else(|| self.look_for(id, None), Ok)?;
        let ask = |place: usize| {
            let place = &self.places[place];
            ask(&*place.store).map_err(|error| place.named(error))
        };
        match ask(place) {
            Err(StoreError::NotFound(_)) if noted.is_some() => {
                // Another process may have removed it, and written it elsewhere.
                self.forget(id);
                ask(self.look_for(id, Some(place))?)
            }
            answer => answer,
        }
    }

    /// An error where several stores have this id: which is meant is not known.
    fn check_alone(&self, id: &VaultId) -> Result<(), StoreError> {
        let known = self.lock();
        let Some(twins) = known.twins.get(id) else {
            return Ok(());
        };
        let names: Vec<_> = twins.iter().map(|place| &*self.places[*place].name).collect();
        let what = format!(
            "the storages {} each have a backup with this id",
            names.join(", ")
        );
        Err(StoreError::damaged(id, MANIFEST, what))
    }

    fn place_named(&self, name: Option<&str>) -> Result<usize, StoreError> {
        let Some(name) = name else { return Ok(0) };
        let found = self.places.iter().position(|place| place.name == name);
        found.ok_or_else(|| StoreError::NoStorage(name.to_owned()))
    }
}

impl NamedVaults {
    fn watched(
        &self,
        id: &VaultId,
        place: usize,
        stage: Result<Box<dyn Stage>, StoreError>,
    ) -> Result<Box<dyn Stage>, StoreError> {
        let stage = stage.map_err(|error| self.0.places[place].named(error))?;
        Ok(Box::new(Watched {
            stage,
            vaults: Arc::downgrade(&self.0),
            id: id.clone(),
            place,
        }))
    }
}

impl VaultStore for NamedVaults {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        let begun = {
            let mut known = self.0.lock();
            known.lists += 1;
            known.lists
        };
        let mut found: BTreeMap<VaultId, Vec<usize>> = BTreeMap::new();
        for (index, place) in self.0.places.iter().enumerate() {
            let ids = if index == 0 {
                place.ids()
            } else {
                place.ids_unless_away()
            };
            for id in ids? {
                found.entry(id).or_default().push(index);
            }
        }
        let mut known = self.0.lock();
        // What was noted since the list began is newer than it.
        let places = &mut known.places;
        places.retain(|id, noted| noted.lists >= begun || found.contains_key(id));
        for (id, at) in &found {
            let of_list = Noted {
                place: at[0],
                lists: begun - 1,
            };
            let noted = places.entry(id.clone()).or_insert(of_list);
            if noted.lists < begun {
                *noted = of_list;
            }
        }
        let twins = found.iter().filter(|(_, at)| at.len() > 1);
        known.twins = twins.map(|(id, at)| (id.clone(), at.clone())).collect();
        Ok(found.into_keys().collect())
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.0.check_alone(id)?;
        self.0.at(id, |store| store.manifest(id))
    }

    fn manifest_as_is(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.0.check_alone(id)?;
        self.0.at(id, |store| store.manifest_as_is(id))
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.watched(id, 0, self.0.places[0].store.stage(id))
    }

    fn stage_as_is(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.watched(id, 0, self.0.places[0].store.stage_as_is(id))
    }

    fn stage_in(&self, storage: Option<&str>, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        let place = self.0.place_named(storage)?;
        self.watched(id, place, self.0.places[place].store.stage(id))
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        self.0.check_alone(id)?;
        self.0.at(id, |store| store.open(id, file))
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.0.check_alone(id)?;
        self.0.at(id, |store| store.remove(id))?;
        self.0.forget(id);
        Ok(())
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.0.at(id, |store| store.size(id))
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        self.0.check_alone(id)?;
        self.0.at(id, |store| store.record_verification(id, result))
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        self.0.at(id, |store| store.verification(id))
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        let first = &self.0.places[0];
        first.store.note(name).map_err(|error| first.named(error))
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        let first = &self.0.places[0];
        first
            .store
            .keep_note(name, bytes)
            .map_err(|error| first.named(error))
    }
}

/// A stage of which it is noted, once it is committed, where it was.
struct Watched {
    stage: Box<dyn Stage>,
    /// It keeps no store open.
    vaults: Weak<Shared>,
    id: VaultId,
    place: usize,
}

impl Stage for Watched {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        self.stage.create(name)
    }

    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        let Self {
            stage,
            vaults,
            id,
            place,
        } = *self;
        let committed = stage.commit(manifest);
        let Some(vaults) = vaults.upgrade() else {
            return committed;
        };
        committed.map_err(|error| vaults.places[place].named(error))?;
        vaults.note(&id, place);
        Ok(())
    }
}

impl fmt::Debug for NamedVaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        f.debug_tuple("NamedVaults").field(&names).finish()
    }
}
