//! Vaults as directories.

mod files;
mod leftovers;
mod marks;
mod reserve;
mod shared;
mod stage;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use fs2::FileExt as _;

use self::files::{checksum_line, damage_or_io, is_directory, named, sync};
pub(crate) use self::files::{io_at, open_file, read, replace};
use self::leftovers::{Leftovers, out_of_sight};
use self::shared::{GRANULAR, Identity, LOCK, Shared, identity};
use self::stage::{FsRead, FsStage};
use crate::private::{self, Tightened, no_follow};
use crate::{
    CHECKSUM, FileName, MANIFEST, Manifest, Stage, Staged, StoreError, VERIFIED, VaultId, VaultRead,
    VaultStore, Verification,
};

const STAGING: &str = ".staging";

/// Vaults as directories of a filesystem: `<root>/<id>`, granular ones `<root>/granular/<id>`.
///
/// A vault is written under `<root>/.staging` and renamed into place once every byte of it is synced. One
/// process holds a root at a time. All of it is the owner's alone (0600, 0700). The root may be a symbolic link, which is followed when the store is opened; below it
/// they are never followed, listed, or deleted through.
/// What the Qubership backup daemon left there is not listed; [`PredecessorStore`](crate::PredecessorStore) shows it.
#[derive(Debug)]
pub struct FsStore {
    shared: Arc<Shared>,
    swept: Vec<String>,
    tightened: Tightened,
    /// Holds the exclusive lock as long as it is open; `None` where a copy came without its lock file.
    _lock: Option<File>,
}

