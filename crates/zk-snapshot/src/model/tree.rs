//! The tree of the model, with every state that it ever had.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::tree::{Acl, Stat, WriteError, WriteOp, ZnodePath};

use super::Identity;

/// A znode at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Znode {
    /// Its data.
    pub data: Vec<u8>,
    /// Its access control list.
    pub acl: Acl,
    /// Its `Stat`.
    pub stat: Stat,
}

/// One change that was carried out.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The transaction that it belongs to.
    pub zxid: i64,
    /// The session that asked for it; 0 where no client did.
    pub by: i64,
    /// What was asked for.
    pub op: WriteOp,
    /// What was there.
    pub before: Option<Arc<Znode>>,
    /// What was there afterwards.
    pub after: Option<Arc<Znode>>,
}

/// An answer that told a client of a znode.
#[derive(Debug, Clone)]
pub struct Look {
    /// Whose answer.
    pub by: i64,
    /// The znode.
    pub path: ZnodePath,
    /// The state that it was told of.
    pub zxid: i64,
    /// Of its ACL, of its children's names, or else of its data.
    pub what: &'static str,
    /// How many changes had been made by anybody by then.
    pub after: usize,
}

/// What a znode was from a transaction on; `None`: it was not there.
pub(super) type Version = (i64, Option<Arc<Znode>>);

/// A tree and all that it ever was.
#[derive(Debug)]
pub struct ModelTree {
    pub(super) zxid: i64,
    pub(super) versions: BTreeMap<ZnodePath, Vec<Version>>,
    pub(super) log: Vec<Entry>,
    pub(super) looks: Vec<Look>,
}

impl ModelTree {
    pub(super) fn new() -> Self {
        let root = Znode {
            data: Vec::new(),
            acl: Acl::open(),
            stat: Stat::default(),
        };
        Self {
            zxid: 1,
            versions: BTreeMap::from([(ZnodePath::root(), vec![(0, Some(Arc::new(root)))])]),
            log: Vec::new(),
            looks: Vec::new(),
        }
    }

    /// The last transaction.
    #[must_use]
    pub fn zxid(&self) -> i64 {
        self.zxid
    }

    /// Every change so far.
    #[must_use]
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// Everything that clients were told so far.
    #[must_use]
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// Every path where there ever was something.
    pub fn paths(&self) -> impl Iterator<Item = &ZnodePath> {
        self.versions.keys()
    }

    /// What was at `path` after the transaction `zxid`.
    #[must_use]
    pub fn at(&self, path: &ZnodePath, zxid: i64) -> Option<&Arc<Znode>> {
        let versions = self.versions.get(path)?;
        let end = versions.partition_point(|(since, _)| *since <= zxid);
        versions[..end].last().and_then(|(_, znode)| znode.as_ref())
    }

    /// What is at `path`.
    #[must_use]
    pub fn get(&self, path: &ZnodePath) -> Option<&Arc<Znode>> {
        self.at(path, self.zxid)
    }

    /// The names of the children after the transaction `zxid`.
    #[must_use]
    pub fn children(&self, path: &ZnodePath, zxid: i64) -> Vec<String> {
        let below = self.versions.range(path.clone()..).map(|(p, _)| p);
        below
            .take_while(|p| p.as_str().starts_with(path.as_str()))
            .filter(|p| p.parent().as_ref() == Some(path) && self.at(p, zxid).is_some())
            .map(|p| p.name().to_owned())
            .collect()
    }

    /// Changes the tree, whatever the ACLs say.
    ///
    /// # Errors
    /// As a server's.
    pub fn write(&mut self, op: &WriteOp) -> Result<(), WriteError> {
        self.commit(0, 0, &Identity::superuser(), std::slice::from_ref(op))
    }

    /// Creates an ephemeral znode of `session`, whatever the ACLs say.
    ///
    /// # Errors
    /// As a server's.
    pub fn write_ephemeral(&mut self, op: &WriteOp, session: i64) -> Result<(), WriteError> {
        self.commit(0, session, &Identity::superuser(), std::slice::from_ref(op))
    }

    /// Deletes `path` and what is below it, whatever the ACLs say.
    pub fn delete_all(&mut self, path: &ZnodePath) {
        let doomed = |p: &ZnodePath| p.is_within(path) && !p.is_root();
        let mut below: Vec<_> = self.versions.keys().filter(|p| doomed(p)).cloned().collect();
        below.sort_by_key(|path| std::cmp::Reverse(path.depth()));
        for path in below {
            let _ = self.write(&WriteOp::Delete { path, version: None }); // some are gone already
        }
    }

    /// Ends every session that owns an ephemeral znode.
    pub fn end_sessions(&mut self) {
        let is_ephemeral = |znode: &Arc<Znode>| znode.stat.is_ephemeral();
        let paths: Vec<_> = self.versions.keys().cloned().collect();
        for path in paths {
            if self.get(&path).is_some_and(is_ephemeral) {
                let _ = self.write(&WriteOp::Delete { path, version: None }); // they have no children
            }
        }
    }
}
