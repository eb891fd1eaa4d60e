//! Where the state that ZooKeeper itself keeps comes from: the sources of transactional backups.

mod admin;
mod agent;

use async_trait::async_trait;
use zk_snapshot::{DataDirs, Gathered, gather};

use crate::Ensemble;

pub use admin::AdminSource;
pub use agent::AgentSource;

/// Something that the state of an ensemble can be had from, as its servers keep it.
#[async_trait]
pub trait StateSource: Send + Sync {
    /// A word for it, such as `files`.
    fn name(&self) -> &'static str;

    /// The newest state that it has.
    ///
    /// # Errors
    /// Why there is none, in plain words.
    async fn gather(&self, ensemble: &dyn Ensemble) -> Result<Gathered, String>;
}

/// The data directory of one server, which is read while the server runs.
///
/// What was logged after the newest zxid that any server of the ensemble tells (`srvr`) is not taken: it may not
/// have been committed.
#[derive(Debug, Clone)]
pub struct FilesSource(pub DataDirs);

#[async_trait]
impl StateSource for FilesSource {
    fn name(&self) -> &'static str {
        "files"
    }

    async fn gather(&self, ensemble: &dyn Ensemble) -> Result<Gathered, String> {
        let committed = ensemble.committed_zxid().await;
        let dirs = self.0.clone();
        tokio::task::spawn_blocking(move || gather(&dirs, committed))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())
    }
}
