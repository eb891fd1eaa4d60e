//! When the second copies of vaults are made: at the start, after each change, and every so often.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use vault_store::StoreError;

use crate::EngineError;
use crate::engine::Engine;
use crate::vaults::SecondCopy;

/// How often it is looked whether something is lacking though nobody has said so.
const EVERY: Duration = Duration::from_mins(5);
/// After a failure it is tried again so soon, and each time later.
const AGAIN: Duration = Duration::from_secs(5);

/// Has a thread end its work when nobody waits for it any more.
struct Stopping(Arc<AtomicBool>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Engine {
    /// Copies what the second store lacks, and removes from it what was evicted; it does nothing without one. [`run`](Self::run) does so by itself.
    ///
    /// # Errors
    /// [`EngineError::Storage`]: the first thing that could not be done; what could be, was.
    pub async fn copy_vaults(&self) -> Result<(), EngineError> {
        match &self.vaults.second {
            None => Ok(()),
            Some(second) => self.copy_to(second).await,
        }
    }

    /// Never ends.
    pub(crate) async fn keep_copying(&self) {
        let Some(second) = &self.vaults.second else {
            return std::future::pending().await;
        };
        let mut pause = AGAIN;
        loop {
            let wait = match self.copy_to(second).await {
                Ok(()) => {
                    pause = AGAIN;
                    EVERY
                }
                Err(error) => {
                    log::warn!("second copies are made later: {error}");
                    let wait = pause;
                    pause = (pause * 2).min(EVERY);
                    wait
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = second.woken() => {}
            }
        }
    }

    /// On a thread of its own, which nobody waits for at the end of the program.
    async fn copy_to(&self, second: &Arc<SecondCopy>) -> Result<(), EngineError> {
        let stopping = Stopping(Arc::default());
        let (second, stopped) = (Arc::clone(second), Arc::clone(&stopping.0));
        let leadership = self.leadership.clone();
        let (tell, told) = oneshot::channel();
        let thread = thread::Builder::new().name("copies".to_owned());
        let begun = thread.spawn(move || {
            let leads = || leadership.as_ref().is_none_or(|of| of.may_write().is_ok());
            let may = || !stopped.load(Ordering::Relaxed) && leads();
            // Whoever asked may have stopped waiting.
            let _ = tell.send(second.pass(&may));
        });
        begun.map_err(|error| StoreError::io("a thread that copies", error))?;
        let done = told.await.map_err(|error| EngineError::Internal(error.into()))?;
        Ok(done?)
    }
}
