//! Why a job failed, and what came of it all the same.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use zk_snapshot::restore::RestoreError;

use super::result::JobResult;
use crate::EngineError;

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Client(#[from] zk_snapshot::tree::ClientError),
    #[error(transparent)]
    Capture(#[from] zk_snapshot::capture::CaptureError),
    #[error(transparent)]
    Archive(#[from] zk_snapshot::archive::ArchiveError),
    #[error(transparent)]
    NotPermitted(#[from] zk_snapshot::restore::NotPermitted),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Store(#[from] vault_store::StoreError),
    #[error(transparent)]
    Id(#[from] vault_store::IdError),
    #[error(transparent)]
    FileName(#[from] vault_store::NameError),
    /// A request, as it was stored, cannot be read.
    #[error(transparent)]
    Request(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Work on another thread ended without an outcome.
    #[error(transparent)]
    Ended(#[from] tokio::task::JoinError),
    /// It was told to end early.
    #[error(transparent)]
    Stopped(#[from] super::stop::Stopped),
    /// In words.
    #[error("{0}")]
    Said(String),
}

impl From<String> for Cause {
    fn from(words: String) -> Self {
        Self::Said(words)
    }
}

impl From<&str> for Cause {
    fn from(words: &str) -> Self {
        Self::Said(words.to_owned())
    }
}

impl Cause {
    /// Whether nothing was wrong: it was told to end early, or might not write any more.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(
            self,
            Self::Stopped(_) | Self::NotPermitted(_) | Self::Restore(RestoreError::Stopped { .. })
        )
    }
}

/// A cause, and what came of the job before it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) result: JobResult,
}

impl<E: Into<Cause>> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self {
            cause: cause.into(),
            result: JobResult::Nothing,
        }
    }
}

/// What comes of `work`. A panic in it is a failure as others are, told and counted like them.
pub(super) async fn caught<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|panic| Err(panicked(&*panic).into()))
}

/// What is said of work that panicked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the job ended abnormally: {}", said.unwrap_or("it panicked"))
}
