//! A store that fails when it is told to, for the tests of whoever keeps vaults.

use std::io::{self, Write};
use std::sync::Arc;

use crate::faults::{Faults, Turn, VaultFault};
use crate::{FileName, Manifest, Stage, StoreError, VaultFile, VaultId, VaultRead, VaultStore, Verification};

/// A call to a [`VaultStore`], to a [`Stage`] of it, or to a file of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultCall {
    /// [`VaultStore::ids`].
    Ids,
    /// [`VaultStore::manifest`].
    Manifest,
    /// [`VaultStore::stage`].
    Stage,
    /// [`VaultStore::open`].
    Open,
    /// [`VaultRead::read_at`].
    ReadAt,
    /// [`VaultStore::remove`].
    Remove,
    /// [`VaultStore::size`].
    Size,
    /// [`VaultStore::record_verification`].
    RecordVerification,
    /// [`VaultStore::verification`].
    Verification,
    /// [`VaultStore::note`].
    Note,
    /// [`VaultStore::keep_note`].
    KeepNote,
    /// [`Stage::create`].
    Create,
    /// A write to a file of a stage.
    Write,
    /// [`VaultFile::finish`].
    Finish,
    /// [`Stage::commit`].
    Commit,
}

/// A store of which calls fail that were named beforehand, and the others go through. Clones share everything.
///
/// ```
/// use std::sync::Arc;
/// use vault_store::{FaultyVaults, MemoryStore, VaultCall, VaultFault, VaultStore};
///
/// let vaults = FaultyVaults::new(Arc::new(MemoryStore::new()));
/// vaults.plan(VaultCall::Ids, 2, VaultFault::Fail);
/// assert!(vaults.ids().is_ok() && vaults.ids().is_err() && vaults.ids().is_ok());
/// ```
#[derive(Clone)]
pub struct FaultyVaults {
    store: Arc<dyn VaultStore>,
    faults: Faults<VaultCall>,
}

impl FaultyVaults {
    /// A store over `store` in which nothing fails yet.
    #[must_use]
    pub fn new(store: Arc<dyn VaultStore>) -> Self {
        Self {
            store,
            faults: Faults::new(),
        }
    }

    /// Has the `nth` call of this kind from now on, counted from 1, meet `fault`; without a kind the `nth` of all.
    pub fn plan(&self, call: impl Into<Option<VaultCall>>, nth: usize, fault: VaultFault) {
        self.faults.plan(call.into(), nth, fault);
    }

    /// How many planned faults have not come up yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.faults.left()
    }

    /// Has every call fail from now on, also one that is delayed: whoever makes them does not reach the store any more.
    pub fn cut(&self) {
        self.faults.cut();
    }

    fn through<T, E: From<Planned>>(
        &self,
        call: VaultCall,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        match self.faults.turn(&call) {
            Turn::Fail => Err(Planned(call).into()),
            Turn::Go => work(),
            Turn::LoseAnswer => match work() {
                Ok(_) => Err(Planned(call).into()),
                failed => failed,
            },
        }
    }
}

/// The failure of a call.
struct Planned(VaultCall);

impl From<Planned> for io::Error {
    fn from(Planned(call): Planned) -> Self {
        Self::other(format!("{call:?} was to fail"))
    }
}

impl From<Planned> for StoreError {
    fn from(planned: Planned) -> Self {
        Self::io("faulty", planned.into())
    }
}

impl VaultStore for FaultyVaults {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        self.through(VaultCall::Ids, || self.store.ids())
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.through(VaultCall::Manifest, || self.store.manifest(id))
    }

    fn manifest_as_is(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.through(VaultCall::Manifest, || self.store.manifest_as_is(id))
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        let stage = self.through(VaultCall::Stage, || self.store.stage(id))?;
        let faults = self.clone();
        Ok(Box::new(FaultyStage { stage, faults }))
    }

    fn stage_as_is(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        let stage = self.through(VaultCall::Stage, || self.store.stage_as_is(id))?;
        let faults = self.clone();
        Ok(Box::new(FaultyStage { stage, faults }))
    }

    fn stage_in(&self, storage: Option<&str>, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        let stage = self.through(VaultCall::Stage, || self.store.stage_in(storage, id))?;
        let faults = self.clone();
        Ok(Box::new(FaultyStage { stage, faults }))
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        let open = self.through(VaultCall::Open, || self.store.open(id, file))?;
        let faults = self.clone();
        Ok(Arc::new(FaultyRead { open, faults }))
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.through(VaultCall::Remove, || self.store.remove(id))
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.through(VaultCall::Size, || self.store.size(id))
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        self.through(VaultCall::RecordVerification, || {
            self.store.record_verification(id, result)
        })
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        self.through(VaultCall::Verification, || self.store.verification(id))
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.through(VaultCall::Note, || self.store.note(name))
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.through(VaultCall::KeepNote, || self.store.keep_note(name, bytes))
    }
}

struct FaultyStage {
    stage: Box<dyn Stage>,
    faults: FaultyVaults,
}

impl Stage for FaultyStage {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        let file = self
            .faults
            .through(VaultCall::Create, || self.stage.create(name))?;
        let faults = self.faults.clone();
        Ok(Box::new(FaultyFile { file, faults }))
    }

    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        let Self { stage, faults } = *self;
        faults.through(VaultCall::Commit, || stage.commit(manifest))
    }
}

struct FaultyRead {
    open: Arc<dyn VaultRead>,
    faults: FaultyVaults,
}

impl VaultRead for FaultyRead {
    fn size(&self) -> u64 {
        self.open.size()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        self.faults
            .through(VaultCall::ReadAt, || self.open.read_at(offset, bytes))
    }
}

struct FaultyFile {
    file: Box<dyn VaultFile>,
    faults: FaultyVaults,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.faults.through(VaultCall::Write, || self.file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl VaultFile for FaultyFile {
    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let Self { file, faults } = *self;
        faults.through(VaultCall::Finish, || file.finish())
    }
}

impl std::fmt::Debug for VaultFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fail => "Fail",
            Self::LoseAnswer => "LoseAnswer",
            Self::Delay(_) => "Delay",
        })
    }
}

impl std::fmt::Debug for FaultyVaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyVaults").finish_non_exhaustive()
    }
}
