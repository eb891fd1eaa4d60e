//! What the vaults of an engine are put together from.

use std::sync::Arc;

use job_queue::JobStore;
use vault_store::{FsStore, NamedVaults, VaultStore};

use super::SecondCopy;
use crate::leadership::Leadership;

/// What is put around a store: it opens seals, for example.
pub(crate) type AroundVaults = Arc<dyn Fn(Arc<dyn VaultStore>) -> Arc<dyn VaultStore> + Send + Sync>;

/// What is handed to [`Vaults::new`](super::Vaults::new), whose fields these become.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn VaultStore>,
    pub(crate) jobs: Arc<dyn JobStore>,
    /// Whether each question of the store is a request to another machine.
    pub(crate) is_remote: bool,
    pub(crate) leadership: Option<Arc<dyn Leadership>>,
    pub(crate) place: Option<Arc<FsStore>>,
    pub(crate) around: Option<AroundVaults>,
    pub(crate) storages: Option<NamedVaults>,
    pub(crate) second: Option<Arc<SecondCopy>>,
}
