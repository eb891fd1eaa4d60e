//! Why a server did not start.

use backup_engine::EngineError;

use crate::SettingsError;

/// The server did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The storage cannot be used.
    #[error("storage: {0}")]
    Engine(#[from] EngineError),
    /// A certificate or its key cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// The address cannot be listened on.
    #[error("{setting}: cannot listen on {address}: {source}")]
    Listen {
        /// What says so: `PORT`, `TLS_PORT` or `BROADCAST_ADDRESS`.
        setting: &'static str,
        /// Address and port.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Signals cannot be waited for, or the listener failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
