//! A directory that cannot be used yet, or only be read: that of a disk that is mounted late, is full, or has become read-only.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{FileName, FsStore, Manifest, Stage, StoreError, VaultId, VaultRead, VaultStore, Verification};

/// An [`FsStore`] that is [replaceable](FsStore::open_replaceable) and opened when it can be: each call tries that until it has succeeded, and again where another
/// directory has come in its place. A directory that cannot be written is read as it is.
#[derive(Debug)]
pub struct LateStore {
    root: PathBuf,
    called: String,
    opened: Mutex<Opened>,
}

#[derive(Debug)]
enum Opened {
    No,
    /// As [`FsStore::open_existing`] does.
    ToRead(Arc<FsStore>),
    Whole(Arc<FsStore>),
}

impl LateStore {
    /// The directory `root`, which is not looked at yet. `called` is what people call it where it cannot be opened, such as the setting that names it.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, called: impl Into<String>) -> Self {
        Self {
            root: root.into(),
            called: called.into(),
            opened: Mutex::new(Opened::No),
        }
    }

    /// Opens it to be written, if it is not, or is another one by now.
    ///
    /// # Errors
    /// [`StoreError::Failed`], with what it is called, and why.
    pub fn open_now(&self) -> Result<(), StoreError> {
        self.to_write().map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn to_write(&self) -> Result<Arc<FsStore>, StoreError> {
        let mut opened = self.lock();
        if let Opened::Whole(store) = &*opened
            && !store.is_replaced()
        {
            return Ok(Arc::clone(store));
        }
        // What reads holds the lock; what is written to, that of a directory which is there no more.
        *opened = Opened::No;
        let store = FsStore::open_replaceable(&self.root).map_err(|error| self.named(error))?;
        let store = Arc::new(store);
        *opened = Opened::Whole(Arc::clone(&store));
        Ok(store)
    }

    fn to_read(&self) -> Result<Arc<FsStore>, StoreError> {
        {
            let opened = self.lock();
            match &*opened {
                Opened::Whole(store) if !store.is_replaced() => return Ok(Arc::clone(store)),
                Opened::ToRead(store) if store.check_in_place().is_ok() => return Ok(Arc::clone(store)),
                Opened::Whole(_) | Opened::ToRead(_) | Opened::No => {}
            }
        }
        let why = match self.to_write() {
            Ok(store) => return Ok(store),
            Err(why) => why,
        };
        let mut opened = self.lock();
        match &*opened {
            Opened::Whole(store) | Opened::ToRead(store) => return Ok(Arc::clone(store)),
            Opened::No => {}
        }
        match FsStore::open_existing(&self.root) {
            Ok(store) => {
                log::warn!("{why}: what is there is read");
                let store = Arc::new(store);
                *opened = Opened::ToRead(Arc::clone(&store));
                Ok(store)
            }
            Err(_) => Err(why),
        }
    }

    fn named(&self, error: StoreError) -> StoreError {
        StoreError::failed(&self.called, true, error)
    }
}

impl VaultStore for LateStore {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        self.to_read()?.ids()
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.to_read()?.manifest(id)
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.to_write()?.stage(id)
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        self.to_read()?.open(id, file)
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.to_write()?.remove(id)
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.to_read()?.size(id)
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        self.to_write()?.record_verification(id, result)
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        self.to_read()?.verification(id)
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.to_read()?.note(name)
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.to_write()?.keep_note(name, bytes)
    }
}
