//! The traits through which a tree is read and written, and what is said through them.

use async_trait::async_trait;

use super::reserved::{KEEPER_VERSION, QUOTA};
use super::{Acl, ClientError, Kind, Stat, WriteError, ZnodePath};

/// Znodes that are asked for together while they may be large.
pub(crate) const WITH_RESTRAINT: usize = 1024;

/// How many calls are in flight together where their znodes may be large.
pub(crate) fn calls_with_restraint(reader: &(impl ZnodeReader + ?Sized)) -> usize {
    let calls = WITH_RESTRAINT / reader.batch_size().max(1);
    calls.min(reader.batches_in_flight()).max(1)
}

/// What a znode held when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The data; null and empty data look alike.
    pub data: Vec<u8>,
    /// The `Stat` that came with the data.
    pub stat: Stat,
    /// The children's names, in no order.
    pub children: Vec<String>,
}

/// What guarded a znode when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclFound {
    /// The access control list.
    pub acl: Acl,
    /// The `Stat` that came with it: `czxid` and `aversion` tell which znode and which list of it this was.
    pub stat: Stat,
}

/// The outcome of reading one znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T = Found> {
    /// It is there.
    Found(T),
    /// It is not there (any more).
    Missing,
    /// The server refused to show it to this connection.
    Denied,
    /// It is there, but what the server said of it cannot be understood, for this reason: an ACL with permission
    /// bits that no one has defined, a text that is no UTF-8. Nothing of it may be guessed.
    Undecodable(String),
}

/// Which states of the ensemble the answers of several calls may stem from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Those of any server, in any order: the fastest.
    Any,
    /// Those of one server, each not older than the one before, until [`ZnodeReader::epoch`] changes.
    One,
}

/// Which program serves a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Served {
    /// ZooKeeper, or what cannot be told from it.
    ByZooKeeper,
    /// ClickHouse Keeper.
    ByKeeper {
        /// Whether `/keeper` is what it keeps for itself: below a chroot it is a znode of clients like any other.
        shows_own: bool,
    },
}

/// One change of one znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOp {
    /// Create a znode.
    Create {
        /// Where.
        path: ZnodePath,
        /// Its data.
        data: Vec<u8>,
        /// Its access control list.
        acl: Acl,
        /// How long it lives; never [`Kind::Ephemeral`].
        kind: Kind,
    },
    /// Replace the data.
    SetData {
        /// Where.
        path: ZnodePath,
        /// The new data.
        data: Vec<u8>,
        /// Only while `Stat::version` is this; whatever it is if `None`.
        version: Option<i32>,
    },
    /// Replace the access control list.
    SetAcl {
        /// Where.
        path: ZnodePath,
        /// The new list.
        acl: Acl,
        /// Only while `Stat::aversion` is this; whatever it is if `None`.
        version: Option<i32>,
    },
    /// Delete a znode without children.
    Delete {
        /// Where.
        path: ZnodePath,
        /// Only while `Stat::version` is this; whatever it is if `None`.
        version: Option<i32>,
    },
}

impl WriteOp {
    /// About what it takes in a request, in bytes.
    pub(crate) fn size(&self) -> usize {
        let list = |acl: &Acl| -> usize {
            let entries = acl.entries().iter();
            entries
                .map(|entry| entry.scheme.len() + entry.id.len() + 12)
                .sum()
        };
        let body = match self {
            Self::Create { data, acl, .. } => data.len() + list(acl),
            Self::SetData { data, .. } => data.len(),
            Self::SetAcl { acl, .. } => list(acl),
            Self::Delete { .. } => 0,
        };
        self.path().as_str().len() + body + 32
    }

    /// The znode that is changed.
    #[must_use]
    pub fn path(&self) -> &ZnodePath {
        match self {
            Self::Create { path, .. }
            | Self::SetData { path, .. }
            | Self::SetAcl { path, .. }
            | Self::Delete { path, .. } => path,
        }
    }

    /// Why it cannot be sent as it is: client libraries know the permissions that ZooKeeper defines, and no others.
    #[cfg(any(feature = "batched-client", feature = "plain-client"))]
    pub(crate) fn unsendable(&self) -> Option<WriteError> {
        let (Self::Create { acl, .. } | Self::SetAcl { acl, .. }) = self else {
            return None;
        };
        let bad = acl.entries().iter().find(|entry| entry.perms > 31)?;
        let why = format!(
            "its ACL has permission bits that no client can send: {:#b}",
            bad.perms
        );
        Some(WriteError::Refused(why))
    }
}

/// Reads a live tree. Answers come in the order asked.
///
/// What not every client can do has a default, which says that it cannot be done or is not known, and claims nothing. One
/// that stands before another reader must hand on all of it.
#[async_trait]
pub trait ZnodeReader: Send + Sync {
    /// Reads the data, the `Stat` and the children of each of `paths`. Data and children of a znode may stem
    /// from slightly different moments; a znode whose `Stat` shows no children is not asked for them.
    ///
    /// # Errors
    /// [`ClientError`] when the ensemble cannot be reached in time; nothing is known of any path then.
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError>;

    /// Reads the ACL of each of `paths`.
    ///
    /// # Errors
    /// As [`read_many`](Self::read_many).
    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError>;

    /// How many znodes one call should ask for.
    fn batch_size(&self) -> usize;

    /// How many calls should be in flight together, where their znodes are known to be small.
    fn batches_in_flight(&self) -> usize;

    /// Grows whenever reads of [`History::One`] may have gone over to another connection. Always the same of what has no
    /// connection to lose, and of nothing else.
    fn epoch(&self) -> u64;

