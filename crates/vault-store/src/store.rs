//! The contract of whatever keeps vaults.

use std::io::Write;
use std::sync::Arc;

use crate::{FileEntry, FileName, Manifest, StoreError, VaultId, Verification};

/// A place for vaults. Every call blocks; call it where that is fine.
///
/// To write one, implement this trait, [`Stage`], [`VaultFile`] and [`VaultRead`], with [`Staged`](crate::Staged) for the checks of a
/// commit. The suite in `conformance` (a feature) asks for each of these rules:
///
/// **Visible.** A vault is there from when [`Stage::commit`] returns, whole and durable, also after a crash. Before that no
/// call but [`stage`](Self::stage) knows of it. It never changes afterwards; [`record_verification`](Self::record_verification) writes
/// beside it.
///
/// **Taken.** From [`stage`](Self::stage) on an id is taken, until its stage is dropped, its commit has failed or its vault is removed. An id names
/// one vault: full and granular ones share the ids, so that where the store keeps which is its own affair, by
/// [`Manifest::is_granular`].
///
/// **Nothing left.** A stage that is dropped, and a commit that fails, leave nothing that any call shows, and the id can be staged anew. The one
/// exception is a commit whose last step failed below the store so that nobody knows what came of it
/// ([`StoreError::Failed`]): the vault is whole then, or not there.
///
/// **Crashes.** What was staged when a process ended is gone once the store is opened anew. A removal that was cut short is finished
/// then, or has not begun.
///
/// **Ids and names** are types that cannot name anything but a vault and a file in it; nothing has to be checked again. The store's own
/// files, if it has any, are called [`MANIFEST`](crate::MANIFEST), [`CHECKSUM`](crate::CHECKSUM) and [`VERIFIED`](crate::VERIFIED),
/// which no [`FileName`] is.
///
/// **Manifests** are kept as [`Manifest::to_bytes`] makes them, read by [`Manifest::parse`], and guarded by a checksum where the place can
/// change bytes unnoticed. They may have 100,000 frames and more, and 64 MiB.
///
/// **Threads.** Calls come from many threads at once, for different vaults and for the same one. No call waits for a stage to be committed or
/// dropped, or for a file to be finished or closed. Of two threads that stage an id at once one gets it.
///
/// **Not the store's part:** to keep a vault from being removed while it is read (the caller holds it), and to keep a second process
/// from the same place, which a store refuses where it can ([`StoreError::Locked`]).
///
/// **Where places are not directories** that can be renamed, keep files under the number of their stage, which is never given again, and let the
/// vault say which stage it was: then a file that is finished too late, or read after its vault was removed, cannot be taken for one of the next
/// vault with that id. Opening the store sweeps what belongs to no vault. Which ids are staged need only be known to the process.
///
/// **An object store** fits like this: a vault exists when its manifest's object does, and that says where the files are. [`VaultFile`] gathers
/// what is written into the parts of a multipart upload, [`finish`](VaultFile::finish) completes it, and `Drop` aborts it. `commit` puts the
/// manifest, last and in one request that refuses to overwrite. [`open`](Self::open) asks for the object's length, and
/// [`read_at`](VaultRead::read_at) is one GET of a range. [`remove`](Self::remove) deletes the manifest first.
pub trait VaultStore: Send + Sync {
    /// The ids of all committed vaults, full and granular, oldest first, each once. Damaged ones, and those of later versions, are among
    /// them.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn ids(&self) -> Result<Vec<VaultId>, StoreError>;

    /// The manifest of a vault as it was committed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Failed`]; [`StoreError::Damaged`] where it is missing or is not what was committed, and
    /// [`StoreError::Unsupported`], as [`Manifest::parse`] tells them.
    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError>;

