//! What is asked elsewhere: how long an answer is waited for, and what is said where there is none.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// So long a storage has to answer each time; after that the server starts without.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What is answered within [`PATIENCE`] to what `ask` asks on a thread of its own.
pub(crate) fn in_time<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = mpsc::sync_channel(1);
    thread::spawn(move || {
        // Whoever asked may have stopped waiting.
        let _ = tell.send(ask());
    });
    told.recv_timeout(PATIENCE).ok()
}

/// What went wrong, with what it came from: "error sending request" says nothing of a certificate.
pub(crate) fn shown(error: reqwest::Error) -> String {
    let error = error.without_url();
    let (mut text, mut source) = (error.to_string(), std::error::Error::source(&error));
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
