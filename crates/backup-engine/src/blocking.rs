//! Work that blocks, on tokio's threads for it, or on one of its own.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::EngineError;

/// Why what was asked is not known yet.
#[derive(Debug)]
pub(crate) enum Untold {
    /// Nobody could be had to ask.
    NoThread(io::Error),
    /// There was no answer for so long.
    Late(Duration),
    /// Whoever asked panicked.
    Broken,
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoThread(error) => write!(f, "no thread can be started to ask: {error}"),
            Self::Late(patience) => write!(f, "there was no answer for {patience:?}"),
            Self::Broken => f.write_str("asking ended abnormally"),
        }
    }
}

/// Does `work` on a thread of its own, and waits for it no longer than `patience`.
pub(crate) fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Untold> {
    let (tell, told) = mpsc::sync_channel(1);
    let asking = thread::Builder::new().name("asking".to_owned());
    let begun = asking.spawn(move || {
        // Whoever asked may have stopped waiting.
        let _ = tell.send(work());
    });
    begun.map_err(Untold::NoThread)?;
    told.recv_timeout(patience).map_err(|error| match error {
        RecvTimeoutError::Timeout => Untold::Late(patience),
        RecvTimeoutError::Disconnected => Untold::Broken,
    })
}

/// Has `work` done on a thread of its own, which nobody waits for. Where none can be started it is not done, and the log says so.
pub(crate) fn aside(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
        log::warn!("no thread can be started for {name}: {error}");
    }
}

/// Does `work` where it may block. What a job does within `caught` may call tokio's own: for want of a thread that panics, which is the job's failure there.
///
/// # Errors
/// Its own; [`EngineError::Internal`] where it panicked, no thread can be started for it, or the runtime ends.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let none = || EngineError::Internal("no thread can be started".into());
    let given_up = Arc::new(AtomicBool::new(false));
    let is_given_up = Arc::clone(&given_up);
    let unless_given_up = move || match is_given_up.load(Ordering::SeqCst) {
        true => Err(none()),
        false => work(),
    };
    // It panics where there is no thread, and none can be started. The work waits for one all the same.
    let begun = catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_blocking(unless_given_up)));
    let Ok(begun) = begun else {
        given_up.store(true, Ordering::SeqCst);
        return Err(none());
    };
    begun
        .await
        .unwrap_or_else(|error| Err(EngineError::Internal(error.into())))
}
