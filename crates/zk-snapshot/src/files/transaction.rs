//! Transactions as a log has them, for whoever looks into one.

use std::time::Duration;

use super::Fault;
use super::acls;
use super::paths::name_of;
use super::txn::{Create, Created, Op, Txn};
use crate::tree::{Acl, Kind};

/// One transaction of a log. Paths that are no UTF-8, which servers before 3.5 took, have U+FFFD in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its number: the epoch in the upper 32 bits, and a counter within it.
    pub zxid: i64,
    /// The session that asked for it.
    pub session: i64,
    /// When the leader took it, ms since the Unix epoch.
    pub time: i64,
    /// What it does.
    pub operation: Operation,
    /// The digest of the whole tree after it, where the release writes one (3.6 and newer).
    pub digest: Option<u64>,
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// A session begins.
    CreateSession {
        /// After so long without a word of its client it ends.
        timeout: Duration,
    },
    /// A session ends, and its ephemeral znodes with it.
    CloseSession {
        /// These, where the release writes them (3.6 and newer); else none.
        ephemerals: Vec<String>,
    },
    /// A znode comes.
    Create {
        /// Where.
        path: String,
        /// Its data; `None` is null.
        data: Option<Vec<u8>>,
        /// Its access control list.
        acl: Acl,
        /// How long it lives.
        kind: Kind,
    },
    /// A znode goes.
    Delete {
        /// Which.
        path: String,
    },
    /// A znode has other data.
    SetData {
        /// Which.
        path: String,
        /// The new data; `None` is null.
        data: Option<Vec<u8>>,
        /// Its `version` from now on.
        version: i32,
    },
    /// A znode has another access control list.
    SetAcl {
        /// Which.
        path: String,
        /// The new list.
        acl: Acl,
        /// Its `aversion` from now on.
        version: i32,
    },
    /// All of these at once; none of them, if one is [`Failed`](Self::Failed).
    Multi(Vec<Operation>),
    /// It was refused, and changes nothing.
    Failed,
    /// A version was checked, which changes nothing.
    Check,
}

impl Transaction {
    pub(super) fn of(txn: &Txn<'_>) -> Result<Self, Fault> {
        Ok(Self {
            zxid: txn.header.zxid,
            session: txn.header.session,
            time: txn.header.time,
            operation: Operation::of(&txn.op)?,
            digest: txn.digest,
        })
    }
}

impl Operation {
    fn of(op: &Op<'_>) -> Result<Self, Fault> {
        let list = |acl: &[u8]| acls::decode(acl).ok_or(Fault::Truncated);
        Ok(match op {
            Op::CreateSession(timeout) => Self::CreateSession {
                timeout: Duration::from_millis(u64::try_from(*timeout).unwrap_or(0)),
            },
            Op::CloseSession(paths) => Self::CloseSession {
                ephemerals: paths.iter().map(|path| name_of(path)).collect(),
            },
            Op::Create(create) => Self::Create {
                path: name_of(create.path),
                data: create.data.map(<[u8]>::to_vec),
                acl: list(create.acl)?,
                kind: kind(create),
            },
            Op::Delete(path) => Self::Delete { path: name_of(path) },
            Op::SetData { path, data, version } => Self::SetData {
                path: name_of(path),
                data: data.map(<[u8]>::to_vec),
                version: *version,
            },
            Op::SetAcl { path, acl, version } => Self::SetAcl {
                path: name_of(path),
                acl: list(acl)?,
                version: *version,
            },
            Op::Multi(ops) => Self::Multi(ops.iter().map(Self::of).collect::<Result<_, _>>()?),
            Op::Error => Self::Failed,
            Op::Check => Self::Check,
        })
    }
}

fn kind(create: &Create<'_>) -> Kind {
    match create.kind {
        Created::Persistent => Kind::Persistent,
        Created::Ephemeral => Kind::Ephemeral,
        Created::Container => Kind::Container,
        Created::Ttl(ms) => Kind::Ttl(Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
    }
}
