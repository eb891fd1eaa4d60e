//! The adapter over `zookeeper-client`: many reads or writes in one request.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use zookeeper_client as zk;

pub use self::config::{BatchedConfig, Tls};
use self::session::Session;
use super::four_letter_word;
use super::own_runtime::OwnRuntime;
use super::reach::{Server, no_path, reachable};
use super::relay::{Order, Relay};
use crate::tree::{Acl, ClientError, ClientErrorKind, WriteError, WriteOp, ZnodeReader as _, ZnodeWriter};

mod config;
mod read;
mod session;
mod wire;
mod write;

/// Longest time to find out why nobody answered.
const DIAGNOSIS: Duration = Duration::from_secs(1);

/// Many reads or writes in one request (`multiRead`, `multi`) over `zookeeper-client`, for ZooKeeper 3.6 or newer.
///
/// Data are read and written over one connection, so writes keep their order and a watch sees what a read sees.
/// ACLs are read over several connections to the same server. A connection that is lost is replaced by one to
/// any server of the ensemble, with a session of its own.
pub struct BatchedClient {
    /// Before all that runs on it, which ends with it.
    _runtime: OwnRuntime,
    config: BatchedConfig,
    main: Session,
    acls: Vec<Session>,
    turn: AtomicU64,
    /// Bytes of paths in one request. Less once a server seems to take no more.
    request_bytes: AtomicUsize,
    /// Requests for ACLs that may be under way.
    acl_requests: Semaphore,
    /// Whether the server knows an identity of ours.
    is_known: bool,
    /// In between where the servers do not speak TLS, which it could not look into.
    relay: Option<Arc<Relay>>,
}

