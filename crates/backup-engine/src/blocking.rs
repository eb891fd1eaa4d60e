//! Work that blocks, on tokio's threads for it.

use crate::EngineError;

/// Does `work` where it may block.
///
/// # Errors
/// Its own; [`EngineError::Internal`] where it panicked, or the runtime ends.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(EngineError::Internal(error.into())))
}
