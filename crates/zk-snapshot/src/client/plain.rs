use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout_at};
use zookeeper_async::{CreateMode, Permission, WatchedEvent, ZkError, ZkState, ZooKeeper};

use super::reach::reachable;
use crate::{
    Acl, AclEntry, AclFound, ClientError, Found, History, Reading, Stat, WriteError, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter,
};

/// Requests for ACLs that one call has under way.
const ACLS_IN_FLIGHT: usize = 128;

/// How a [`PlainClient`] connects.
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

/// Plain requests over `zookeeper-async`, for a server of any version.
///
/// The client library reconnects for ever and leaves its tasks behind when it is dropped, so each client runs it
/// on a runtime of its own, which ends with the client; every wait has a deadline.
pub struct PlainClient {
    config: PlainConfig,
    connections: Vec<Arc<Connection>>,
    turn: AtomicUsize,
    runtime: Option<Runtime>,
}

struct Connection {
    zookeeper: ZooKeeper,
    /// Counts the times the connection came up; the server forgets identities each time.
    epoch: Arc<AtomicU64>,
    authenticated: tokio::sync::Mutex<Option<u64>>,
}

impl PlainClient {
    /// Connects, and returns when every connection has answered a request.
    ///
    /// # Errors
    /// [`ClientError`] with the address and the cause, within the configured deadline.
    pub async fn connect(config: PlainConfig) -> Result<Self, ClientError> {
        let fail = |cause: String| ClientError::new(&config.address, cause);
        let deadline = Instant::now() + config.deadline;
        let addresses = reachable(&config.address, deadline).await.map_err(fail)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("zookeeper-client")
            .enable_all()
            .build()
            .map_err(|error| fail(error.to_string()))?;
        let mut client = Self {
            config: config.clone(),
            connections: Vec::new(),
            turn: AtomicUsize::new(0),
            runtime: None,
        };
        let handle = runtime.handle().clone();
        client.runtime = Some(runtime); // from here on, dropping the client ends its tasks
        for _ in 0..config.connections.max(1) {
            let (addresses, session) = (addresses.clone(), config.session_timeout);
            let connecting = handle.spawn(async move {
                let retry = Duration::from_millis(200);
                ZooKeeper::connect_with_retry_time(&addresses, session, |_: WatchedEvent| {}, retry).await
            });
            let zookeeper = timeout_at(deadline, connecting)
                .await
                .map_err(|_| fail("no connection in time".to_owned()))?
                .map_err(|error| fail(error.to_string()))?
                .map_err(|error| fail(error.to_string()))?;
            let epoch = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&epoch);
            zookeeper.add_listener(move |state| {
                if matches!(state, ZkState::Connected) {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            });
            let authenticated = tokio::sync::Mutex::new(None);
            client.connections.push(Arc::new(Connection {
                zookeeper,
                epoch,
                authenticated,
            }));
        }
        let checks = client.connections.iter().map(|connection| {
            client.call(
                connection,
                deadline,
                |zk| async move { zk.exists("/", false).await },
            )
        });
        for check in futures::future::join_all(checks).await {
            check.map_err(|error| fail(plain_words(&error)))?;
        }
        Ok(client)
    }

    /// Ends the sessions, each within a second, and the client with them.
    pub async fn close(self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        let closing = self
            .connections
            .iter()
            .map(|c| timeout_at(deadline, c.zookeeper.close()));
        for outcome in futures::future::join_all(closing).await {
            if !matches!(outcome, Ok(Ok(()))) {
                log::debug!("a session of {} was left to expire", self.config.address);
            }
        }
    }

