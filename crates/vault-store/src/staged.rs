//! What a stage has to know of its files, for whoever writes a store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{FileName, Manifest, StoreError, VaultId};

/// The files of a stage and which of them are finished: the checks that every [`Stage`](crate::Stage) owes. Clones share
/// everything, so that each file can have one.
///
/// ```
/// use vault_store::{FileName, Staged, StoreError};
///
/// let staged = Staged::new(&"20261123T140000".parse()?);
/// let name = FileName::from_static("archive.zst");
/// staged.begin(&name)?; // in `Stage::create`
/// assert!(matches!(staged.begin(&name), Err(StoreError::FileExists { .. })));
/// staged.finish(&name, 6); // in `VaultFile::finish`, once it is durable
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Staged {
    id: VaultId,
    /// The size of each that is finished.
    files: Arc<Mutex<BTreeMap<FileName, Option<u64>>>>,
}

impl Staged {
    /// Of a stage without files.
    #[must_use]
    pub fn new(id: &VaultId) -> Self {
        Self {
            id: id.clone(),
            files: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<FileName, Option<u64>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a file that is begun.
    ///
    /// # Errors
    /// [`StoreError::FileExists`] if it was begun before.
    pub fn begin(&self, name: &FileName) -> Result<(), StoreError> {
        let mut files = self.lock();
        if files.contains_key(name) {
            let (id, file) = (self.id.clone(), name.clone());
            return Err(StoreError::FileExists { id, file });
        }
        files.insert(name.clone(), None);
        Ok(())
    }

    /// Notes that a file is finished with so many bytes.
    pub fn finish(&self, name: &FileName, bytes: u64) {
        self.lock().insert(name.clone(), Some(bytes));
    }

    /// Whether `manifest` is that of what was staged: what a commit asks first.
    ///
    /// # Errors
    /// [`StoreError::Unfinished`], [`StoreError::WrongManifest`].
    pub fn check(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let wrong = |what: String| {
            let id = self.id.clone();
            Err(StoreError::WrongManifest { id, what })
        };
        let mut left = self.lock().clone();
        if let Some((file, _)) = left.iter().find(|(_, size)| size.is_none()) {
            let (id, file) = (self.id.clone(), file.clone());
            return Err(StoreError::Unfinished { id, file });
        }
        if manifest.id != self.id {
            return wrong(format!("it is that of backup {}", manifest.id));
        }
        for file in &manifest.files {
            match left.remove(&file.name).flatten() {
                Some(size) if size == file.bytes => {}
                Some(size) => {
                    return wrong(format!("{} has {size} bytes, and not {}", file.name, file.bytes));
                }
                None => return wrong(format!("{} was not staged, or is named twice", file.name)),
            }
        }
        match left.first_key_value() {
            Some((name, _)) => wrong(format!("it does not name {name}, which was staged")),
            None => Ok(()),
        }
    }
}
