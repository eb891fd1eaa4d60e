//! How to connect by the batched adapter.

use std::time::Duration;

/// The session timeout that is asked for where nobody says otherwise.
pub(super) const USUAL_SESSION: Duration = Duration::from_secs(20);

/// How a [`BatchedClient`](super::BatchedClient) connects.
#[derive(Clone)]
pub struct BatchedConfig {
    /// `host:port`, or several with commas between them.
    pub address: String,
    /// Longest time to connect, and for each request, reconnecting included.
    pub deadline: Duration,
    /// Session timeout asked of the server.
    pub session_timeout: Duration,
    /// Under TLS a write lands within this time of being asked for, or never, though the process stand still meanwhile: the server has
    /// ended the session by then. So the session may have half of it at most, and every write is refused where the server gives a longer
    /// one. A quarter is for the server's clock, which ends sessions up to a `tickTime` late; in the last one the request has to leave.
    pub lands_within: Option<Duration>,
    /// Connections for ACLs, which cannot be asked for together, made when they are needed first.
    pub acl_connections: usize,
    /// `user:password` of a `digest` identity.
    pub digest_auth: Option<String>,
    /// User and password for SASL DIGEST-MD5.
    pub sasl: Option<(String, String)>,
    /// Certificates, if the servers speak TLS.
    pub tls: Option<Tls>,
}

/// Certificates for TLS to ZooKeeper, in PEM. Host names are always verified.
#[derive(Clone)]
pub struct Tls {
    /// The authorities that a server's certificate must come from.
    pub ca: String,
    /// Our own certificate and its key, for servers that ask for one.
    pub identity: Option<(String, String)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive() // no keys
    }
}

impl std::fmt::Debug for BatchedConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchedConfig")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .field("sasl", &self.sasl.is_some())
            .finish_non_exhaustive() // no secrets
    }
}

impl BatchedConfig {
    /// To `address`, eight connections for ACLs, 30 seconds to connect and for each request, and sessions of 20 seconds.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            deadline: Duration::from_secs(30),
            session_timeout: USUAL_SESSION,
            lands_within: None,
            acl_connections: 8,
            digest_auth: None,
            sasl: None,
            tls: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let mut config = BatchedConfig::new("zk1:2181");
        config.digest_auth = Some("alice:wonderland".to_owned());
        config.sasl = Some(("bob".to_owned(), "builder".to_owned()));
        config.tls = Some(Tls {
            ca: "authority".to_owned(),
            identity: Some(("certificate".to_owned(), "key".to_owned())),
        });
        let shown = format!("{config:?} {:?}", config.tls);
        assert_eq!(
            shown,
            r#"BatchedConfig { address: "zk1:2181", tls: true, sasl: true, .. } Some(Tls { .. })"#
        );
    }
}
