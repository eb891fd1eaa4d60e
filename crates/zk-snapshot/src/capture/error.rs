//! Why a capture ended without a summary.

use crate::tree::{ClientError, ZnodePath};

/// Why a capture ended without a summary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// ZooKeeper could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A znode that was asked for by name is not there, or is ephemeral.
    #[error("no such znode to back up: {0}")]
    NoSuchRoot(ZnodePath),
    /// There are more znodes than [`CaptureOptions::most_znodes`](super::CaptureOptions::most_znodes).
    #[error("the server shows more than {0} znodes")]
    TooMany(usize),
    /// Nobody takes the records any more.
    #[error("the records could not be written")]
    SinkClosed,
}

impl CaptureError {
    /// Whether the same capture may come to its end later, though nobody changes anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Client(error) => error.may_pass(),
            Self::NoSuchRoot(_) | Self::TooMany(_) | Self::SinkClosed => false,
        }
    }
}
