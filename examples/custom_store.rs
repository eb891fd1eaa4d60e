//! A vault store of one's own: every vault in two places, so that either may be lost. It passes the same
//! conformance suite as the stores that come with the crate.
#![allow(clippy::print_stdout)]

use std::io::{self, Write};

use vault_store::{
    FsStore, Manifest, MemoryStore, ReadSeek, Stage, StoreError, VaultId, VaultStore, Verification,
    conformance,
};

/// Two stores that hold the same vaults. What one cannot read, the other may.
struct Mirror<A, B>(A, B);

struct MirrorStage(Box<dyn Stage>, Box<dyn Stage>);

struct Both(Box<dyn Write + Send>, Box<dyn Write + Send>);

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

impl<A: VaultStore, B: VaultStore> Mirror<A, B> {
    fn either<T>(&self, ask: impl Fn(&dyn VaultStore) -> Result<T, StoreError>) -> Result<T, StoreError> {
        ask(&self.0).or_else(|first| ask(&self.1).map_err(|_| first))
    }

    /// Done in both; a vault that only one of them has is no error.
    fn both(&self, act: impl Fn(&dyn VaultStore) -> Result<(), StoreError>) -> Result<(), StoreError> {
        match (act(&self.0), act(&self.1)) {
            (Ok(()), Ok(()) | Err(StoreError::NotFound(_))) | (Err(StoreError::NotFound(_)), Ok(())) => {
                Ok(())
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

impl<A: VaultStore, B: VaultStore> VaultStore for Mirror<A, B> {
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

    fn stage(&self, id: &VaultId, granular: bool) -> Result<Box<dyn Stage>, StoreError> {
        let first = self.0.stage(id, granular)?;
        Ok(Box::new(MirrorStage(first, self.1.stage(id, granular)?)))
    }

    fn open(&self, id: &VaultId, file: &str) -> Result<Box<dyn ReadSeek>, StoreError> {
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
}

impl Stage for MirrorStage {
    fn create(&mut self, name: &str) -> Result<Box<dyn Write + Send>, StoreError> {
        Ok(Box::new(Both(self.0.create(name)?, self.1.create(name)?)))
    }

    /// If the second place fails, the vault is in the first, whole; taking it again needs a new id.
    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        self.0.commit(manifest)?;
        self.1.commit(manifest)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = tempfile::tempdir()?;
    let turn = std::cell::Cell::new(0_u32);
    conformance::run(|| {
        turn.set(turn.get() + 1);
        let place = |name: &str| root.path().join(format!("{name}-{}", turn.get()));
        #[allow(clippy::expect_used)] // the suite panics at what does not hold
        let open = |name: &str| FsStore::open(place(name)).expect("a new directory");
        Mirror(open("first"), open("second"))
    });
    conformance::run(|| Mirror(MemoryStore::new(), MemoryStore::new()));
    println!("the mirror does what every vault store must do");
    Ok(())
}
