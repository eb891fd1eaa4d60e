//! Something that the state of an ensemble can be had from, and whether it is this ensemble's.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use zk_snapshot::files::{GatherError, Gathered};
use zk_snapshot::tree::ClientError;

use crate::ensemble::traits::Ensemble;

/// How long an ensemble may take to tell that it has committed what one of its servers shows.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Why a source has no state to give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The ensemble could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The files that were read make no state.
    #[error(transparent)]
    Files(#[from] GatherError),
    /// What was read is another ensemble's.
    #[error("{0}")]
    Foreign(String),
    /// It could not be reached, or gave something else than a state.
    #[error("{0}")]
    Unavailable(String),
}

impl StateError {
    /// Whether the source may have a state later, without anything being done about it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Client(_) | Self::Unavailable(_) => true,
            Self::Files(_) | Self::Foreign(_) => false,
        }
    }
}

impl From<String> for StateError {
    fn from(why: String) -> Self {
        Self::Unavailable(why)
    }
}

/// Something that the state of an ensemble can be had from, as its servers keep it.
#[async_trait]
pub trait StateSource: Send + Sync {
    /// A word for it, such as `files`.
    fn name(&self) -> &'static str;

    /// The newest state that it has.
    ///
    /// # Errors
    /// [`StateError`]: why there is none.
    async fn gather(&self, ensemble: &dyn Ensemble) -> Result<Gathered, StateError>;
}

/// What a snapshot shows beyond what was known to be committed, the ensemble must soon be known to have committed as
/// well. Another ensemble's files are found by that, and those of a time that it has forgotten.
pub(super) async fn confirmed(
    gathered: Gathered,
    committed: Option<i64>,
    ensemble: &dyn Ensemble,
) -> Result<Gathered, StateError> {
    let (zxid, patience) = (gathered.tree.zxid(), Instant::now() + PATIENCE);
    let mut known = committed;
    while known.is_some_and(|known| known < zxid) || known.is_none() && committed.is_some() {
        if Instant::now() > patience {
            let known = known.map_or("does not answer any more".to_owned(), |known| {
                format!("has only come to 0x{known:x}")
            });
            return Err(StateError::Foreign(format!(
                "{} shows changes up to 0x{zxid:x}, and the ensemble {known}: are these its files?",
                gathered.report.snapshot
            )));
        }
        sleep(POLL_INTERVAL).await;
        known = ensemble.committed_zxid().await;
    }
    Ok(gathered)
}