impl std::fmt::Debug for BatchedClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchedClient")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl BatchedClient {
    /// Connects, and returns when the server has answered a `multiRead`.
    ///
    /// # Errors
    /// [`ClientError`] with the address and the cause, within the configured deadline; a server before 3.6 is
    /// told from others by its [kind](ClientErrorKind::Unsupported).
    pub async fn connect(config: BatchedConfig) -> Result<Self, ClientError> {
        no_path(&config.address)?;
        let fail = |error: io::Error| ClientError::new(&config.address, error.to_string()).caused_by(error);
        let unusable =
            |cause: String| ClientError::new(&config.address, cause).of_kind(ClientErrorKind::Settings);
        let begun = Instant::now();
        let deadline = begun + config.deadline;
        let runtime = OwnRuntime::start(1).map_err(fail)?;
        let relay = match &config.tls {
            Some(_) => None,
            None => {
                let connections = config.acl_connections + 1;
                Relay::start(&config.address, connections, Order::ByXid, runtime.handle())
                    .map(|relay| Some(Arc::new(relay)))
                    .map_err(fail)?
            }
        };
        let acls = (0..config.acl_connections)
            .map(|_| Session::new(&config, relay.as_deref(), runtime.handle()))
            .collect::<Result<_, _>>()
            .map_err(unusable)?;
        let mut client = Self {
            main: Session::new(&config, relay.as_deref(), runtime.handle()).map_err(unusable)?,
            acls,
            turn: AtomicU64::new(0),
            request_bytes: AtomicUsize::new(read::REQUEST_BYTES),
            acl_requests: Semaphore::new(read::ACLS_IN_FLIGHT),
            is_known: config.digest_auth.is_some() || config.sasl.is_some(),
            relay,
            _runtime: runtime,
            config,
        };
        let answer = client
            .main
            .call(deadline, |zk| {
                let mut reader = zk.new_multi_reader();
                let added = reader.add_get_data("/");
                let answer = reader.commit();
                async move {
                    added?;
                    answer.await
                }
                .boxed()
            })
            .await;
        if let Err(error) = answer {
            return Err(client.no_session(&error, begun).await);
        }
        if !client.is_known
            && client
                .config
                .tls
                .as_ref()
                .is_some_and(|tls| tls.identity.is_some())
        {
            // A server need not take a certificate for an identity. One before 3.7 does not say whether it does.
            let identities = client.identities().await?;
            client.is_known =
                identities.is_none_or(|all| all.iter().any(|identity| !identity.starts_with("ip:")));
        }
        Ok(client)
    }

    /// Ends the sessions, each within a second, and the client with them.
    pub async fn close(self) {
        let sessions = self.acls.iter().chain([&self.main]);
        join_all(sessions.map(Session::close)).await;
    }

    /// Why the first request has no answer.
    async fn no_session(&self, error: &zk::Error, begun: Instant) -> ClientError {
        let mut told = self.client_error(error, begun);
        if !matches!(error, zk::Error::NoHosts | zk::Error::Timeout) {
            return told;
        }
        let servers = Server::all(&self.config.address);
        if let Err(cause) = reachable(&servers, 0, Instant::now() + DIAGNOSIS).await {
            return ClientError::new(&self.config.address, cause).caused_by(error.clone());
        }
        if self.refusal(begun).is_none()
            && let Some(cause) = self.why_silent(&servers).await
        {
            told.cause = format!("{}: {cause}", told.cause);
        }
        told
    }

    /// What keeps a server from answering so much as a word, such as its certificate, or ours: the library does not tell.
    async fn why_silent(&self, servers: &[Server]) -> Option<String> {
        let soon = Instant::now() + DIAGNOSIS;
        for server in servers {
            let asked = four_letter_word(&self.config, server.name(), "srvr");
            if let Ok(Err(error)) = timeout_at(soon, asked).await {
                return Some(match servers {
                    [_] => error.to_string(),
                    _ => format!("{}: {error}", server.name()),
                });
            }
        }
        None
    }

    /// Why the request that was `begun` then has no answer.
    fn client_error(&self, error: &zk::Error, begun: Instant) -> ClientError {
        let is_lost = session::is_lost(error) || session::is_undecodable(error);
        match is_lost.then(|| self.refusal(begun)).flatten() {
            Some(refusal) => self.not_taken(refusal),
            None => {
                ClientError::new(&self.config.address, wire::plain_words(error)).of_kind(wire::kind(error))
            }
        }
        .caused_by(error.clone())
    }

    /// There was an answer, of which `cause` says why it is not taken.
    fn not_taken(&self, cause: impl Into<String>) -> ClientError {
        ClientError::new(&self.config.address, cause).of_kind(ClientErrorKind::Answer)
    }

    /// Why the latest reply was refused that we do not take from a server, if that was `since` then.
    fn refusal(&self, since: Instant) -> Option<String> {
        self.relay.as_ref().and_then(|relay| relay.refusal(since))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.config.deadline
    }
}

#[async_trait]
impl ZnodeWriter for BatchedClient {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let begun = Instant::now();
        let unknown = |error: &zk::Error| WriteError::Unknown(self.client_error(error, begun));
        let deadline = self.deadline();
        let zk = match self.main.get(deadline).await {
            Ok((zk, _)) => zk,
            Err(error) => return ops.iter().map(|_| Err(unknown(&error))).collect(),
        };
        // The relay has its own way to let nothing of before out.
        let within = self.config.lands_within.filter(|_| self.relay.is_none());
        if let Some(refusal) = within.and_then(|within| write::too_long(zk.session_timeout(), within)) {
            return ops.iter().map(|_| Err(refusal.clone())).collect();
        }
        let until = within.map(|within| begun + within / 4);
        match timeout_at(deadline, write::carry_out(&zk, ops, until, &unknown)).await {
            Ok(outcomes) => outcomes,
            Err(_) => ops.iter().map(|_| Err(unknown(&zk::Error::Timeout))).collect(),
        }
    }

    fn keeps_order(&self) -> bool {
        true
    }

    fn write_batch(&self) -> usize {
        256
    }

    fn working_acl(&self) -> Acl {
        if self.is_known {
            Acl::creator()
        } else {
            Acl::open()
        }
    }
}
