//! Backups that the Qubership backup daemon left in a storage directory: listed, read and removed beside ours, and never written.

mod console;
mod list;
mod marks;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use self::console::Console;
use crate::fs::{io_at, read, replace};
use crate::private;
use crate::{
    FileName, FsStore, Manifest, Mode, Outcome, Predecessor, Reader, Stage, StoreError, VaultId, VaultRead,
    VaultStore, Verification,
};

/// Its archive of a hierarchical backup.
pub const ZNODES: FileName = FileName::from_static("znodes.zip");
/// The name by which [`PredecessorStore`] opens what the job of a backup has said (`.console`).
pub const CONSOLE: FileName = FileName::from_static("console");

/// Where results of checks are kept, below the storage and beside the backups.
const CHECKED: &str = ".checked";

/// The vaults of a store, and beside them what the Qubership backup daemon, in Python or in Go, left in a directory: `<id>/` and
/// `granular/<id>/` with `znodes.zip` or a snapshot and logs, and with its marks (`.metrics`, `.failed`, `.evictlock`, …).
///
/// What it left is shown as vaults with a [`Manifest::predecessor`] and without files in the manifest, as nobody noted what they must be.
/// Nothing is written into them, nor into a directory without a manifest that has none of its marks: results of checks are kept elsewhere below the directory. [`remove`](VaultStore::remove) takes all of
/// one away. Everything else is done by the store beside.
pub struct PredecessorStore {
    own: Arc<dyn VaultStore>,
    place: Arc<FsStore>,
    /// What the lists of archives tell, which is read once.
    listed: Mutex<HashMap<VaultId, Listed>>,
    /// What was read of each `.console`, with the length and the time of change that it had.
    consoles: Mutex<HashMap<VaultId, (u64, SystemTime, Console)>>,
}

/// What the list of an archive tells, and the length and the time of change that the archive had.
struct Listed {
    length: u64,
    changed: SystemTime,
    /// The root znodes, where it is a granular one, or what is wrong with it.
    roots: Result<Vec<String>, String>,
}

impl PredecessorStore {
    /// Shows what `own` has, and what the predecessor left in the directory of `place`. `own` is `place`, or a store around it.
    #[must_use]
    pub fn new(own: Arc<dyn VaultStore>, place: Arc<FsStore>) -> Self {
        Self {
            own,
            place,
            listed: Mutex::default(),
            consoles: Mutex::default(),
        }
    }

    fn is_theirs(&self, id: &VaultId) -> bool {
        self.place.predecessors_place(id).is_some()
    }

    /// An error where two have this id, a full one and a granular one: which is meant is not known.
    fn check_alone(&self, id: &VaultId) -> Result<(), StoreError> {
        match self.place.is_there_twice(id) {
            true => Err(StoreError::damaged(
                id,
                format!("granular/{id}"),
                "another backup has the same id",
            )),
            false => Ok(()),
        }
    }

    /// What is told of the backup in the directory `path`.
    fn tell(&self, id: &VaultId, path: &Path, granular: bool) -> Result<Manifest, StoreError> {
        let mut manifest = marks::manifest(id, path, || self.console(id, path))?;
        if manifest.mode == Mode::Transactional {
            return Ok(manifest); // of everything, wherever it lies
        }
        let roots = match manifest.outcome {
            Outcome::Failed { .. } => Vec::new(),
            _ => self.listed(id, path, granular)?,
        };
        manifest.roots = granular.then_some(roots);
        Ok(manifest)
    }

    /// What its job has said.
    fn console(&self, id: &VaultId, path: &Path) -> io::Result<Console> {
        let known = || self.consoles.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = fs::symlink_metadata(path.join(".console"))?;
        let (length, changed) = (metadata.len(), metadata.modified()?);
        if let Some((long, at, console)) = known().get(id)
            && (*long, *at) == (length, changed)
        {
            return Ok(console.clone());
        }
        let console = console::console(path)?;
        known().insert(id.clone(), (length, changed, console.clone()));
        Ok(console)
    }