    /// The newest transaction that the server which reads of [`History::One`] ask has applied: while it stays the same
    /// nothing has changed there, whoever may see it. `None` where that cannot be told, as by default.
    async fn applied(&self) -> Option<i64> {
        None
    }

    /// The session of the connection that reads of [`History::One`] use, as the whole ensemble knows it. `None` where
    /// there is none, as by default.
    ///
    /// # Errors
    /// [`ClientError`] when the ensemble cannot be reached in time.
    async fn session(&self) -> Result<Option<i64>, ClientError> {
        Ok(None)
    }

    /// As whom the server knows this connection, each as `scheme:id`, by which ACLs name them. `None` where that is not told, as by default.
    ///
    /// # Errors
    /// [`ClientError`] when the ensemble cannot be reached in time.
    async fn identities(&self) -> Result<Option<Vec<String>>, ClientError> {
        Ok(None)
    }

    /// Which program serves the tree. By default it is ClickHouse Keeper where it says so in a znode, and lacks one that every ZooKeeper has. Whose `/`
    /// is not that of the servers must hand this on, or ask for these znodes where they are.
    ///
    /// # Errors
    /// [`ClientError`] when the ensemble cannot be reached in time.
    async fn served(&self) -> Result<Served, ClientError> {
        let paths = [KEEPER_VERSION, QUOTA].map(ZnodePath::parse);
        let paths: Vec<_> = paths.into_iter().flatten().collect();
        let readings = self.read_many(&paths, History::Any).await?;
        Ok(match readings[..] {
            [Reading::Found(_), Reading::Missing] => Served::ByKeeper { shows_own: true },
            _ => Served::ByZooKeeper,
        })
    }

    /// Whether it is known that no ACL hides anything from this connection, as none does from `super`. By default it is
    /// not.
    ///
    /// # Errors
    /// [`ClientError`] when the ensemble cannot be reached in time.
    async fn reads_everything(&self) -> Result<bool, ClientError> {
        Ok(false)
    }

    /// Returns when the server that reads of [`History::One`] ask has done all that any server of the ensemble had
    /// done when this was called. `false` where this client cannot have it do so, and nothing is known.
    ///
    /// # Errors
    /// [`ClientError`] when the ensemble cannot be reached in time.
    async fn sync(&self) -> Result<bool, ClientError>;

    /// As [`read_many`](Self::read_many) with [`History::One`], but without children, and all as of one moment;
    /// `None` if that cannot be done with so many, or at all, as by default.
    ///
    /// # Errors
    /// As [`read_many`](Self::read_many).
    async fn read_at_once(&self, paths: &[ZnodePath]) -> Result<Option<Vec<Reading>>, ClientError> {
        let _ = paths;
        Ok(None)
    }

    /// Watches all that happens in the subtrees `roots`. `None` where that cannot be done, as by default: the server must
    /// be of 3.6 or newer.
    ///
    /// # Errors
    /// [`ClientError`] when the ensemble cannot be reached in time.
    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        let _ = roots;
        Ok(None)
    }
}

#[async_trait]
impl<R: ZnodeReader + ?Sized> ZnodeReader for &R {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        (**self).read_many(paths, history).await
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        (**self).read_acls(paths).await
    }

    fn batch_size(&self) -> usize {
        (**self).batch_size()
    }

    fn batches_in_flight(&self) -> usize {
        (**self).batches_in_flight()
    }

    fn epoch(&self) -> u64 {
        (**self).epoch()
    }

    async fn identities(&self) -> Result<Option<Vec<String>>, ClientError> {
        (**self).identities().await
    }

    async fn served(&self) -> Result<Served, ClientError> {
        (**self).served().await
    }

    async fn reads_everything(&self) -> Result<bool, ClientError> {
        (**self).reads_everything().await
    }

    async fn applied(&self) -> Option<i64> {
        (**self).applied().await
    }

    async fn session(&self) -> Result<Option<i64>, ClientError> {
        (**self).session().await
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        (**self).sync().await
    }

    async fn read_at_once(&self, paths: &[ZnodePath]) -> Result<Option<Vec<Reading>>, ClientError> {
        (**self).read_at_once(paths).await
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        (**self).watch(roots).await
    }
}

/// What a [`TreeWatch`] has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// Znodes whose data or `Stat` may have changed, each once for every change of its data and every creation
    /// or deletion of a child that was told.
    Of(Vec<ZnodePath>),
    /// The connection was lost for a moment, or for good: changes may have been missed.
    Lost,
}

/// A watch over subtrees, set when it was made.
pub trait TreeWatch: Send {
    /// The changes since the last call.
    ///
    /// Every change that the server made before it answered a read of [`History::One`] has been seen once that
    /// answer is here.
    fn take(&mut self) -> Changes;
}

/// Changes a live tree.
///
/// Each operation of a call has its own outcome, in the order given: some may be carried out and others not. A
/// call returns only when every outcome is known or known to be [`WriteError::Unknown`].
#[async_trait]
pub trait ZnodeWriter: Send + Sync {
    /// Carries out `ops`.
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>>;

    /// Whether operations take effect in the order given, and calls in the order in which they are first polled.
    /// Else, and by default, those of one call, and of several at once, must be independent of each other.
    fn keeps_order(&self) -> bool {
        false
    }

    /// How many operations one call should carry out; any number can be asked for.
    fn write_batch(&self) -> usize {
        32
    }

    /// An ACL under which this connection may do everything, for a znode that is still being restored.
    fn working_acl(&self) -> Acl;
}
