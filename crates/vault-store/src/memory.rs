use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fs::check_name;
use crate::{Manifest, ReadSeek, Stage, StoreError, VaultId, VaultStore, Verification};

/// Vaults in memory, for embedding and tests. They end with the store.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Vaults>>);

#[derive(Debug, Default)]
struct Vaults {
    committed: BTreeMap<VaultId, Vault>,
    staged: BTreeSet<VaultId>,
}

#[derive(Debug, Clone)]
struct Vault {
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
    verified: Option<Verification>,
}

impl MemoryStore {
    /// An empty store. Clones share their vaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Vaults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, id: &VaultId, look: impl FnOnce(&mut Vault) -> T) -> Result<T, StoreError> {
        self.lock()
            .committed
            .get_mut(id)
            .map(look)
            .ok_or_else(|| StoreError::NotFound(id.clone()))
    }
}

impl VaultStore for MemoryStore {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        Ok(self.lock().committed.keys().cloned().collect())
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.with(id, |vault| vault.manifest.clone())
    }

    fn stage(&self, id: &VaultId, _granular: bool) -> Result<Box<dyn Stage>, StoreError> {
        let mut vaults = self.lock();
        if vaults.committed.contains_key(id) || !vaults.staged.insert(id.clone()) {
            return Err(StoreError::AlreadyExists(id.clone()));
        }
        Ok(Box::new(MemoryStage {
            store: self.clone(),
            id: id.clone(),
            files: BTreeMap::new(),
        }))
    }

    fn open(&self, id: &VaultId, file: &str) -> Result<Box<dyn ReadSeek>, StoreError> {
        check_name(file)?;
        let bytes = self.with(id, |vault| vault.files.get(file).cloned())?;
        let missing = || StoreError::Damaged {
            id: id.clone(),
            file: file.to_owned(),
            what: "it is missing".to_owned(),
        };
        Ok(Box::new(Cursor::new(bytes.ok_or_else(missing)?)))
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.lock()
            .committed
            .remove(id)
            .map(drop)
            .ok_or_else(|| StoreError::NotFound(id.clone()))
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.with(id, |vault| {
            vault.files.values().map(|bytes| bytes.len() as u64).sum()
        })
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        self.with(id, |vault| vault.verified = Some(result.clone()))
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        self.with(id, |vault| vault.verified.clone())
    }
}

type SharedBytes = Arc<Mutex<Vec<u8>>>;

struct MemoryStage {
    store: MemoryStore,
    id: VaultId,
    files: BTreeMap<String, SharedBytes>,
}

struct MemoryFile(SharedBytes);

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Stage for MemoryStage {
    fn create(&mut self, name: &str) -> Result<Box<dyn Write + Send>, StoreError> {
        check_name(name)?;
        if self.files.contains_key(name) {
            return Err(StoreError::InvalidName(name.to_owned()));
        }
        let bytes = SharedBytes::default();
        self.files.insert(name.to_owned(), Arc::clone(&bytes));
        Ok(Box::new(MemoryFile(bytes)))
    }

    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        let take = |bytes: &SharedBytes| bytes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let files = self
            .files
            .iter()
            .map(|(name, bytes)| (name.clone(), take(bytes)))
            .collect();
        let vault = Vault {
            manifest: manifest.clone(),
            files,
            verified: None,
        };
        self.store.lock().committed.insert(self.id.clone(), vault);
        Ok(())
    }
}

impl Drop for MemoryStage {
    fn drop(&mut self) {
        self.store.lock().staged.remove(&self.id);
    }
}
