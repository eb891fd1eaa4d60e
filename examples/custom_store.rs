//! A vault store of one's own: every vault in two places, so that either may be lost. It passes the same
//! conformance suite as the stores that come with the crate.
#![allow(clippy::print_stdout)]

use std::io::{self, Write};
use std::sync::Arc;

use vault_store::conformance::{self, Subject};
use vault_store::{
    FileName, FsStore, Manifest, MemoryStore, Stage, StoreError, VaultFile, VaultId, VaultRead, VaultStore,
    Verification,
};

type Store = Arc<dyn VaultStore>;

/// Two stores that hold the same vaults. What one cannot read, the other may.
struct Mirror(Store, Store);

struct MirrorStage {
    stages: (Box<dyn Stage>, Box<dyn Stage>),
    first: Store,
    id: VaultId,
}

struct Both(Box<dyn VaultFile>, Box<dyn VaultFile>);

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}

impl VaultFile for Both {
    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.0.finish()?;
        self.1.finish()
    }
}

impl Mirror {
    fn either<T>(&self, ask: impl Fn(&dyn VaultStore) -> Result<T, StoreError>) -> Result<T, StoreError> {
        ask(&*self.0).or_else(|first| {
            ask(&*self.1).map_err(|second| match first {
                StoreError::NotFound(_) => second,
                first => first,
            })
        })
    }

    /// Done in both; a vault that only one of them has is no error.
    fn both(&self, act: impl Fn(&dyn VaultStore) -> Result<(), StoreError>) -> Result<(), StoreError> {
        match (act(&*self.0), act(&*self.1)) {
            (Ok(()), Ok(()) | Err(StoreError::NotFound(_))) | (Err(StoreError::NotFound(_)), Ok(())) => {
                Ok(())
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

impl VaultStore for Mirror {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        let mut ids = self.0.ids()?;
        ids.extend(self.1.ids()?);
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.either(|store| store.manifest(id))
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        Ok(Box::new(MirrorStage {
            stages: (self.0.stage(id)?, self.1.stage(id)?),
            first: Arc::clone(&self.0),
            id: id.clone(),
        }))
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        self.either(|store| store.open(id, file))
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.both(|store| store.remove(id))
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.either(|store| store.size(id))
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        self.both(|store| store.record_verification(id, result))
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        self.either(|store| store.verification(id))
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.note(name)?.or(self.1.note(name)?))
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.both(|store| store.keep_note(name, bytes))
    }
}

impl Stage for MirrorStage {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        let (first, second) = &mut self.stages;
        Ok(Box::new(Both(first.create(name)?, second.create(name)?)))
    }

    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        let (first, second) = self.stages;
        first.commit(manifest)?;
        second.commit(manifest).or_else(|error| {
            // Nothing is to be left. Where this fails too, the vault is whole in the first place.
            self.first.remove(&self.id)?;
            Err(error)
        })
    }
}

#[allow(clippy::expect_used)] // as the suite, which panics at what does not hold
fn on_disk() -> Subject {
    let root = tempfile::tempdir().expect("a new directory");
    let open = move || {
        let store = |name: &str| FsStore::open(root.path().join(name)).expect("a storage");
        Mirror(Arc::new(store("first")), Arc::new(store("second")))
    };
    Subject::new(open).held_by_stages()
}

fn main() {
    conformance::all(on_disk);
    let in_memory = || Mirror(Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    conformance::all(|| Subject::new(in_memory).not_durable());
    println!("the mirror does what every vault store must do");
}
