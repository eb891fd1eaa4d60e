//! What can be backed up, and a connection to it.

use std::sync::Arc;

use async_trait::async_trait;
use health_metrics::ZooKeeperHealth;
use zk_snapshot::tree::{ClientError, ZnodePath, ZnodeReader, ZnodeWriter};

/// A connection to a live tree.
#[async_trait]
pub trait Client: ZnodeReader + ZnodeWriter {
    /// Ends it in order. Dropping it ends it too, leaving sessions to expire.
    async fn close(self: Box<Self>);
}

/// Why the servers of an ensemble are not all known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MembersUnknown(String);

impl MembersUnknown {
    /// Says why.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// What is backed up: something that can be connected to.
#[async_trait]
pub trait Ensemble: Send + Sync {
    /// What tells it from others: a backup of one ensemble says nothing about another.
    fn name(&self) -> String;

    /// Connects, for one job.
    ///
    /// # Errors
    /// [`ClientError`] with the address and the cause, in bounded time.
    async fn connect(&self) -> Result<Box<dyn Client>, ClientError>;

    /// The znode of the whole tree that its `/` is, where it is not all of it.
    fn chroot(&self) -> Option<ZnodePath> {
        None
    }

    /// Whether it answers, within two seconds.
    async fn probe(&self) -> ZooKeeperHealth;

    /// Its servers one by one, as far as they are known.
    fn members(&self) -> Vec<Arc<dyn Ensemble>> {
        Vec::new()
    }

    /// Those of its servers that it names itself and that are not among its [`members`](Self::members); none, if it has no servers of
    /// its own. A restore by files compares them all before it is told to have done well.
    ///
    /// # Errors
    /// [`MembersUnknown`]: they are not known, or where clients reach them is not.
    async fn other_members(&self) -> Result<Vec<Arc<dyn Ensemble>>, MembersUnknown>;

    /// The newest zxid that it is known to have committed, where that can be asked.
    async fn committed_zxid(&self) -> Option<i64> {
        None
    }
}
