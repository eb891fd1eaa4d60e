//! The adapter over `zookeeper-async`: plain requests, any server version.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::time::Instant;
use zookeeper_async::{CreateMode, ZkError};

pub use self::config::PlainConfig;
use self::connection::{Connection, Trouble};
use self::wire::{convert_stat, from_wire, refused, to_wire};
use super::own_runtime::OwnRuntime;
use super::reach::no_path;
use super::relay::{Order, Relay};
use crate::tree::{
    Acl, AclFound, ClientError, ClientErrorKind, Found, History, Kind, Reading, WriteError, WriteOp,
    ZnodePath, ZnodeReader, ZnodeWriter,
};

mod config;
mod connection;
mod wire;

/// Requests for ACLs that one call has under way.
const ACLS_IN_FLIGHT: usize = 128;

/// Plain requests over `zookeeper-async`, for a server of any version.
///
/// The client library reconnects for ever and leaves its tasks behind when it is dropped, so each client runs it
/// on a runtime of its own, which ends with the client; every wait has a deadline.
pub struct PlainClient {
    /// Before all that runs on it, which ends with it.
    _runtime: OwnRuntime,
    config: PlainConfig,
    connections: Vec<Connection>,
    turn: AtomicUsize,
    relay: Arc<Relay>,
}

