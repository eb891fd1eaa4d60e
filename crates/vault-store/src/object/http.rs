//! What all that is reached by HTTP shares.

use std::time::Duration;

use rustls::crypto::ring;

/// Within this the first byte of a part, and its last, must be through.
pub(super) const REQUEST: Duration = Duration::from_secs(60);
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// Gives the process a provider of cryptography, if it has none.
pub(super) fn provide_cryptography() {
    // An error says that there is one.
    let _ = ring::default_provider().install_default();
}
