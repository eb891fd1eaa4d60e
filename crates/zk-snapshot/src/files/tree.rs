//! The tree that snapshots and logs describe, as a server holds it (`DataTree`).

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Fault;
use super::acls::Acls;
use super::jute::Persisted;
use super::txn::{Create, Created, Header, Op, Txn};
use crate::Kind;
use crate::tree::kind::{CONTAINER, TTL};

/// Bytes in the tree's arena; none where the length is [`NONE`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    at: usize,
    length: u32,
}

const NONE: u32 = u32::MAX;

impl Span {
    pub(super) fn new(at: usize, length: Option<usize>) -> Self {
        let length = length.map_or(NONE, |length| u32::try_from(length).unwrap_or(NONE));
        Self { at, length }
    }

    fn bytes(self) -> usize {
        if self.length == NONE {
            0
        } else {
            self.length as usize
        }
    }
}

pub(super) struct Node {
    path: Span,
    data: Span,
    pub(super) acl: u32,
    /// Those that are there; [`GONE`] if it is not there itself.
    children: u32,
    pub(super) stat: Persisted,
}

const GONE: u32 = u32::MAX;
/// Dead znodes and dead bytes are cleared away where they are more than the live ones, and than these.
const DEAD_NODES: usize = 4_096;
const DEAD_BYTES: usize = 32 << 20;

/// A znode of a [`FileTree`].
pub(super) struct Seen<'a> {
    /// Empty for the root.
    pub(super) path: &'a [u8],
    pub(super) data: Option<&'a [u8]>,
    pub(super) node: &'a Node,
}

/// What was left out, since it belongs to sessions that are not there any more after a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Dropped {
    /// Sessions.
    pub sessions: u64,
    /// Their ephemeral znodes.
    pub ephemerals: u64,
    /// Znodes owned by a session that does not exist: a server that loads them deletes them. TTL znodes of 3.5.3
    /// look like that.
    pub orphans: u64,
    /// The first 20 of these.
    pub orphan_paths: Vec<String>,
}

/// How many znodes of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Those that stay until they are deleted.
    pub persistent: u64,
    /// Those that go with their last child.
    pub container: u64,
    /// Those that go when nothing happens to them.
    pub ttl: u64,
    /// Bytes of data in all of them.
    pub bytes: u64,
}

/// All znodes and sessions of a server at one zxid.
///
/// Znodes are in the order of their creation as far as it is known: parents come before their children.
pub struct FileTree {
    arena: Vec<u8>,
    pub(super) nodes: Vec<Node>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    pub(super) acls: Acls,
    sessions: HashMap<i64, i32>,
    owned: HashMap<i64, BTreeSet<u32>>,
    dead_bytes: usize,
    dead_nodes: usize,
    /// Whether a znode went that had children.
    torn: bool,
    zxid: i64,
    digest: u64,
}

/// `path`'s parent as the tree knows it.
fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    Some(&path[..slash])
}

fn name_of(path: &[u8]) -> String {
    match path {
        [] => "/".to_owned(),
        path => String::from_utf8_lossy(path).into_owned(),
    }
}

