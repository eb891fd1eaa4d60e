//! How to connect by the plain adapter.

use std::time::Duration;

/// How a [`PlainClient`](super::PlainClient) connects.
#[derive(Debug, Clone)]
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

impl PlainConfig {
    /// Eight connections to `address`, and 30 seconds for everything.
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
