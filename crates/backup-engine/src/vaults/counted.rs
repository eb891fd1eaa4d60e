//! A store around a store that counts what the inner one is asked.

use std::io::{self, Write};
use std::sync::Arc;

use health_metrics::Metrics;
use vault_store::{
    FileName, Manifest, Stage, StoreError, VaultFile, VaultId, VaultRead, VaultStore, Verification,
};

/// What calls are counted as, in the order of the traits.
const CALLS: [&str; 15] = [
    "ids",
    "manifest",
    "stage",
    "open",
    "remove",
    "size",
    "record_verification",
    "verification",
    "note",
    "keep_note",
    "create",
    "commit",
    "write",
    "finish",
    "read",
];

/// Counts each call to a store, to a stage of it, and to a file of either.
pub(crate) struct CountedVaults {
    store: Arc<dyn VaultStore>,
    counts: Counts,
}

#[derive(Clone)]
struct Counts(Arc<Metrics>);

impl CountedVaults {
    pub(crate) fn new(store: Arc<dyn VaultStore>, metrics: &Arc<Metrics>) -> Self {
        metrics.expect_storage_calls(&CALLS);
        let counts = Counts(Arc::clone(metrics));
        Self { store, counts }
    }

    fn stage(&self, begun: Result<Box<dyn Stage>, StoreError>) -> Result<Box<dyn Stage>, StoreError> {
        let (stage, counts) = (self.counts.note("stage", begun)?, self.counts.clone());
        Ok(Box::new(CountedStage { stage, counts }))
    }
}

impl Counts {
    fn note<T>(&self, call: &str, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        let failed = matches!(
            answer,
            Err(StoreError::Failed { .. } | StoreError::Damaged { .. } | StoreError::Moved(_))
        );
        self.0.storage_called(call, failed);
        answer
    }
}

impl VaultStore for CountedVaults {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        self.counts.note("ids", self.store.ids())
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.counts.note("manifest", self.store.manifest(id))
    }

    fn manifest_as_is(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.counts.note("manifest", self.store.manifest_as_is(id))
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.stage(self.store.stage(id))
    }

    fn stage_as_is(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.stage(self.store.stage_as_is(id))
    }

    fn stage_in(&self, storage: Option<&str>, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.stage(self.store.stage_in(storage, id))
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        let open = self.counts.note("open", self.store.open(id, file))?;
        let counts = self.counts.clone();
        Ok(Arc::new(CountedRead { open, counts }))
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.counts.note("remove", self.store.remove(id))
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.counts.note("size", self.store.size(id))
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        let recorded = self.store.record_verification(id, result);
        self.counts.note("record_verification", recorded)
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        self.counts.note("verification", self.store.verification(id))
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.counts.note("note", self.store.note(name))
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.counts.note("keep_note", self.store.keep_note(name, bytes))
    }
}

struct CountedStage {
    stage: Box<dyn Stage>,
    counts: Counts,
}

impl Stage for CountedStage {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        let file = self.counts.note("create", self.stage.create(name))?;
        let counts = self.counts.clone();
        Ok(Box::new(CountedFile { file, counts }))
    }

    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        self.counts.note("commit", self.stage.commit(manifest))
    }
}

struct CountedFile {
    file: Box<dyn VaultFile>,
    counts: Counts,
}

impl Write for CountedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        let interrupted = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
            )
        };
        let failed = written.as_ref().is_err_and(|error| !interrupted(error));
        self.counts.0.storage_called("write", failed);
        self.counts
            .0
            .storage_written(written.as_ref().copied().unwrap_or_default());
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl VaultFile for CountedFile {
    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.counts.note("finish", self.file.finish())
    }
}

struct CountedRead {
    open: Arc<dyn VaultRead>,
    counts: Counts,
}

impl VaultRead for CountedRead {
    fn size(&self) -> u64 {
        self.open.size()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        let read = self.counts.note("read", self.open.read_at(offset, bytes))?;
        self.counts.0.storage_read(read);
        Ok(read)
    }

    fn is_far(&self) -> bool {
        self.open.is_far()
    }
}

#[cfg(test)]
mod tests {
    use health_metrics::{Health, Storage};
    use vault_store::conformance::Subject;
    use vault_store::{FaultyVaults, MemoryStore, VaultCall, VaultFault};

    use super::*;

    mod rules {
        use super::*;

        fn counted() -> CountedVaults {
            let metrics = Arc::new(Metrics::new().unwrap());
            CountedVaults::new(Arc::new(MemoryStore::new()), &metrics)
        }

        vault_store::conformance_tests!(Subject::new(counted).not_durable());
    }

    #[test]
    fn what_fails_is_counted_and_what_is_not_there_is_no_failure() {
        let faulty = FaultyVaults::new(Arc::new(MemoryStore::new()));
        let metrics = Arc::new(Metrics::new().unwrap());
        let store = CountedVaults::new(Arc::new(faulty.clone()), &metrics);
        let id: VaultId = "20261123T140000".parse().unwrap();
        let mut stage = VaultStore::stage(&store, &id).unwrap();
        stage.put(&"archive".parse().unwrap(), b"znodes").unwrap();
        assert!(store.manifest(&id).is_err(), "it is not committed");
        faulty.plan(VaultCall::Ids, 1, VaultFault::Fail);
        assert!(store.ids().is_err() && store.ids().is_ok());
        let text = metrics.render(&Health::new(Storage::default())).unwrap();
        for line in [
            "zk_backup_storage_operations_total{op=\"ids\"} 2",
            "zk_backup_storage_errors_total{op=\"ids\"} 1",
            "zk_backup_storage_operations_total{op=\"manifest\"} 1",
            "zk_backup_storage_errors_total{op=\"manifest\"} 0",
            "zk_backup_storage_bytes_total{op=\"write\"} 6",
            "zk_backup_storage_operations_total{op=\"remove\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}
