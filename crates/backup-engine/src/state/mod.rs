//! Where the state that ZooKeeper itself keeps comes from: the sources of transactional backups.

mod admin;
mod agent;

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use zk_snapshot::{DataDirs, Gathered, gather};

use crate::Ensemble;

pub use admin::AdminSource;
pub use agent::AgentSource;

/// How long an ensemble may take to tell that it has committed what one of its servers shows.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

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
        let gathered = tokio::task::spawn_blocking(move || gather(&dirs, committed))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        confirmed(gathered, committed, ensemble).await
    }
}

/// What a snapshot shows beyond what was known to be committed, the ensemble must soon be known to have committed as
/// well. Another ensemble's files are found by that, and those of a time that it has forgotten.
async fn confirmed(
    gathered: Gathered,
    committed: Option<i64>,
    ensemble: &dyn Ensemble,
) -> Result<Gathered, String> {
    let (zxid, patience) = (gathered.tree.zxid(), Instant::now() + PATIENCE);
    let mut known = committed;
    while known.is_some_and(|known| known < zxid) || known.is_none() && committed.is_some() {
        if Instant::now() > patience {
            let known = known.map_or("does not answer any more".to_owned(), |known| {
                format!("has only come to 0x{known:x}")
            });
            return Err(format!(
                "{} shows changes up to 0x{zxid:x}, and the ensemble {known}: are these its files?",
                gathered.report.snapshot
            ));
        }
        sleep(LOOK).await;
        known = ensemble.committed_zxid().await;
    }
    Ok(gathered)
}