    /// The root znodes of a granular backup, and none of a full one, whose archive is only known to have a list then.
    fn listed(&self, id: &VaultId, path: &Path, granular: bool) -> Result<Vec<String>, StoreError> {
        let known = || self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let damaged = |why: String| StoreError::damaged(id, ZNODES, why);
        let place = path.join(ZNODES.as_str());
        let metadata = fs::symlink_metadata(&place).map_err(io_at(&place))?;
        let (length, changed) = (metadata.len(), metadata.modified().map_err(io_at(&place))?);
        if let Some(listed) = known().get(id)
            && (listed.length, listed.changed) == (length, changed)
        {
            return listed.roots.clone().map_err(damaged);
        }
        let file = Reader::new(self.place.open(id, &ZNODES)?);
        let read = match granular {
            true => list::roots(file),
            false => list::check(file).map(|()| Vec::new()),
        };
        let roots = match read {
            // What the storage says may be another thing the next time.
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<StoreError>()) => {
                return Err(StoreError::io(place.display(), error));
            }
            read => read.map_err(|error| error.to_string()),
        };
        let listed = Listed {
            length,
            changed,
            roots: roots.clone(),
        };
        known().insert(id.clone(), listed);
        roots.map_err(damaged)
    }

    fn checked(&self) -> PathBuf {
        self.place.root().join(CHECKED)
    }

    /// Whether what is found of it is kept beside it: that it lacks a manifest may be all that tells whose it is.
    fn is_checked_beside(&self, id: &VaultId) -> bool {
        self.is_theirs(id) || self.place.has_no_manifest(id)
    }

    fn forget_checked(&self, id: &VaultId) -> Result<(), StoreError> {
        let checked = self.checked().join(id.as_str());
        match fs::remove_file(&checked) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at(&checked)(error)),
            _ => Ok(()),
        }
    }
}

impl VaultStore for PredecessorStore {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        let mut ids = self.own.ids()?;
        ids.extend(self.place.predecessors()?);
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.check_alone(id)?;
        match self.place.predecessors_place(id) {
            Some((path, granular)) => self.tell(id, &path, granular),
            None => self.own.manifest(id),
        }
    }

    fn manifest_as_is(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        match self.is_theirs(id) {
            true => self.manifest(id),
            false => self.own.manifest_as_is(id),
        }
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        match self.is_theirs(id) {
            true => Err(StoreError::AlreadyExists(id.clone())),
            false => self.own.stage(id),
        }
    }

    fn stage_as_is(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        match self.is_theirs(id) {
            true => Err(StoreError::AlreadyExists(id.clone())),
            false => self.own.stage_as_is(id),
        }
    }

    fn stage_in(&self, storage: Option<&str>, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        match self.is_theirs(id) {
            true => Err(StoreError::AlreadyExists(id.clone())),
            false => self.own.stage_in(storage, id),
        }
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        match self.is_theirs(id) {
            true if *file == CONSOLE => self.place.open_named(id, ".console"),
            true => self.place.open(id, file),
            false => self.own.open(id, file),
        }
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        if self.place.are_both_ours(id) {
            // Whoever names it means both.
            self.own.remove(id)?;
            return self.own.remove(id);
        }
        self.check_alone(id)?;
        if !self.is_theirs(id) {
            let beside = self.is_checked_beside(id);
            self.own.remove(id)?;
            return if beside { self.forget_checked(id) } else { Ok(()) };
        }
        self.place.remove(id)?;
        self.listed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        self.consoles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        self.forget_checked(id)
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        match self.is_theirs(id) {
            true => self.place.size(id),
            false => self.own.size(id),
        }
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        if !self.is_checked_beside(id) {
            return self.own.record_verification(id, result);
        }
        let directory = self.checked();
        match private::create_directory(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io_at(&directory)(error));
            }
            _ => {}
        }
        let text = serde_json::to_vec_pretty(result).map_err(|error| io_at(&directory)(error.into()))?;
        let _one_at_a_time = self.place.one_at_a_time();
        replace(&directory, id.as_str(), &text)
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        if !self.is_checked_beside(id) {
            return self.own.verification(id);
        }
        let path = self.checked().join(id.as_str());
        match read(&path) {
            // A result that cannot be read is as good as none: the vault can be checked again.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at(&path)(error)),
        }
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.own.note(name)
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.own.keep_note(name, bytes)
    }
}

impl std::fmt::Debug for PredecessorStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PredecessorStore")
            .field("root", &self.place.root())
            .finish_non_exhaustive()
    }
}
