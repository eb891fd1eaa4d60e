//! A prefix of an object store: its keys, and requests that block.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use super::failures::{is_missing, store_error};
use crate::{FileName, StoreError, VaultId};

/// The threads make requests and hash what they send.
const THREADS: usize = 2;
/// What is read whole has no more bytes: notes, and what was recorded of vaults.
const LARGEST: u64 = 64 << 20;
/// What is dropped waits so long for its remains to be cleared away.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// So many objects are deleted at a time.
const DELETIONS: usize = 16;

pub(super) struct Place {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    threads: Threads,
}

/// They end without being waited for: also where a runtime's own threads drop them, which may not wait.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Work that was begun, and is given up when this is dropped.
pub(super) struct Pending<T> {
    answer: mpsc::Receiver<Result<T, StoreError>>,
    task: Option<AbortHandle>,
}

impl<T> Pending<T> {
    pub(super) fn wait(self) -> Result<T, StoreError> {
        self.answer.recv().map_err(no_threads)?
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn no_threads(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::failed("the threads of the object store", false, source)
}

impl Place {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, prefix: Path) -> Result<Self, StoreError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("objects")
            .enable_all()
            .build()
            .map_err(no_threads)?;
        Ok(Self {
            objects,
            prefix,
            threads: Threads(Some(runtime)),
        })
    }

    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    /// Begins `work`.
    pub(super) fn start<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let (tell, answer) = mpsc::sync_channel(1);
        let Threads(Some(runtime)) = &self.threads else {
            return Err(no_threads("they have ended"));
        };
        let task = runtime.spawn(async move {
            // Whoever asked may have stopped waiting.
            let _ = tell.send(work.await);
        });
        let task = Some(task.abort_handle());
        Ok(Pending { answer, task })
    }

    /// Waits for `work`, which goes on if it is not done `within` that time.
    pub(super) fn wait_at_most<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut pending = self.start(work)?;
        pending.task = None;
        pending.answer.recv_timeout(within).map_err(no_threads)?
    }

    /// Waits for `work`. Each request has a deadline of its own.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.start(work)?.wait()
    }

    fn below(&self, folder: &str) -> Path {
        self.prefix.clone().join(folder)
    }

    pub(super) fn manifest(&self, id: &VaultId) -> Path {
        self.below("manifests").join(format!("{id}.json"))
    }

    pub(super) fn note(&self, name: &FileName) -> Path {
        self.below("notes").join(name.as_str())
    }

    /// An object that is written to see what the place refuses.
    pub(super) fn probe(&self) -> Path {
        self.below("probe")
    }

    /// Below which the files of all stages are.
    pub(super) fn stages(&self) -> Path {
        self.below("vaults")
    }

    /// Below which the stages of an id are.
    pub(super) fn stages_of(&self, id: &VaultId) -> Path {
        self.stages().join(id.as_str())
    }

    pub(super) fn stage(&self, id: &VaultId, stage: &str) -> Path {
        self.stages_of(id).join(stage)
    }

    pub(super) fn file(&self, id: &VaultId, stage: &str, name: &str) -> Path {
        self.stage(id, stage).join(name)
    }

    /// The manifests that there are.
    pub(super) async fn manifests(&self) -> Result<BTreeMap<VaultId, ObjectMeta>, StoreError> {
        let folder = self.below("manifests");
        let mut list = self.objects.list(Some(&folder));
        let mut there = BTreeMap::new();
        while let Some(meta) = list.next().await {
            let meta = meta.map_err(|error| store_error(&folder, &error))?;
            let name = meta
                .location
                .filename()
                .and_then(|name| name.strip_suffix(".json"));
            if let Some(id) = name.and_then(|name| name.parse().ok()) {
                there.insert(id, meta);
            }
        }
        Ok(there)
    }

    pub(super) fn first_of_manifests(&self) -> Result<(), StoreError> {
        let (objects, folder) = (self.objects(), self.below("manifests"));
        self.wait(async move {
            match objects.list(Some(&folder)).next().await {
                Some(Err(error)) => Err(store_error(&folder, &error)),
                Some(Ok(_)) | None => Ok(()),
            }
        })
    }

    pub(super) fn put(&self, key: Path, bytes: Vec<u8>) -> Result<(), StoreError> {
        let objects = self.objects();
        self.wait(async move {
            let put = objects.put(&key, bytes.into()).await;
            put.map(drop).map_err(|error| store_error(&key, &error))
        })
    }

    /// The bytes of an object; `None` if there is none. One of more than 64 MiB is none of ours, and is not read.
    pub(super) fn get(&self, key: Path) -> Result<Option<bytes::Bytes>, StoreError> {
        let objects = self.objects();
        self.wait(async move {
            let bytes = async {
                let found = objects.get(&key).await?;
                match found.meta.size {
                    0..=LARGEST => found.bytes().await.map(Ok),
                    bytes => Ok(Err(bytes)),
                }
            };
            let bytes = match bytes.await {
                Ok(Err(bytes)) => {
                    let what = format!("it has {bytes} bytes, and {LARGEST} are read");
                    return Err(StoreError::failed(&key, false, what));
                }
                Ok(Ok(bytes)) => Ok(bytes),
                Err(error) => Err(error),
            };
            match bytes {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if is_missing(&error) => Ok(None),
                Err(error) => Err(store_error(&key, &error)),
            }
        })
    }

    pub(super) fn bytes_below(&self, prefix: Path) -> Result<u64, StoreError> {
        let objects = self.objects();
        self.wait(async move {
            let list = objects.list(Some(&prefix));
            let sum = list.try_fold(0, async |sum, meta| Ok(sum + meta.size)).await;
            sum.map_err(|error| store_error(&prefix, &error))
        })
    }
}

/// Deletes all objects below `prefix`, as far as it goes; the first failure is told.
pub(super) async fn delete_below(objects: &dyn ObjectStore, prefix: &Path) -> object_store::Result<()> {
    let found: Vec<_> = objects.list(Some(prefix)).try_collect().await?;
    let deletions = found.into_iter().map(|meta| async move {
        match objects.delete(&meta.location).await {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(()),
        }
    });
    let outcomes: Vec<_> = futures::stream::iter(deletions)
        .buffer_unordered(DELETIONS)
        .collect()
        .await;
    outcomes.into_iter().collect()
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} below {:?}", self.objects, self.prefix.as_ref())
    }
}

pub(super) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