/// As `DigestCalculator` has it: what the server keeps for itself below `/zookeeper` does not count.
fn digest(path: &[u8], data: Option<&[u8]>, stat: &Persisted) -> u64 {
    if path.starts_with(b"/zookeeper/") {
        return 0;
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(path);
    crc.update(data.unwrap_or_default());
    crc.update(&stat.for_digest());
    u64::from(crc.finalize())
}

impl FileTree {
    /// Over the bytes of a snapshot that was taken at `zxid`, with room for `nodes`.
    pub(super) fn over(arena: Vec<u8>, zxid: i64, sessions: HashMap<i64, i32>, acls: Acls) -> Self {
        let room = arena.len() / 160;
        Self {
            arena,
            nodes: Vec::with_capacity(room),
            index: HashTable::with_capacity(room),
            hasher: DefaultHashBuilder::default(),
            acls,
            sessions,
            owned: HashMap::new(),
            dead_bytes: 0,
            dead_nodes: 0,
            torn: false,
            zxid,
            digest: 0,
        }
    }

    /// The last transaction that is in it.
    #[must_use]
    pub fn zxid(&self) -> i64 {
        self.zxid
    }

    /// The number of znodes, the root included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len() - self.dead_nodes
    }

    /// Whether not even a root is there, which no server's snapshot lacks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// ZooKeeper's digest of it, version 2.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    fn bytes(&self, span: Span) -> Option<&[u8]> {
        (span.length != NONE).then(|| &self.arena[span.at..span.at + span.bytes()])
    }

    fn path(&self, node: &Node) -> &[u8] {
        self.bytes(node.path).unwrap_or_default()
    }

    fn find(&self, path: &[u8]) -> Option<u32> {
        let path = if path == b"/" { b"" } else { path };
        let hash = self.hasher.hash_one(path);
        let same = |at: &u32| self.path(&self.nodes[*at as usize]) == path;
        self.index.find(hash, same).copied()
    }

    fn digest_of(&self, at: u32) -> u64 {
        let node = &self.nodes[at as usize];
        digest(self.path(node), self.bytes(node.data), &node.stat)
    }

    /// Changes a znode's `Stat`, and the digest with it.
    fn alter(&mut self, at: u32, change: impl FnOnce(&mut Persisted)) {
        let before = self.digest_of(at);
        change(&mut self.nodes[at as usize].stat);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(self.digest_of(at));
    }

    /// Adds a znode whose path and data are in the arena already, or replaces what is at its path. `above` is its
    /// parent where that is known.
    pub(super) fn put(
        &mut self,
        (path, data): (Span, Span),
        acl: u32,
        stat: Persisted,
        above: Option<u32>,
    ) -> Result<u32, Fault> {
        let name = self.bytes(path).unwrap_or_default();
        let hash = self.hasher.hash_one(name);
        let known = self
            .index
            .find(hash, |at| self.path(&self.nodes[*at as usize]) == name);
        if let Some(at) = known.copied() {
            self.release(at);
            let before = self.digest_of(at);
            let node = &mut self.nodes[at as usize];
            (node.data, node.acl, node.stat) = (data, acl, stat);
            self.digest = self.digest.wrapping_sub(before).wrapping_add(self.digest_of(at));
            self.own(at);
            return Ok(at);
        }
        if !name.is_empty() {
            let above = above.or_else(|| self.find(parent(name)?));
            let above = above.ok_or_else(|| Fault::NoParent(name_of(name)))?;
            self.nodes[above as usize].children += 1;
        }
        let at = u32::try_from(self.nodes.len()).map_err(|_| Fault::Length(self.nodes.len() as i64))?;
        self.nodes.push(Node {
            path,
            data,
            acl,
            children: 0,
            stat,
        });
        let (arena, nodes, hasher) = (&self.arena, &self.nodes, &self.hasher);
        let path_of = |at: &u32| {
            let span = nodes[*at as usize].path;
            &arena[span.at..span.at + span.bytes()]
        };
        self.index
            .insert_unique(hash, at, |at| hasher.hash_one(path_of(at)));
        self.digest = self.digest.wrapping_add(self.digest_of(at));
        self.own(at);
        Ok(at)
    }

    fn own(&mut self, at: u32) {
        let owner = self.nodes[at as usize].stat.owner;
        if self.kind(owner) == Kind::Ephemeral {
            self.owned.entry(owner).or_default().insert(at);
        }
    }

    fn release(&mut self, at: u32) {
        let owner = self.nodes[at as usize].stat.owner;
        if let Some(owned) = self.owned.get_mut(&owner) {
            owned.remove(&at);
        }
    }

    /// What an owner says. A session may have a number that looks like the mark of a TTL znode.
    fn kind(&self, owner: i64) -> Kind {
        match Kind::of_owner(owner) {
            Kind::Ttl(_) if self.sessions.contains_key(&owner) => Kind::Ephemeral,
            kind => kind,
        }
    }

    /// Whether `at` is the direct parent of `path`.
    pub(super) fn is_parent(&self, at: u32, path: &[u8]) -> bool {
        self.nodes
            .get(at as usize)
            .is_some_and(|node| parent(path) == Some(self.path(node)))
    }

    pub(super) fn arena(&self) -> &[u8] {
        &self.arena
    }

    fn keep(&mut self, bytes: Option<&[u8]>) -> Span {
        let span = Span::new(self.arena.len(), bytes.map(<[u8]>::len));
        self.arena.extend_from_slice(bytes.unwrap_or_default());
        span
    }

    /// Applies a transaction by the rules of replay: what the tree shows already is no error.
    pub(super) fn apply(&mut self, txn: &Txn<'_>) -> Result<(), Fault> {
        match &txn.op {
            Op::Multi(ops) if ops.contains(&Op::Error) => {}
            Op::Multi(ops) => ops.iter().try_for_each(|op| self.one(&txn.header, op))?,
            op => self.one(&txn.header, op)?,
        }
        self.zxid = self.zxid.max(txn.header.zxid);
        if self.dead_nodes > DEAD_NODES.max(self.len())
            || self.dead_bytes > DEAD_BYTES.max(self.arena.len() / 2)
        {
            self.tidy()?;
        }
        Ok(())
    }

    fn one(&mut self, header: &Header, op: &Op<'_>) -> Result<(), Fault> {
        match op {
            Op::CreateSession(timeout) => {
                self.sessions.insert(header.session, *timeout);
            }
            Op::CloseSession(paths) => {
                paths.iter().for_each(|path| self.delete(header, path));
                for at in self.owned.remove(&header.session).unwrap_or_default() {
                    let path = self.path(&self.nodes[at as usize]).to_vec();
                    self.delete(header, &path);
                }
                self.sessions.remove(&header.session);
            }
            Op::Create(create) => self.create(header, create)?,
            Op::Delete(path) => self.delete(header, path),
            Op::SetData { path, data, version } => {
                if let Some(at) = self.find(path) {
                    let before = self.digest_of(at);
                    self.replace(at, *data);
                    let stat = &mut self.nodes[at as usize].stat;
                    (stat.version, stat.mzxid, stat.mtime) = (*version, header.zxid, header.time);
                    self.digest = self.digest.wrapping_sub(before).wrapping_add(self.digest_of(at));
                }
            }
            Op::SetAcl { path, acl, version } => {
                if let Some(at) = self.find(path) {
                    self.nodes[at as usize].acl = self.acls.number(acl);
                    self.alter(at, |stat| stat.aversion = *version);
                }
            }
            Op::Multi(_) | Op::Error | Op::Check => {}
        }
        Ok(())
    }

    fn create(&mut self, header: &Header, create: &Create<'_>) -> Result<(), Fault> {
        let Some(above) = parent(create.path).and_then(|path| self.find(path)) else {
            return Ok(());
        };
        let acl = self.acls.number(create.acl);
        let count = |tree: &mut Self, creations: i32| {
            if creations > tree.nodes[above as usize].stat.cversion {
                tree.alter(above, |stat| {
                    (stat.cversion, stat.pzxid) = (creations, header.zxid);
                });
            }
        };
        if let Some(at) = self.find(create.path) {
            self.nodes[at as usize].acl = acl;
            if create.plain {
                count(self, create.parent_cversion);
            }
            return Ok(());
        }
        let creations = match create.parent_cversion {
            -1 => self.nodes[above as usize].stat.cversion.wrapping_add(1),
            creations => creations,
        };
        count(self, creations);
        let stat = Persisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            owner: match create.kind {
                Created::Persistent => 0,
                Created::Ephemeral => header.session,
                Created::Container => CONTAINER,
                Created::Ttl(ms) => TTL | ms,
            },
            ..Persisted::default()
        };
        let spans = (self.keep(Some(create.path)), self.keep(create.data));
        self.put(spans, acl, stat, Some(above)).map(drop)
    }

    fn delete(&mut self, header: &Header, path: &[u8]) {
        let Some(above) = parent(path).and_then(|path| self.find(path)) else {
            return;
        };
        self.alter(above, |stat| stat.pzxid = stat.pzxid.max(header.zxid));
        if let Some(at) = self.find(path) {
            self.remove(at, above);
        }
    }

    fn remove(&mut self, at: u32, above: u32) {
        self.digest = self.digest.wrapping_sub(self.digest_of(at));
        self.release(at);
        let hash = self.hasher.hash_one(self.path(&self.nodes[at as usize]));
        if let Ok(entry) = self.index.find_entry(hash, |known| *known == at) {
            entry.remove();
        }
        let node = &mut self.nodes[at as usize];
        self.torn |= node.children > 0;
        node.children = GONE;
        self.dead_bytes += node.path.bytes() + node.data.bytes();
        self.dead_nodes += 1;
        let above = &mut self.nodes[above as usize].children;
        *above = above.saturating_sub(1);
    }

    fn replace(&mut self, at: u32, data: Option<&[u8]>) {
        let span = self.nodes[at as usize].data;
        match data {
            Some(data) if data.len() == span.length as usize => {
                self.arena[span.at..span.at + data.len()].copy_from_slice(data);
            }
            data => {
                self.dead_bytes += span.bytes();
                self.nodes[at as usize].data = self.keep(data);
            }
        }
    }

    /// Gives back what dead znodes and replaced data hold.
    fn tidy(&mut self) -> Result<(), Fault> {
        let sessions = std::mem::take(&mut self.sessions);
        let acls = std::mem::take(&mut self.acls);
        let mut tidy = Self::over(Vec::new(), self.zxid, sessions, acls);
        tidy.arena
            .reserve(self.arena.len().saturating_sub(self.dead_bytes));
        for seen in self.seen() {
            let spans = (tidy.keep(Some(seen.path)), tidy.keep(seen.data));
            tidy.put(spans, seen.node.acl, seen.node.stat, None)?;
        }
        tidy.torn = self.torn;
        *self = tidy;
        Ok(())
    }

    /// Every znode, parents before their children.
    pub(super) fn seen(&self) -> impl Iterator<Item = Seen<'_>> {
        let there = self.nodes.iter().filter(|node| node.children != GONE);
        there.map(|node| Seen {
            path: self.path(node),
            data: self.bytes(node.data),
            node,
        })
    }

    /// How many znodes of each kind there are, ephemeral ones not counted.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        let mut kinds = Kinds::default();
        for seen in self.seen() {
            match self.kind(seen.node.stat.owner) {
                Kind::Persistent => kinds.persistent += 1,
                Kind::Container => kinds.container += 1,
                Kind::Ttl(_) => kinds.ttl += 1,
                Kind::Ephemeral => continue,
            }
            kinds.bytes += seen.data.map_or(0, <[u8]>::len) as u64;
        }
        kinds
    }

    /// Leaves out what belongs to sessions, and checks that what is left is whole.
    pub(super) fn settle(&mut self) -> Result<Dropped, Fault> {
        let mut dropped = Dropped {
            sessions: self.sessions.len() as u64,
            ..Dropped::default()
        };
        for (session, owned) in std::mem::take(&mut self.owned) {
            for at in owned {
                let path = self.path(&self.nodes[at as usize]).to_vec();
                if self.sessions.contains_key(&session) {
                    dropped.ephemerals += 1;
                } else {
                    dropped.orphans += 1;
                    if dropped.orphan_paths.len() < 20 {
                        dropped.orphan_paths.push(name_of(&path));
                    }
                }
                if let Some(above) = parent(&path).and_then(|path| self.find(path)) {
                    self.remove(at, above);
                }
            }
        }
        self.sessions.clear();
        if self.find(b"").is_none() {
            return Err(Fault::NoParent("/".to_owned()));
        }
        for seen in self.seen() {
            if self.torn && parent(seen.path).is_some_and(|path| self.find(path).is_none()) {
                return Err(Fault::NoParent(name_of(seen.path)));
            }
            if seen.node.acl == Acls::UNKNOWN {
                return Err(Fault::NoAcl(name_of(seen.path)));
            }
        }
        Ok(dropped)
    }
}
