//! Vaults in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    FileName, Manifest, Stage, Staged, StoreError, VaultFile, VaultId, VaultRead, VaultStore, Verification,
};

/// Vaults in memory, for embedding and tests. They end with the store.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Vaults>>);

#[derive(Debug, Default)]
struct Vaults {
    committed: BTreeMap<VaultId, Vault>,
    staged: BTreeSet<VaultId>,
    notes: BTreeMap<FileName, Vec<u8>>,
}

#[derive(Debug)]
struct Vault {
    manifest: Vec<u8>,
    files: Files,
    verified: Option<Verification>,
}

type Files = BTreeMap<FileName, Arc<Vec<u8>>>;

impl MemoryStore {
    /// An empty store. Clones share their vaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Vaults> {
        locked(&self.0)
    }

    fn with<T>(&self, id: &VaultId, look: impl FnOnce(&mut Vault) -> T) -> Result<T, StoreError> {
        self.lock()
            .committed
            .get_mut(id)
            .map(look)
            .ok_or_else(|| StoreError::NotFound(id.clone()))
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VaultStore for MemoryStore {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        Ok(self.lock().committed.keys().cloned().collect())
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        let bytes = self.with(id, |vault| vault.manifest.clone())?;
        Manifest::parse(id, &bytes)
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        let mut vaults = self.lock();
        if vaults.committed.contains_key(id) || !vaults.staged.insert(id.clone()) {
            return Err(StoreError::AlreadyExists(id.clone()));
        }
        Ok(Box::new(MemoryStage {
            store: self.clone(),
            id: id.clone(),
            staged: Staged::new(id),
            files: Arc::default(),
        }))
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        let bytes = self.with(id, |vault| vault.files.get(file).cloned())?;
        let missing = || StoreError::damaged(id, file, "it is missing");
        Ok(Arc::new(Open(bytes.ok_or_else(missing)?)))
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

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().notes.get(name).cloned())
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.lock().notes.insert(name.clone(), bytes.to_vec());
        Ok(())
    }
}

struct Open(Arc<Vec<u8>>);

impl VaultRead for Open {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        let there = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.0.get(offset..));
        let there = there.unwrap_or_default();
        let count = there.len().min(bytes.len());
        bytes[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    fn is_far(&self) -> bool {
        false
    }
}

struct MemoryStage {
    store: MemoryStore,
    id: VaultId,
    staged: Staged,
    files: Arc<Mutex<Files>>,
}

struct MemoryFile {
    name: FileName,
    bytes: Vec<u8>,
    staged: Staged,
    files: Arc<Mutex<Files>>,
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl VaultFile for MemoryFile {
    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let size = self.bytes.len() as u64;
        locked(&self.files).insert(self.name.clone(), Arc::new(self.bytes));
        self.staged.finish(&self.name, size);
        Ok(())
    }
}

impl Stage for MemoryStage {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        self.staged.begin(name)?;
        Ok(Box::new(MemoryFile {
            name: name.clone(),
            bytes: Vec::new(),
            staged: self.staged.clone(),
            files: Arc::clone(&self.files),
        }))
    }

    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        self.staged.check(manifest)?;
        let vault = Vault {
            manifest: manifest.to_bytes()?,
            files: std::mem::take(&mut *locked(&self.files)),
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
