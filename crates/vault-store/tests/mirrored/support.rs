//! Two stores in memory that fail when they are told to, and a store whose vaults are copied at once.

use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{
    CopiedNote, FaultyVaults, FileEntry, FileName, Manifest, MemoryStore, MirroredStore, Mode, Outcome,
    Stage, StoreError, VaultFile, VaultId, VaultRead, VaultStore, Verification,
};

pub(crate) const ARCHIVE: FileName = FileName::from_static("archive.zst");
pub(crate) const NOTE: FileName = FileName::from_static("pins");

/// One whose lines are put together.
fn note() -> CopiedNote {
    CopiedNote {
        name: NOTE,
        merge: |first, second| Some([first, b"+", second].concat()),
        is_sound: |note| !note.starts_with(b"{"),
    }
}

pub(crate) fn id() -> VaultId {
    "20261123T140000".parse().unwrap()
}

pub(crate) fn now() -> OffsetDateTime {
    id().time() + time::Duration::DAY
}

/// A first and a second store, and what is around them; each can be opened anew.
pub(crate) struct Pair {
    pub(crate) first: MemoryStore,
    pub(crate) second: MemoryStore,
    pub(crate) to_first: FaultyVaults,
    pub(crate) to_second: FaultyVaults,
    pub(crate) store: MirroredStore,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::over(MemoryStore::new(), MemoryStore::new())
    }

    /// A new process over these.
    pub(crate) fn over(first: MemoryStore, second: MemoryStore) -> Self {
        let to_first = FaultyVaults::new(Arc::new(first.clone()));
        let to_second = FaultyVaults::new(Arc::new(second.clone()));
        let (a, b) = (Arc::new(to_first.clone()), Arc::new(to_second.clone()));
        Self {
            store: MirroredStore::new(a, b, [note()]),
            first,
            second,
            to_first,
            to_second,
        }
    }

    /// A new process over the same places.
    pub(crate) fn reopened(&self) -> Self {
        Self::over(self.first.clone(), self.second.clone())
    }

    /// One with a vault, which is copied.
    pub(crate) fn copied(bytes: &[u8]) -> Self {
        let pair = Self::new();
        put(&pair.store, &id(), bytes).unwrap();
        pair.copy().unwrap();
        pair
    }

    /// All that is done beside the rest: lists, removes and copies.
    pub(crate) fn copy(&self) -> Result<(), StoreError> {
        copy(&self.store)
    }
}

fn copy(store: &MirroredStore) -> Result<(), StoreError> {
    let listed = store.refresh();
    store.mark()?;
    listed?;
    store.copy_notes()?;
    store.remove_evicted(now())?;
    for id in store.lacking()? {
        store.copy(&id, &mut |_| true)?;
    }
    Ok(())
}

/// A vault of one file, of frames of four bytes.
pub(crate) fn put(store: &dyn VaultStore, id: &VaultId, bytes: &[u8]) -> Result<Manifest, StoreError> {
    let mut stage = store.stage(id)?;
    let manifest = Manifest {
        files: vec![framed(&mut *stage, bytes)?],
        ..Manifest::new(id, Mode::Hierarchical, id.time(), Outcome::Complete)
    };
    stage.commit(&manifest)?;
    Ok(manifest)
}

fn framed(stage: &mut dyn Stage, bytes: &[u8]) -> Result<FileEntry, StoreError> {
    let whole = stage.put(&ARCHIVE, bytes)?;
    let frames = bytes.chunks(4).enumerate().map(|(index, piece)| {
        let mut frame = FileEntry::whole(&ARCHIVE, piece).frames.remove(0);
        frame.offset = index as u64 * 4;
        frame
    });
    Ok(FileEntry {
        frames: frames.collect(),
        ..whole
    })
}

/// Puts other bytes into the file of a vault, whose manifest stays.
pub(crate) fn damage(store: &MemoryStore, bytes: &[u8]) {
    let manifest = store.manifest(&id()).unwrap();
    store.remove(&id()).unwrap();
    let mut stage = store.stage(&id()).unwrap();
    stage.put(&ARCHIVE, bytes).unwrap();
    stage.commit(&manifest).unwrap();
}

pub(crate) fn read(store: &dyn VaultStore) -> Result<Vec<u8>, StoreError> {
    let open = store.open(&id(), &ARCHIVE)?;
    let mut bytes = vec![0; usize::try_from(open.size()).unwrap()];
    let mut filled = 0;
    while filled < bytes.len() {
        match open.read_at(filled as u64, &mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// A mirrored store whose vaults are copied when they are committed, and whose copies are removed with them.
#[derive(Clone)]
pub(crate) struct Eager(MirroredStore);

impl Eager {
    pub(crate) fn new(store: MirroredStore) -> Self {
        copy(&store).unwrap();
        Self(store)
    }

    /// What cannot be copied, as it is of a later version or not what its frames say, stays without a copy.
    fn copy(&self) {
        let _ = copy(&self.0);
    }
}

struct EagerStage(Box<dyn Stage>, Eager);

impl Stage for EagerStage {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        self.0.create(name)
    }

    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        self.0.commit(manifest)?;
        self.1.copy();
        Ok(())
    }
}

impl VaultStore for Eager {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        self.0.ids()
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.0.manifest(id)
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        Ok(Box::new(EagerStage(self.0.stage(id)?, self.clone())))
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        self.0.open(id, file)
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.0.remove(id)?;
        self.copy();
        Ok(())
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.0.size(id)
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        self.0.record_verification(id, result)
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        self.0.verification(id)
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.note(name)
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.keep_note(name, bytes)
    }
}
