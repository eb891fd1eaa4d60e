//! Something that the state of an ensemble can be had from, and whether it is this ensemble's.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use zk_snapshot::files::Gathered;

use crate::ensemble::traits::Ensemble;

/// How long an ensemble may take to tell that it has committed what one of its servers shows.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

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

/// What a snapshot shows beyond what was known to be committed, the ensemble must soon be known to have committed as
/// well. Another ensemble's files are found by that, and those of a time that it has forgotten.
pub(super) async fn confirmed(
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
        sleep(POLL_INTERVAL).await;
        known = ensemble.committed_zxid().await;
    }
    Ok(gathered)
}
