//! Work that blocks, on tokio's threads for it.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::EngineError;

/// Does `work` on a thread of its own, and waits for it no longer than `patience`.
pub(crate) fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tell, told) = mpsc::sync_channel(1);
    thread::spawn(move || {
        // Whoever asked may have stopped waiting.
        let _ = tell.send(work());
    });
    told.recv_timeout(patience).ok()
}

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
