use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use health_metrics::ZooKeeperHealth;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zk_snapshot::{
    Acl, ClientError, MemoryTree, PlainClient, PlainConfig, Reading, WriteError, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter,
};

/// The longest that a health probe waits.
const PROBE: Duration = Duration::from_secs(2);

/// A connection to a live tree.
#[async_trait]
pub trait Client: ZnodeReader + ZnodeWriter {
    /// Ends it in order. Dropping it ends it too, leaving sessions to expire.
    async fn close(self: Box<Self>);
}

/// What is backed up: something that can be connected to.
#[async_trait]
pub trait Ensemble: Send + Sync {
    /// Connects, for one job.
    ///
    /// # Errors
    /// [`ClientError`] with the address and the cause, in bounded time.
    async fn connect(&self) -> Result<Box<dyn Client>, ClientError>;

    /// Whether it answers, within two seconds.
    async fn probe(&self) -> ZooKeeperHealth;
}

/// A ZooKeeper ensemble, by plain requests of its client API.
#[derive(Debug, Clone)]
pub struct PlainEnsemble(PlainConfig);

impl PlainEnsemble {
    /// Connects as `config` says.
    #[must_use]
    pub fn new(config: PlainConfig) -> Self {
        Self(config)
    }

    /// The answer of the first server that gives one to the four-letter word `srvr`.
    async fn srvr(&self) -> Result<String, String> {
        let mut cause = "no address".to_owned();
        for address in self.0.address.split(',').map(str::trim) {
            let ask = async {
                let mut socket = TcpStream::connect(address).await?;
                socket.write_all(b"srvr").await?;
                let mut answer = Vec::new();
                socket.take(64 << 10).read_to_end(&mut answer).await?;
                Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
            };
            match tokio::time::timeout(PROBE, ask).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => cause = format!("{address}: {error}"),
                Err(_) => cause = format!("{address}: no answer in time"),
            }
        }
        Err(cause)
    }
}

#[async_trait]
impl Client for PlainClient {
    async fn close(self: Box<Self>) {
        PlainClient::close(*self).await;
    }
}

#[async_trait]
impl Ensemble for PlainEnsemble {
    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(PlainClient::connect(self.0.clone()).await?))
    }

    async fn probe(&self) -> ZooKeeperHealth {
        let down = |error| ZooKeeperHealth {
            error: Some(error),
            ..ZooKeeperHealth::default()
        };
        match self.srvr().await {
            Err(error) => down(error),
            Ok(answer) if answer.contains("not currently serving") => {
                down("it does not serve requests".to_owned())
            }
            Ok(answer) => {
                let after = |key: &str| {
                    let line = answer.lines().find_map(|line| line.strip_prefix(key));
                    line.map(|value| value.trim().to_owned())
                };
                let version = after("Zookeeper version:")
                    .and_then(|text| text.split(['-', ',']).next().map(str::to_owned));
                // A server that does not allow the word answers all the same.
                ZooKeeperHealth {
                    reachable: true,
                    version,
                    mode: after("Mode:"),
                    error: None,
                }
            }
        }
    }
}

/// A tree in memory in place of an ensemble, for embedding and tests.
#[derive(Debug, Clone)]
pub struct MemoryEnsemble(Arc<MemoryTree>);

impl MemoryEnsemble {
    /// Every connection reads and writes `tree`.
    #[must_use]
    pub fn new(tree: Arc<MemoryTree>) -> Self {
        Self(tree)
    }
}

#[async_trait]
impl ZnodeReader for MemoryEnsemble {
    async fn read_many(&self, paths: &[ZnodePath]) -> Result<Vec<Reading>, ClientError> {
        self.0.read_many(paths).await
    }

    fn batch_size(&self) -> usize {
        self.0.batch_size()
    }

    fn batches_in_flight(&self) -> usize {
        self.0.batches_in_flight()
    }
}

#[async_trait]
impl ZnodeWriter for MemoryEnsemble {
    async fn write_many(&self, ops: Vec<WriteOp>) -> Vec<Result<(), WriteError>> {
        self.0.write_many(ops).await
    }

    fn working_acl(&self) -> Acl {
        self.0.working_acl()
    }
}

#[async_trait]
impl Client for MemoryEnsemble {
    async fn close(self: Box<Self>) {}
}

#[async_trait]
impl Ensemble for MemoryEnsemble {
    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(self.clone()))
    }

    async fn probe(&self) -> ZooKeeperHealth {
        ZooKeeperHealth {
            reachable: true,
            mode: Some("memory".to_owned()),
            ..ZooKeeperHealth::default()
        }
    }
}
