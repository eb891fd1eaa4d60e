use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout_at};
use zookeeper_client as zk;

use self::session::Session;
use super::reach::reachable;
use crate::{
    Acl, AclFound, Changes, ClientError, Found, History, Reading, TreeWatch, WriteError, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter,
};

mod session;
mod wire;
mod write;

/// Znodes in one `multiRead`, and requests in flight; together they keep a server busy without holding more.
const READS: usize = 256;
const READS_IN_FLIGHT: usize = 4;
/// Bytes of paths in one request: a server takes none above `jute.maxbuffer`, 1 MiB if not set.
const REQUEST_BYTES: usize = 512 << 10;
/// Names of children in one reply, as far as the `Stat` tells.
const NAMES: i64 = 65_536;
/// Requests for ACLs that a connection has under way.
const ACLS_IN_FLIGHT: usize = 64;
/// Up to so many ACLs are asked for on the connection of the data.
const FEW_ACLS: usize = 32;

/// Longest time to find out why nobody answered.
const DIAGNOSIS: Duration = Duration::from_secs(1);

/// How a [`BatchedClient`] connects.
#[derive(Clone)]
pub struct BatchedConfig {
    /// `host:port`, or several with commas between them.
    pub address: String,
    /// Longest time to connect, and for each request, reconnecting included.
    pub deadline: Duration,
    /// Session timeout asked of the server.
    pub session_timeout: Duration,
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
    /// To `address`, eight connections for ACLs, and 30 seconds for everything.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            deadline: Duration::from_secs(30),
            session_timeout: Duration::from_secs(20),
            acl_connections: 8,
            digest_auth: None,
            sasl: None,
            tls: None,
        }
    }
}

/// Many reads or writes in one request (`multiRead`, `multi`) over `zookeeper-client`, for ZooKeeper 3.6 or newer.
///
/// Data are read and written over one connection, so writes keep their order and a watch sees what a read sees.
/// ACLs are read over several connections to the same server. A connection that is lost is replaced by one to
/// any server of the ensemble, with a session of its own.
pub struct BatchedClient {
    config: BatchedConfig,
    main: Session,
    acls: Vec<Session>,
    turn: AtomicU64,
    runtime: Option<Runtime>,
}

impl BatchedClient {
    /// Connects, and returns when the server has answered a `multiRead`.
    ///
    /// # Errors
    /// [`ClientError`] with the address and the cause, within the configured deadline; a server before 3.6 is
    /// told from others by [`ClientError::is_unsupported`].
    pub async fn connect(config: BatchedConfig) -> Result<Self, ClientError> {
        let fail = |cause: String| ClientError::new(&config.address, cause);
        let deadline = Instant::now() + config.deadline;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("zookeeper-client")
            .enable_all()
            .build()
            .map_err(|error| fail(error.to_string()))?;
        let acls = (0..config.acl_connections)
            .map(|_| Session::new(&config, runtime.handle()))
            .collect::<Result<_, _>>()
            .map_err(fail)?;
        let client = Self {
            main: Session::new(&config, runtime.handle()).map_err(fail)?,
            acls,
            turn: AtomicU64::new(0),
            runtime: Some(runtime),
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
            let soon = Instant::now() + DIAGNOSIS;
            return Err(match (&error, reachable(&client.config.address, soon).await) {
                (zk::Error::NoHosts | zk::Error::Timeout, Err(cause)) => {
                    ClientError::new(&client.config.address, cause)
                }
                _ => client.client_error(&error),
            });
        }
        // So that what was acknowledged anywhere in the ensemble by now is seen here.
        client
            .main
            .call(deadline, |zk| {
                let zk = zk.clone();
                async move { zk.sync("/").await }.boxed()
            })
            .await
            .map_err(|error| client.client_error(&error))?;
        Ok(client)
    }

    /// Ends the sessions, each within a second, and the client with them.
    pub async fn close(self) {
        let sessions = self.acls.iter().chain([&self.main]);
        join_all(sessions.map(Session::close)).await;
    }