impl std::fmt::Debug for PlainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainClient")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl PlainClient {
    /// Connects, and returns when every connection has answered a request.
    ///
    /// # Errors
    /// [`ClientError`] with the address and the cause, within the configured deadline.
    pub async fn connect(config: PlainConfig) -> Result<Self, ClientError> {
        no_path(&config.address)?;
        let begun = Instant::now();
        let deadline = begun + config.deadline;
        let fail = |error: io::Error| ClientError::new(&config.address, error.to_string()).caused_by(error);
        let runtime = OwnRuntime::start(2).map_err(fail)?;
        let connections = config.connections.max(1);
        let relay = Relay::start(&config.address, connections, Order::Strict, runtime.handle())
            .map(Arc::new)
            .map_err(fail)?;
        let client = Self {
            connections: (0..connections)
                .map(|_| Connection::new(&config, &relay, runtime.handle()))
                .collect(),
            config,
            turn: AtomicUsize::new(0),
            relay,
            _runtime: runtime,
        };
        let checks = client
            .connections
            .iter()
            .map(|connection| connection.call(deadline, |zk| async move { zk.exists("/", false).await }));
        for check in futures::future::join_all(checks).await {
            check.map_err(|error| client.client_error(&error, begun))?;
        }
        Ok(client)
    }

    /// Ends the sessions, each within a second, and the client with them.
    pub async fn close(self) {
        futures::future::join_all(self.connections.iter().map(Connection::close)).await;
    }

    fn next(&self) -> &Connection {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.connections[turn % self.connections.len()]
    }

    /// Why the request that was `begun` then has no answer.
    fn client_error(&self, error: &Trouble, begun: Instant) -> ClientError {
        let refusal = error.may_be_lost().then(|| self.relay.refusal(begun)).flatten();
        let (cause, kind) = match refusal {
            Some(refusal) => (refusal, ClientErrorKind::Answer),
            None => (error.plain_words(), error.kind()),
        };
        let said = ClientError::new(&self.config.address, cause).of_kind(kind);
        match error {
            Trouble::Server(source) => said.caused_by(*source),
            _ => said,
        }
    }

    async fn read(&self, path: &ZnodePath, history: History) -> Result<Reading, ClientError> {
        let connection = match history {
            History::Any => self.next(),
            History::One => &self.connections[0],
        };
        let begun = Instant::now();
        let deadline = begun + self.config.deadline;
        let text = path.as_str();
        let (data, stat) = match connection
            .call(deadline, |zk| async move { zk.get_data(text, false).await })
            .await
        {
            Ok(found) => found,
            Err(error) => return self.not_found(&error, begun),
        };
        let stat = convert_stat(&stat);
        let children = if stat.num_children == 0 {
            Vec::new()
        } else {
            match connection
                .call(deadline, |zk| async move { zk.get_children(text, false).await })
                .await
            {
                Ok(children) => children,
                Err(error) => return self.not_found(&error, begun),
            }
        };
        Ok(Reading::Found(Found { data, stat, children }))
    }

    async fn read_acl(&self, path: &ZnodePath) -> Result<Reading<AclFound>, ClientError> {
        let begun = Instant::now();
        let deadline = begun + self.config.deadline;
        let text = path.as_str();
        let answer = self
            .next()
            .call(deadline, |zk| async move { zk.get_acl(text).await });
        match answer.await {
            Ok((acl, stat)) => Ok(match from_wire(&acl) {
                Ok(acl) => Reading::Found(AclFound {
                    acl,
                    stat: convert_stat(&stat),
                }),
                Err(why) => Reading::Undecodable(why),
            }),
            Err(error) => self.not_found(&error, begun),
        }
    }

    fn not_found<T>(&self, error: &Trouble, begun: Instant) -> Result<Reading<T>, ClientError> {
        match error {
            Trouble::Server(ZkError::NoNode) => Ok(Reading::Missing),
            Trouble::Server(ZkError::NoAuth) => Ok(Reading::Denied),
            error @ (Trouble::Undecodable | Trouble::Server(ZkError::MarshallingError)) => {
                Ok(Reading::Undecodable(error.plain_words()))
            }
            error => Err(self.client_error(error, begun)),
        }
    }

    async fn write(&self, op: &WriteOp) -> Result<(), WriteError> {
        if let Some(refused) = op.unsendable() {
            return Err(refused);
        }
        let connection = self.next();
        let begun = Instant::now();
        let deadline = begun + self.config.deadline;
        let path = op.path().as_str();
        let outcome = match op {
            WriteOp::Create {
                kind: Kind::Container | Kind::Ttl(_) | Kind::Ephemeral,
                ..
            } => {
                let why = "the plain adapter creates neither container nor TTL znodes; the batched one does";
                return Err(WriteError::Refused(why.to_owned()));
            }
            WriteOp::Create { data, acl, .. } => {
                let create = |zk: Arc<zookeeper_async::ZooKeeper>| async move {
                    let mode = CreateMode::Persistent;
                    zk.create(path, data.clone(), to_wire(acl), mode).await.map(drop)
                };
                connection.once(deadline, &create).await
            }
            WriteOp::SetData { data, version, .. } => {
                let set = |zk: Arc<zookeeper_async::ZooKeeper>| async move {
                    zk.set_data(path, data.clone(), *version).await.map(drop)
                };
                connection.once(deadline, &set).await
            }
            WriteOp::SetAcl { acl, version, .. } => {
                let set = |zk: Arc<zookeeper_async::ZooKeeper>| async move {
                    zk.set_acl(path, to_wire(acl), *version).await.map(drop)
                };
                connection.once(deadline, &set).await
            }
            WriteOp::Delete { version, .. } => {
                let delete =
                    |zk: Arc<zookeeper_async::ZooKeeper>| async move { zk.delete(path, *version).await };
                connection.once(deadline, &delete).await
            }
        };
        outcome.map_err(|trouble| match trouble {
            Trouble::Server(error) => refused(error),
            trouble => WriteError::Unknown(self.client_error(&trouble, begun)),
        })
    }
}

#[async_trait]
impl ZnodeReader for PlainClient {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        futures::future::join_all(paths.iter().map(|path| self.read(path, history)))
            .await
            .into_iter()
            .collect()
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        let asked: Vec<_> = paths.iter().map(|path| self.read_acl(path)).collect();
        stream::iter(asked).buffered(ACLS_IN_FLIGHT).try_collect().await
    }

    fn epoch(&self) -> u64 {
        self.connections[0].epoch()
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        Ok(false) // its library has no such request
    }

    fn batch_size(&self) -> usize {
        32
    }

    fn batches_in_flight(&self) -> usize {
        16
    }
}

#[async_trait]
impl ZnodeWriter for PlainClient {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let in_flight = self.batch_size();
        let writes: Vec<_> = ops.iter().map(|op| self.write(op)).collect();
        stream::iter(writes).buffered(in_flight).collect().await
    }

    fn working_acl(&self) -> Acl {
        if self.config.digest_auth.is_some() {
            Acl::creator()
        } else {
            Acl::open()
        }
    }
}