impl FsStore {
    /// Opens the storage at `root`, made if it is missing, and sweeps what a crash left unfinished.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another store, here or in another process, holds it; [`StoreError::Failed`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_at(root.into(), true)
    }

    /// The same where another directory may come in its place, as a disk that is mounted late: whoever uses it has to recognise it, as
    /// [`MirroredStore`](crate::MirroredStore) does the second one. Otherwise nothing is done in another directory ([`StoreError::Moved`]).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_replaceable(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_at(root.into(), false)
    }

    fn open_at(given: PathBuf, is_checked: bool) -> Result<Self, StoreError> {
        let root = named(&given).map_err(io_at(&given))?;
        private::create_directories(&root).map_err(io_at(&root))?;
        let path = root.join(LOCK);
        let lock = no_follow()
            .write(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(io_at(&path))?;
        let held = take(&lock, &root)?;
        for folder in [STAGING, GRANULAR] {
            let path = root.join(folder);
            match private::create_directory(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_at(&path)(error));
                }
                _ if is_directory(&path) => {}
                _ => return Err(io_at(&path)(io::Error::other("it is not a directory"))),
            }
        }
        sync(&root)?;
        let leftovers = Leftovers::default();
        let swept = leftovers.sweep(&root.join(STAGING))?;
        if is_checked {
            reserve::refill(&root);
        }
        let tightened = private::tighten(&root);
        Ok(Self {
            shared: Arc::new(Shared {
                root,
                given,
                taking: Mutex::new(()),
                ours: Mutex::default(),
                leftovers,
                has_reserve: is_checked,
                is_replaceable: !is_checked,
                held: Some(held),
            }),
            swept,
            tightened,
            _lock: Some(lock),
        })
    }

    /// Opens the storage at `root` to be looked into. It is locked if it has a lock file; nothing is made, swept or closed to
    /// others, so that a copy on a read-only filesystem will do.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another store, here or in another process, holds it; [`StoreError::Failed`], also where it
    /// [is none](Self::is_at).
    pub fn open_existing(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let given = root.into();
        let root = named(&given).map_err(io_at(&given))?;
        if !Self::is_at(&root)? {
            return Err(io_at(&root)(io::Error::other("it is no storage")));
        }
        let path = root.join(LOCK);
        let lock = match open_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened.map_err(io_at(&path))?),
        };
        let held = lock.as_ref().map(|lock| take(lock, &root)).transpose()?;
        Ok(Self {
            shared: Arc::new(Shared {
                root,
                given,
                taking: Mutex::new(()),
                ours: Mutex::default(),
                leftovers: Leftovers::default(),
                has_reserve: false,
                is_replaceable: false,
                held,
            }),
            swept: Vec::new(),
            tightened: Tightened::default(),
            _lock: lock,
        })
    }

    /// Whether a storage is in the directory `root`: one that was opened there, or a copy with at least one vault.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where the directory cannot be read.
    pub fn is_at(root: &Path) -> Result<bool, StoreError> {
        let root = &*named(root).map_err(io_at(root))?;
        if root.join(LOCK).is_file() && is_directory(&root.join(STAGING)) {
            return Ok(true);
        }
        for home in [root.to_owned(), root.join(GRANULAR)] {
            if home != root && !is_directory(&home) {
                continue;
            }
            for entry in fs::read_dir(&home).map_err(io_at(&home))? {
                let path = entry.map_err(io_at(&home))?.path();
                let name = path.file_name().and_then(|name| name.to_str());
                let is_id = name.is_some_and(|name| name.parse::<VaultId>().is_ok());
                if is_id && is_directory(&path) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The names of what was swept when the store was opened: stages of vaults never committed, and vaults whose
    /// removal had begun.
    #[must_use]
    pub fn swept(&self) -> &[String] {
        &self.swept
    }

    /// What was to be removed, out of sight already, and could not be: the file that is in the way, and why. It is tried again each time that a vault is removed or begun,
    /// and when the store is opened.
    #[must_use]
    pub fn left_over(&self) -> Vec<String> {
        self.shared.leftovers.files()
    }

    /// What was open to other users when the store was opened.
    #[must_use]
    pub fn tightened(&self) -> &Tightened {
        &self.tightened
    }

    /// Where the storage is: the directory itself, where a link was given.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// Whether the root is still the directory that was opened: asks the filesystem for one file.
    ///
    /// # Errors
    /// [`StoreError::Moved`] where it is another one, or gone.
    pub fn check_in_place(&self) -> Result<(), StoreError> {
        self.shared.check_in_place()
    }

    /// Whether the root is another directory than the one that was opened, also where it [may be](Self::open_replaceable).
    pub(crate) fn is_replaced(&self) -> bool {
        matches!(self.shared.check_held(), Err(StoreError::Moved(_)))
    }

    /// A directory of the same filesystem for what nobody needs after the process: it is emptied when the storage is opened again.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.shared.root.join(STAGING)
    }

    /// The ids of what the predecessor left, full and granular, oldest first.
    pub(crate) fn predecessors(&self) -> Result<Vec<VaultId>, StoreError> {
        self.shared.list(|id, path| self.shared.is_theirs(id, path))
    }

    /// Where the backup with this id is, if the predecessor left it; `true` if it is a granular one.
    pub(crate) fn predecessors_place(&self, id: &VaultId) -> Option<(PathBuf, bool)> {
        let path = self
            .shared
            .find(id)
            .filter(|path| self.shared.is_theirs(id, path))?;
        let granular = path.parent() == Some(&self.shared.home(true));
        Some((path, granular))
    }

    /// Whether there are two directories with this id, full and granular. We make none where one is.
    pub(crate) fn is_there_twice(&self, id: &VaultId) -> bool {
        let homes = [false, true].map(|granular| self.shared.home(granular));
        homes
            .iter()
            .all(|home| is_directory(home) && is_directory(&home.join(id.as_str())))
    }

    /// Whether there is a directory with this id in which no manifest of ours is, or was.
    pub(crate) fn has_no_manifest(&self, id: &VaultId) -> bool {
        let found = self.shared.find(id);
        found.is_some_and(|path| !marks::are_ours_in(&path))
    }

    /// Whether both of them are ours: then somebody has copied one by hand.
    pub(crate) fn are_both_ours(&self, id: &VaultId) -> bool {
        let homes = [false, true].map(|granular| self.shared.home(granular).join(id.as_str()));
        // Two of different contents are two backups, and nobody says which of them is meant.
        let [full, granular] = homes
            .each_ref()
            .map(|vault| std::fs::read(vault.join(MANIFEST)).ok());
        self.is_there_twice(id)
            && homes.iter().all(|vault| marks::are_ours_in(vault))
            && full.is_some()
            && full == granular
    }

    /// Opens a file of a vault, whatever it is called.
    pub(crate) fn open_named(&self, id: &VaultId, name: &str) -> Result<Arc<dyn VaultRead>, StoreError> {
        let vault = self.find(id)?;
        let path = vault.join(name);
        let open = open_file(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = open.map_err(|error| damage_or_io(id, &vault, name, error))?;
        Ok(Arc::new(FsRead { file, size, path }))
    }

    /// Held while a file is [replaced](replace).
    pub(crate) fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.shared.one_at_a_time()
    }

    pub(crate) fn find(&self, id: &VaultId) -> Result<PathBuf, StoreError> {
        self.check_in_place()?;
        self.shared
            .find(id)
            .ok_or_else(|| StoreError::NotFound(id.clone()))
    }
}

impl VaultStore for FsStore {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        self.shared.list(|id, path| !self.shared.is_theirs(id, path))
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        let path = self.find(id)?;
        let bytes = read(&path.join(MANIFEST)).map_err(|error| damage_or_io(id, &path, MANIFEST, error))?;
        let sum = read(&path.join(CHECKSUM)).map_err(|error| damage_or_io(id, &path, CHECKSUM, error))?;
        if checksum_line(&bytes).as_bytes() != sum {
            let what = "its SHA-256 differs from the one recorded beside it";
            return Err(StoreError::damaged(id, MANIFEST, what));
        }
        Manifest::parse(id, &bytes)
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.check_in_place()?;
        self.shared.leftovers.remove_again();
        let path = self.shared.root.join(STAGING).join(id.as_str());
        let _taking = self.shared.one_at_a_time();
        if self.shared.find(id).is_some() {
            return Err(StoreError::AlreadyExists(id.clone()));
        }
        private::create_directory(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => StoreError::AlreadyExists(id.clone()),
            _ => io_at(&path)(error),
        })?;
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(FsStage {
            shared,
            staged: Staged::new(id),
            id: id.clone(),
            path,
            committed: false,
        }))
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        self.open_named(id, file.as_str())
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        let path = self.find(id)?;
        self.shared.leftovers.remove_again();
        // Out of sight in one step; what follows can be done later.
        let doomed = out_of_sight(&self.shared.root.join(STAGING), id.as_str());
        fs::rename(&path, &doomed).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound(id.clone()),
            _ => io_at(&path)(error),
        })?;
        self.shared.forget(id);
        let synced = path.parent().map_or(Ok(()), sync);
        self.shared.leftovers.remove(&doomed);
        self.shared.refill();
        synced
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        let path = self.find(id)?;
        let mut total = 0;
        for entry in fs::read_dir(&path).map_err(io_at(&path))? {
            match entry.and_then(|entry| entry.metadata()) {
                Ok(metadata) => total += if metadata.is_file() { metadata.len() } else { 0 },
                // A record that has got its name in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_at(&path)(error)),
            }
        }
        Ok(total)
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        let path = self.find(id)?;
        let text = serde_json::to_vec_pretty(result).map_err(|error| io_at(&path)(error.into()))?;
        let _one_at_a_time = self.shared.one_at_a_time();
        replace(&path, VERIFIED, &text)
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        let path = self.find(id)?.join(VERIFIED);
        match read(&path) {
            // A result that cannot be read is as good as none: the vault can be checked again.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at(&path)(error)),
        }
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.check_in_place()?;
        let path = self.shared.root.join(name.as_str());
        match read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at(&path)(error)),
        }
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.check_in_place()?;
        let _one_at_a_time = self.shared.one_at_a_time();
        match self.shared.has_reserve {
            false => replace(&self.shared.root, name.as_str(), bytes),
            true => {
                reserve::keep(&self.shared.root, name.as_str(), bytes)?;
                reserve::refill(&self.shared.root);
                Ok(())
            }
        }
    }
}

/// Locks the file, and says which one it is.
fn take(lock: &File, root: &Path) -> Result<Identity, StoreError> {
    lock.try_lock_exclusive().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StoreError::Locked(root.display().to_string()),
        _ => io_at(&root.join(LOCK))(error),
    })?;
    lock.metadata()
        .map(|found| identity(&found))
        .map_err(io_at(&root.join(LOCK)))
}