    fn client_error(&self, error: &zk::Error) -> ClientError {
        ClientError {
            unsupported: matches!(error, zk::Error::Unimplemented),
            ..ClientError::new(&self.config.address, wire::plain_words(error))
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.config.deadline
    }

    async fn multi_read(
        &self,
        paths: &[&ZnodePath],
        children: bool,
    ) -> Result<Vec<zk::MultiReadResult>, ClientError> {
        let answer = self.main.call(self.deadline(), |zk| {
            let mut reader = zk.new_multi_reader();
            let added = paths.iter().try_for_each(|path| {
                if children {
                    reader.add_get_children(path.as_str())
                } else {
                    reader.add_get_data(path.as_str())
                }
            });
            let answer = reader.commit().boxed();
            async move {
                added?;
                answer.await
            }
            .boxed()
        });
        let results = answer.await.map_err(|error| self.client_error(&error))?;
        if results.len() == paths.len() {
            Ok(results)
        } else {
            let cause = format!("{} answers to {} questions", results.len(), paths.len());
            Err(ClientError::new(&self.config.address, cause))
        }
    }

    /// Reads `paths`, few enough for one request.
    async fn read_some(&self, paths: &[ZnodePath]) -> Result<Vec<Reading>, ClientError> {
        let all: Vec<_> = paths.iter().collect();
        let mut readings = Vec::with_capacity(paths.len());
        for result in self.multi_read(&all, false).await? {
            readings.push(match result {
                zk::MultiReadResult::Data { data, stat } => Reading::Found(Found {
                    data,
                    stat: wire::stat(&stat),
                    children: Vec::new(),
                }),
                zk::MultiReadResult::Error { err } => self.not_found(&err)?,
                _ => {
                    return Err(ClientError::new(
                        &self.config.address,
                        "an answer of another kind",
                    ));
                }
            });
        }
        let (mut parents, mut names) = (Vec::new(), 0);
        for index in 0..paths.len() {
            if let Reading::Found(found) = &readings[index]
                && found.stat.num_children > 0
            {
                parents.push(index);
                names += i64::from(found.stat.num_children);
            }
            if !parents.is_empty() && (names >= NAMES || index + 1 == paths.len()) {
                self.read_children(paths, &parents, &mut readings).await?;
                parents.clear();
                names = 0;
            }
        }
        if !parents.is_empty() {
            self.read_children(paths, &parents, &mut readings).await?;
        }
        Ok(readings)
    }

    async fn read_children(
        &self,
        paths: &[ZnodePath],
        parents: &[usize],
        readings: &mut [Reading],
    ) -> Result<(), ClientError> {
        let asked: Vec<_> = parents.iter().map(|index| &paths[*index]).collect();
        let results = self.multi_read(&asked, true).await?;
        for (index, result) in parents.iter().zip(results) {
            match (result, &mut readings[*index]) {
                (zk::MultiReadResult::Children { children }, Reading::Found(found)) => {
                    found.children = children;
                }
                (zk::MultiReadResult::Error { err }, reading) => *reading = self.not_found(&err)?,
                _ => {
                    return Err(ClientError::new(
                        &self.config.address,
                        "an answer of another kind",
                    ));
                }
            }
        }
        Ok(())
    }

    fn not_found<T>(&self, error: &zk::Error) -> Result<Reading<T>, ClientError> {
        match error {
            zk::Error::NoNode => Ok(Reading::Missing),
            zk::Error::NoAuth => Ok(Reading::Denied),
            error => Err(self.client_error(error)),
        }
    }

    async fn read_acl(&self, session: &Session, path: &ZnodePath) -> Result<Reading<AclFound>, ClientError> {
        let answer = session.call(self.deadline(), |zk| {
            let (zk, path) = (zk.clone(), path.clone());
            async move { zk.get_acl(path.as_str()).await }.boxed()
        });
        match answer.await {
            Ok((acl, stat)) => Ok(Reading::Found(AclFound {
                acl: wire::from_wire(&acl),
                stat: wire::stat(&stat),
            })),
            Err(error) => self.not_found(&error),
        }
    }
}

impl Drop for BatchedClient {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[async_trait]
impl ZnodeReader for BatchedClient {
    async fn read_many(&self, paths: &[ZnodePath], _history: History) -> Result<Vec<Reading>, ClientError> {
        let (mut readings, mut begin, mut bytes) = (Vec::with_capacity(paths.len()), 0, 0);
        for (index, path) in paths.iter().enumerate() {
            if index > begin && bytes + path.as_str().len() > REQUEST_BYTES {
                readings.extend(self.read_some(&paths[begin..index]).await?);
                (begin, bytes) = (index, 0);
            }
            bytes += path.as_str().len() + 16;
        }
        if begin < paths.len() {
            readings.extend(self.read_some(&paths[begin..]).await?);
        }
        Ok(readings)
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        let alone = paths.len() <= FEW_ACLS || self.acls.is_empty();
        let sessions = if alone {
            std::slice::from_ref(&self.main)
        } else {
            &self.acls[..]
        };
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut asked = Vec::with_capacity(paths.len());
        for (index, path) in paths.iter().enumerate() {
            let session = &sessions[(first as usize + index) % sessions.len()];
            asked.push(self.read_acl(session, path));
        }
        stream::iter(asked)
            .buffered(ACLS_IN_FLIGHT * sessions.len())
            .try_collect()
            .await
    }

    fn batch_size(&self) -> usize {
        READS
    }

    fn batches_in_flight(&self) -> usize {
        READS_IN_FLIGHT
    }

    fn epoch(&self) -> u64 {
        self.main.epoch()
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        let mut watchers = Vec::new();
        let before = self.main.epoch();
        for root in roots {
            let answer = self.main.call(self.deadline(), |zk| {
                let (zk, root) = (zk.clone(), root.clone());
                let mode = zk::AddWatchMode::PersistentRecursive;
                async move { zk.watch(root.as_str(), mode).await }.boxed()
            });
            match answer.await {
                Ok(watcher) => watchers.push(watcher),
                Err(zk::Error::Unimplemented) => return Ok(None),
                Err(error) => return Err(self.client_error(&error)),
            }
        }
        Ok(Some(Box::new(Watch {
            watchers,
            lost: self.main.epoch() != before && roots.len() > 1,
        })))
    }
}

struct Watch {
    watchers: Vec<zk::PersistentWatcher>,
    lost: bool,
}

impl TreeWatch for Watch {
    fn take(&mut self) -> Changes {
        let mut changed = Vec::new();
        for watcher in &mut self.watchers {
            // After the event of a session that has ended, asking again would panic.
            while !self.lost
                && let Some(event) = watcher.changed().now_or_never()
            {
                self.lost = !wire::changed(&event, &mut changed);
            }
        }
        if self.lost {
            Changes::Lost
        } else {
            Changes::Of(changed)
        }
    }
}

#[async_trait]
impl ZnodeWriter for BatchedClient {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let unknown = |error: &zk::Error| WriteError::Unknown(self.client_error(error));
        let deadline = self.deadline();
        let zk = match self.main.get(deadline).await {
            Ok((zk, _)) => zk,
            Err(error) => return ops.iter().map(|_| Err(unknown(&error))).collect(),
        };
        match timeout_at(deadline, write::all(&zk, ops, &unknown)).await {
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
        if self.config.digest_auth.is_some() || self.config.sasl.is_some() {
            Acl::creator()
        } else {
            Acl::open()
        }
    }
}
