use std::io::{Read, Seek, Write};

use crate::{Manifest, StoreError, VaultId, Verification};

/// A file that is open for reading.
pub trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// A place for vaults. Every call blocks; call it where that is fine.
///
/// - A vault becomes visible by [`Stage::commit`], whole and durable, or not at all. It never changes afterwards.
/// - A vault that [`remove`](Self::remove) has returned for is gone, also after a crash; one that is being
///   removed is either still whole or gone.
/// - An id only ever names a vault: nothing else can be reached through it.
/// - Calls may come from many threads. Keeping a vault from being removed while it is read is the caller's part.
pub trait VaultStore: Send + Sync {
    /// The ids of all committed vaults, full and granular, oldest first. Damaged ones are among them.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn ids(&self) -> Result<Vec<VaultId>, StoreError>;

    /// The manifest of a vault, checked against its checksum.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Damaged`], [`StoreError::Unsupported`], [`StoreError::Io`].
    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError>;

    /// Begins a vault. Dropping the stage leaves nothing of it.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] if the id is taken by a vault or a stage; [`StoreError::Io`].
    fn stage(&self, id: &VaultId, granular: bool) -> Result<Box<dyn Stage>, StoreError>;

    /// Opens a file of a vault.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such vault, [`StoreError::Damaged`] if the file is missing or
    /// something else stands in its place, [`StoreError::InvalidName`], [`StoreError::Io`].
    fn open(&self, id: &VaultId, file: &str) -> Result<Box<dyn ReadSeek>, StoreError>;

    /// Removes a vault for good, damaged or not.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Io`].
    fn remove(&self, id: &VaultId) -> Result<(), StoreError>;

    /// The bytes that a vault takes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Io`].
    fn size(&self, id: &VaultId) -> Result<u64, StoreError>;

    /// Remembers the result of a check, in place of an earlier one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Io`].
    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError>;

    /// The last result that was remembered.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Io`].
    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError>;
}

/// A vault that is being written.
pub trait Stage: Send {
    /// Begins a file. What is written to it is kept once the vault is committed.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if the name is not plain, is one of the store's own or was used before;
    /// [`StoreError::Io`].
    fn create(&mut self, name: &str) -> Result<Box<dyn Write + Send>, StoreError>;

    /// Makes the vault visible and durable. Call it when all its files are written and dropped.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::Io`]; nothing is left of the vault then.
    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError>;
}