    fn next(&self) -> &Arc<Connection> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.connections[turn % self.connections.len()]
    }

    fn client_error(&self, error: &Trouble) -> ClientError {
        ClientError::new(&self.config.address, plain_words(error))
    }

    /// One request, sent again after a lost connection until `deadline`. Only for what may be done twice.
    async fn call<'c, R, F>(
        &self,
        connection: &'c Connection,
        deadline: Instant,
        request: impl Fn(&'c ZooKeeper) -> F,
    ) -> Result<R, Trouble>
    where
        F: Future<Output = Result<R, ZkError>>,
    {
        loop {
            match self.once(connection, deadline, &request).await {
                Err(Trouble::Server(error)) if is_lost(error) && Instant::now() < deadline => {
                    sleep(Duration::from_millis(100)).await;
                }
                Err(Trouble::NewConnection) => {}
                outcome => return outcome,
            }
        }
    }

    /// One request, sent once, with our identity known to the server.
    async fn once<'c, R, F>(
        &self,
        connection: &'c Connection,
        deadline: Instant,
        request: &impl Fn(&'c ZooKeeper) -> F,
    ) -> Result<R, Trouble>
    where
        F: Future<Output = Result<R, ZkError>>,
    {
        let before = connection.epoch.load(Ordering::SeqCst);
        if let Some(identity) = &self.config.digest_auth {
            let mut known = connection.authenticated.lock().await;
            if *known != Some(before) {
                let proof = connection
                    .zookeeper
                    .add_auth("digest", identity.as_bytes().to_vec());
                timeout_at(deadline, proof)
                    .await
                    .map_err(|_| Trouble::TooLate)?
                    .map_err(Trouble::Server)?;
                *known = Some(before);
            }
        }
        let outcome = timeout_at(deadline, request(&connection.zookeeper)).await;
        let moved = connection.epoch.load(Ordering::SeqCst) != before;
        match outcome {
            Err(_) => Err(Trouble::TooLate),
            // Answered by a connection that may not have known who we are.
            Ok(Ok(_) | Err(ZkError::NoAuth)) if moved && self.config.digest_auth.is_some() => {
                Err(Trouble::NewConnection)
            }
            Ok(answer) => answer.map_err(Trouble::Server),
        }
    }

    async fn read(&self, path: &ZnodePath, history: History) -> Result<Reading, ClientError> {
        let connection = match history {
            History::Any => self.next(),
            History::One => &self.connections[0],
        };
        let deadline = Instant::now() + self.config.deadline;
        let text = path.as_str();
        let (data, stat) = match self
            .call(connection, deadline, |zk| zk.get_data(text, false))
            .await
        {
            Ok(found) => found,
            Err(error) => return self.not_found(&error),
        };
        let stat = convert_stat(&stat);
        let children = if stat.num_children == 0 {
            Vec::new()
        } else {
            match self
                .call(connection, deadline, |zk| zk.get_children(text, false))
                .await
            {
                Ok(children) => children,
                Err(error) => return self.not_found(&error),
            }
        };
        Ok(Reading::Found(Found { data, stat, children }))
    }

    async fn read_acl(&self, path: &ZnodePath) -> Result<Reading<AclFound>, ClientError> {
        let deadline = Instant::now() + self.config.deadline;
        let text = path.as_str();
        match self.call(self.next(), deadline, |zk| zk.get_acl(text)).await {
            Ok((acl, stat)) => Ok(Reading::Found(AclFound {
                acl: from_wire(&acl),
                stat: convert_stat(&stat),
            })),
            Err(error) => self.not_found(&error),
        }
    }

    fn not_found<T>(&self, error: &Trouble) -> Result<Reading<T>, ClientError> {
        match error {
            Trouble::Server(ZkError::NoNode) => Ok(Reading::Missing),
            Trouble::Server(ZkError::NoAuth) => Ok(Reading::Denied),
            error => Err(self.client_error(error)),
        }
    }

    async fn write(&self, op: &WriteOp) -> Result<(), WriteError> {
        let connection = self.next();
        let deadline = Instant::now() + self.config.deadline;
        let path = op.path().as_str();
        let outcome = match op {
            WriteOp::Create { data, acl, .. } => {
                let create =
                    |zk| ZooKeeper::create(zk, path, data.clone(), to_wire(acl), CreateMode::Persistent);
                self.once(connection, deadline, &create).await.map(drop)
            }
            WriteOp::SetData { data, .. } => self
                .once(connection, deadline, &|zk| zk.set_data(path, data.clone(), None))
                .await
                .map(drop),
            WriteOp::SetAcl { acl, .. } => self
                .once(connection, deadline, &|zk| zk.set_acl(path, to_wire(acl), None))
                .await
                .map(drop),
            WriteOp::Delete { .. } => self.once(connection, deadline, &|zk| zk.delete(path, None)).await,
        };
        outcome.map_err(|trouble| match trouble {
            Trouble::Server(error) if !is_lost(error) => refused(error),
            trouble => WriteError::Unknown(self.client_error(&trouble)),
        })
    }
}

impl Drop for PlainClient {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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
        self.connections[0].epoch.load(Ordering::SeqCst)
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

/// Why a request has no answer.
enum Trouble {
    TooLate,
    NewConnection,
    Server(ZkError),
}

fn plain_words(error: &Trouble) -> String {
    match error {
        Trouble::TooLate => "no answer in time".to_owned(),
        Trouble::NewConnection => "the connection was lost".to_owned(),
        Trouble::Server(error) => error.to_string(),
    }
}

fn is_lost(error: ZkError) -> bool {
    matches!(
        error,
        ZkError::ConnectionLoss | ZkError::SessionExpired | ZkError::SessionMoved | ZkError::OperationTimeout
    )
}

fn refused(error: ZkError) -> WriteError {
    match error {
        ZkError::NoNode => WriteError::NoNode,
        ZkError::NodeExists => WriteError::NodeExists,
        ZkError::NoAuth => WriteError::NoAuth,
        ZkError::NotEmpty => WriteError::NotEmpty,
        ZkError::NoChildrenForEphemerals => WriteError::EphemeralParent,
        ZkError::InvalidACL => WriteError::InvalidAcl,
        other => WriteError::Refused(other.to_string()),
    }
}

const PERMISSIONS: [(u32, Permission); 5] = [
    (1, Permission::READ),
    (2, Permission::WRITE),
    (4, Permission::CREATE),
    (8, Permission::DELETE),
    (16, Permission::ADMIN),
];

fn from_wire(acl: &[zookeeper_async::Acl]) -> Acl {
    let entry = |entry: &zookeeper_async::Acl| AclEntry {
        perms: PERMISSIONS
            .iter()
            .filter(|(_, p)| entry.perms.can(*p))
            .map(|(bit, _)| bit)
            .sum(),
        scheme: entry.scheme.clone(),
        id: entry.id.clone(),
    };
    Acl::new(acl.iter().map(entry).collect())
}

fn to_wire(acl: &Acl) -> Vec<zookeeper_async::Acl> {
    let entry = |entry: &AclEntry| {
        let granted = PERMISSIONS.iter().filter(|(bit, _)| entry.perms & bit != 0);
        let perms = granted.fold(Permission::NONE, |all, (_, p)| all | *p);
        zookeeper_async::Acl {
            perms,
            scheme: entry.scheme.clone(),
            id: entry.id.clone(),
        }
    };
    acl.entries().iter().map(entry).collect()
}

fn convert_stat(stat: &zookeeper_async::Stat) -> Stat {
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        pzxid: stat.pzxid,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        cversion: stat.cversion,
        aversion: stat.aversion,
        ephemeral_owner: stat.ephemeral_owner,
        num_children: stat.num_children,
    }
}
