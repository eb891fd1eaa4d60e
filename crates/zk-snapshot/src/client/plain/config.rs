//! How to connect by the plain adapter.

use std::time::Duration;

/// How a [`PlainClient`](super::PlainClient) connects.
#[derive(Clone)]
pub struct PlainConfig {
    /// `host:port`, or several with commas between them.
    pub address: String,
    /// Connections held at once; the server answers the reads of one connection one after another.
    pub connections: usize,
    /// Longest time to connect, and for each request, reconnecting included.
    pub deadline: Duration,
    /// Session timeout asked of the server.
    pub session_timeout: Duration,
    /// `user:password` of a `digest` identity.
    pub digest_auth: Option<String>,
}

impl std::fmt::Debug for PlainConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainConfig")
            .field("address", &self.address)
            .field("digest_auth", &self.digest_auth.is_some())
            .finish_non_exhaustive() // no secrets
    }
}

impl PlainConfig {
    /// Eight connections to `address`, 30 seconds to connect and for each request, and sessions of 20 seconds.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            connections: 8,
            deadline: Duration::from_secs(30),
            session_timeout: Duration::from_secs(20),
            digest_auth: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let mut config = PlainConfig::new("zk1:2181");
        config.digest_auth = Some("alice:wonderland".to_owned());
        let shown = format!("{config:?}");
        assert_eq!(
            shown,
            r#"PlainConfig { address: "zk1:2181", digest_auth: true, .. }"#
        );
    }
}
