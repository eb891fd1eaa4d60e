use async_trait::async_trait;

use super::{Acl, Stat, ZnodePath};

/// What a znode held when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The data; null and empty data look alike.
    pub data: Vec<u8>,
    /// The access control list.
    pub acl: Acl,
    /// The `Stat` that came with the data.
    pub stat: Stat,
    /// The children's names, in no order.
    pub children: Vec<String>,
}

/// The outcome of reading one znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// It is there.
    Found(Found),
    /// It is not there (any more).
    Missing,
    /// The server refused to show it to this connection.
    Denied,
}

/// ZooKeeper could not be asked. Names the server and the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ZooKeeper at {address}: {cause}")]
pub struct ClientError {
    /// Host and port.
    pub address: String,
    /// What went wrong, in plain words.
    pub cause: String,
}

/// One change of one znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOp {
    /// Create a persistent znode.
    Create {
        /// Where.
        path: ZnodePath,
        /// Its data.
        data: Vec<u8>,
        /// Its access control list.
        acl: Acl,
    },
    /// Replace the data, whatever its version.
    SetData {
        /// Where.
        path: ZnodePath,
        /// The new data.
        data: Vec<u8>,
    },
    /// Replace the access control list, whatever its version.
    SetAcl {
        /// Where.
        path: ZnodePath,
        /// The new list.
        acl: Acl,
    },
    /// Delete a znode without children, whatever its version.
    Delete {
        /// Where.
        path: ZnodePath,
    },
}

impl WriteOp {
    /// The znode that is changed.
    #[must_use]
    pub fn path(&self) -> &ZnodePath {
        match self {
            Self::Create { path, .. }
            | Self::SetData { path, .. }
            | Self::SetAcl { path, .. }
            | Self::Delete { path } => path,
        }
    }
}

/// Why a write was not done, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The znode, or its parent, does not exist.
    #[error("the znode or its parent does not exist")]
    NoNode,
    /// The znode exists already.
    #[error("the znode exists already")]
    NodeExists,
    /// The ACL of the znode, or of its parent, does not allow it.
    #[error("not permitted by the ACL of the znode or of its parent")]
    NoAuth,
    /// The znode still has children.
    #[error("the znode has children")]
    NotEmpty,
    /// The parent is ephemeral.
    #[error("the parent is an ephemeral znode")]
    EphemeralParent,
    /// The server does not accept the ACL, for example because a scheme is not configured there.
    #[error("the server does not accept the ACL")]
    InvalidAcl,
    /// The server refused for another reason; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The connection failed before the answer: the write may have been done. Read again before assuming.
    #[error("the outcome is unknown: {0}")]
    Unknown(ClientError),
}

/// Reads a live tree.
///
/// `read_many` answers in the order asked. Each znode is read in a few requests: its data, ACL and children may
/// stem from slightly different moments. A znode whose `Stat` shows no children is not asked for them.
#[async_trait]
pub trait ZnodeReader: Send + Sync {
    /// Reads each of `paths`.
    ///
    /// # Errors
    /// [`ClientError`] when the ensemble cannot be reached in time; nothing is known of any path then.
    async fn read_many(&self, paths: &[ZnodePath]) -> Result<Vec<Reading>, ClientError>;

    /// How many znodes one call should ask for.
    fn batch_size(&self) -> usize;

    /// How many calls should be in flight together.
    fn batches_in_flight(&self) -> usize;
}

/// Changes a live tree.
///
/// The operations of one call are independent of each other and may take effect in any order, some and not
/// others; each has its own outcome, in the order given. A call returns only when every outcome is known or
/// known to be [`WriteError::Unknown`].
#[async_trait]
pub trait ZnodeWriter: Send + Sync {
    /// Carries out `ops`.
    async fn write_many(&self, ops: Vec<WriteOp>) -> Vec<Result<(), WriteError>>;

    /// An ACL under which this connection may do everything, for a znode that is still being restored.
    fn working_acl(&self) -> Acl;
}
