//! Something that the state of an ensemble can be had from, and whether it is this ensemble's.

use async_trait::async_trait;
use zk_snapshot::files::{GatherError, Gathered};
use zk_snapshot::tree::ClientError;

use crate::ensemble::traits::Ensemble;

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
            Self::Client(error) => error.may_pass(),
            Self::Files(error) => error.may_pass(),
            Self::Unavailable(_) => true,
            Self::Foreign(_) => false,
        }
    }
}

/// [`StateError::Unavailable`], in these words.
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