    /// The manifest as it lies in the lowest store: of a sealed vault the clear part, also where it could be opened. A store around another
    /// one passes it on.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    fn manifest_as_is(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.manifest(id)
    }

    /// Begins a vault. Dropping the stage leaves nothing of it.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] if the id is taken by a vault, full or granular, or by a stage; [`StoreError::Failed`].
    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError>;

    /// Begins a vault whose files are stored as they are given, for one that [is sealed](Manifest::sealed) already. A store around another
    /// one passes it on.
    ///
    /// # Errors
    /// As [`stage`](Self::stage).
    fn stage_as_is(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.stage(id)
    }

    /// Begins a vault in one of several places that the store keeps vaults in, by its name; `None` is the usual one, where [`stage`](Self::stage) begins
    /// them. A store around another one passes it on.
    ///
    /// # Errors
    /// As [`stage`](Self::stage); [`StoreError::NoStorage`] where there is none of that name.
    fn stage_in(&self, storage: Option<&str>, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        match storage {
            None => self.stage(id),
            Some(name) => Err(StoreError::NoStorage(name.to_owned())),
        }
    }

    /// Opens a file of a vault, to be read by any number of threads. [`Reader`](crate::Reader) is a
    /// [`Read`](std::io::Read) and [`Seek`](std::io::Seek) over it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such vault, [`StoreError::Damaged`] if the vault has no such file or something else
    /// stands in its place, [`StoreError::Failed`]. A damaged manifest keeps no file from being opened.
    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError>;

    /// Removes a vault for good, damaged or not, with all that was kept about it. Once this has returned it is gone, also after a crash; until
    /// then it is whole or gone.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Failed`]: it is whole or gone.
    fn remove(&self, id: &VaultId) -> Result<(), StoreError>;

    /// The bytes that a vault takes: those of its files, and what the store likes to count of its own. A store that packs them, or only
    /// guesses, says what it can (`Subject::sizes_are_estimates` in the suite).
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Failed`].
    fn size(&self, id: &VaultId) -> Result<u64, StoreError>;

    /// Remembers the result of a check, which is [`Serialize`](serde::Serialize) and no bigger than its damage, as durably as the vault, in place of an earlier one. The vault is not changed by it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Failed`]; what was remembered before is still there, or the new one is.
    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError>;

    /// The last result that was remembered; `None` also where it cannot be read any more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Failed`].
    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError>;

    /// A note that was kept under this name; `None` if none was.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a few bytes beside the vaults, in place of what was kept under this name before: what everybody who opens this place must know, such
    /// as when the history of the ensemble was broken off. Names that are ids are not used. It names no znode: a store that seals vaults leaves notes
    /// as they are.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; what was kept before is still there, or the new one is.
    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError>;
}

/// A vault that is being written. Several of its files may be written at a time, by different threads.
pub trait Stage: Send {
    /// Begins a file.
    ///
    /// # Errors
    /// [`StoreError::FileExists`] if the name was used in this stage, whatever became of the file: the stage and that file are as they were;
    /// [`StoreError::Failed`].
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError>;

    /// Makes the vault visible and durable, all at once.
    ///
    /// The manifest must be the stage's: it has its id, and names exactly the files that were finished, each once and with its
    /// size. What their frames say is not looked at, as reading is what finds damage.
    ///
    /// # Errors
    /// [`StoreError::Unfinished`] if a file was begun and [`VaultFile::finish`] has not succeeded, [`StoreError::WrongManifest`],
    /// [`StoreError::AlreadyExists`] if somebody put a vault there behind the store's back, [`StoreError::Failed`]. Nothing is
    /// left of the vault then, and its id can be staged anew.
    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError>;

    /// Writes a whole file, and says what its entry in the manifest is: one frame.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`VaultFile::finish`].
    fn put(&mut self, name: &FileName, bytes: &[u8]) -> Result<FileEntry, StoreError> {
        let mut file = self.create(name)?;
        file.write_all(bytes)
            .map_err(|error| StoreError::io(name, error))?;
        file.finish()?;
        Ok(FileEntry::whole(name, bytes))
    }
}

/// A file of a stage. It is written from the beginning to the end, in pieces of any length; what was written may be sent at once, or kept
/// until there is enough.
///
/// Dropping it gives it up: the commit of its stage fails.
pub trait VaultFile: Write + Send {
    /// Ends the file. All of it is kept durably when this returns: a failure of what was written earlier comes out here at the latest.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; the file is not finished then. Where its stage is gone it comes to nothing, with or without an error.
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// A file of a committed vault that is open for reading, by any number of threads at once.
///
/// It stays open after the store was dropped. If its vault is removed, it reads what was there, or fails, also
/// where the id is given to another vault.
pub trait VaultRead: Send + Sync {
    /// Its length in bytes when it was opened.
    fn size(&self) -> u64;

    /// Reads bytes from `offset` on into the beginning of `bytes`, and says how many: as many as fit and are there, or fewer. 0 means
    /// that nothing is there, at the end and anywhere behind it, or that there is no room in `bytes`.
    ///
    /// Each call may be a request over a network: ask for much at once, or let [`Reader`](crate::Reader) do it.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; [`StoreError::Damaged`] or [`StoreError::NotFound`] if it is not there any more.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError>;

    /// Whether asking for little takes about as long as asking for much: a request over a network, or one that opens a whole chunk.
    /// [`Reader`](crate::Reader) reads such a file ahead, and keeps more of it.
    fn is_far(&self) -> bool {
        true
    }
}
