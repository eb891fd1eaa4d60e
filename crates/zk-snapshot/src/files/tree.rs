//! The tree that snapshots and logs describe, as a server holds it (`DataTree`).

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Fault;
use super::acls::Acls;
use super::again::Sum;
use super::feed::Source;
use super::jute::Persisted;
use super::names::{NAMED, OldNames};
use crate::tree::Kind;

/// Bytes in the tree's arena; none where the length is [`NONE`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) at: usize,
    pub(super) length: u32,
}

const NONE: u32 = u32::MAX;

impl Span {
    pub(super) fn new(at: usize, length: Option<usize>) -> Self {
        let length = length.map_or(NONE, |length| u32::try_from(length).unwrap_or(NONE));
        Self { at, length }
    }

    pub(super) fn bytes(self) -> usize {
        if self.length == NONE {
            0
        } else {
            self.length as usize
        }
    }
}

pub(super) struct Node {
    pub(super) path: Span,
    pub(super) data: Span,
    pub(super) acl: u32,
    /// Those that are there; [`GONE`] if it is not there itself.
    pub(super) children: u32,
    pub(super) stat: Persisted,
}

pub(super) const GONE: u32 = u32::MAX;

/// The snapshot that a tree began with.
pub(super) struct Base {
    pub(super) source: Source,
    /// Its length and checksum: it must be the same when it is read again.
    pub(super) seal: Sum,
    /// What it consists of, in its order.
    pub(super) pieces: Vec<Piece>,
    /// How many znodes are in none of the nodes, and of what kind they are.
    pub(super) quiet: Kinds,
    /// The access control lists of these.
    pub(super) acls: BTreeSet<u32>,
    /// The names of these that no client can be sent.
    pub(super) old_names: OldNames,
    /// How many nodes are from it.
    pub(super) nodes: u32,
}

/// Znodes that are next to each other in a snapshot.
pub(super) enum Piece {
    /// So many, which no transaction touches.
    Quiet { at: u64, length: u32, znodes: u32 },
    /// One that is in the nodes.
    Node(u32),
}

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

impl Kinds {
    /// Of every kind.
    pub(super) fn znodes(&self) -> u64 {
        self.persistent + self.container + self.ttl
    }

    pub(super) fn count(&mut self, kind: Kind, data: Option<&[u8]>) {
        match kind {
            Kind::Persistent => self.persistent += 1,
            Kind::Container => self.container += 1,
            Kind::Ttl(_) => self.ttl += 1,
            Kind::Ephemeral => return,
        }
        self.bytes += data.map_or(0, <[u8]>::len) as u64;
    }
}

/// All znodes of a server at one zxid.
///
/// Only what transactions and sessions have touched since a snapshot was begun is in memory. The rest stays in the
/// snapshot, which is kept open and read once more when the tree is written.
pub struct FileTree {
    pub(super) arena: Vec<u8>,
    pub(super) nodes: Vec<Node>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    pub(super) acls: Acls,
    pub(super) sessions: HashMap<i64, i32>,
    pub(super) owned: HashMap<i64, BTreeSet<u32>>,
    pub(super) dead_bytes: usize,
    pub(super) dead_nodes: usize,
    /// Those of them that [`tidy`](Self::tidy) clears away.
    pub(super) dead_created: usize,
    pub(super) zxid: i64,
    pub(super) digest: u64,
    pub(super) base: Base,
}

/// `path`'s parent as the tree knows it.
pub(super) fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    Some(&path[..slash])
}

pub(super) fn name_of(path: &[u8]) -> String {
    match path {
        [] => "/".to_owned(),
        path => String::from_utf8_lossy(path).into_owned(),
    }
}

/// As `DigestCalculator` has it: what the server keeps for itself below `/zookeeper` does not count.
pub(super) fn digest(path: &[u8], data: Option<&[u8]>, stat: &Persisted) -> u64 {
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
    /// Nothing yet, over a snapshot that was taken at `zxid`.
    pub(super) fn over(source: Source, zxid: i64) -> Self {
        Self {
            arena: Vec::new(),
            nodes: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            acls: Acls::default(),
            sessions: HashMap::new(),
            owned: HashMap::new(),
            dead_bytes: 0,
            dead_nodes: 0,
            dead_created: 0,
            zxid,
            digest: 0,
            base: Base {
                source,
                seal: Sum::of(&[]),
                pieces: Vec::new(),
                quiet: Kinds::default(),
                acls: BTreeSet::new(),
                old_names: OldNames::default(),
                nodes: 0,
            },
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
        self.nodes.len() - self.dead_nodes + self.base.quiet.znodes() as usize
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

    pub(super) fn bytes(&self, span: Span) -> Option<&[u8]> {
        (span.length != NONE).then(|| &self.arena[span.at..span.at + span.bytes()])
    }

    pub(super) fn path(&self, node: &Node) -> &[u8] {
        self.bytes(node.path).unwrap_or_default()
    }

    pub(super) fn find(&self, path: &[u8]) -> Option<u32> {
        let path = if path == b"/" { b"" } else { path };
        let hash = self.hasher.hash_one(path);
        let same = |at: &u32| self.path(&self.nodes[*at as usize]) == path;
        self.index.find(hash, same).copied()
    }

    pub(super) fn digest_of(&self, at: u32) -> u64 {
        let node = &self.nodes[at as usize];
        digest(self.path(node), self.bytes(node.data), &node.stat)
    }

    /// Changes a znode's `Stat`, and the digest with it.
    pub(super) fn alter(&mut self, at: u32, change: impl FnOnce(&mut Persisted)) {
        let before = self.digest_of(at);
        change(&mut self.nodes[at as usize].stat);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(self.digest_of(at));
    }

    /// Adds a znode whose path and data are in the arena already. `above` is its parent, where that is a node.
    pub(super) fn put(
        &mut self,
        (path, data): (Span, Span),
        acl: u32,
        stat: Persisted,
        above: Option<u32>,
    ) -> Result<u32, Fault> {
        let name = self.bytes(path).unwrap_or_default();
        if self.find(name).is_some() {
            return Err(Fault::Twice(name_of(name)));
        }
        if let Some(above) = above {
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
        self.enter(at);
        self.digest = self.digest.wrapping_add(self.digest_of(at));
        self.own(at);
        Ok(at)
    }

    pub(super) fn own(&mut self, at: u32) {
        let owner = self.nodes[at as usize].stat.owner;
        if self.kind(owner) == Kind::Ephemeral {
            self.owned.entry(owner).or_default().insert(at);
        }
    }

    pub(super) fn release(&mut self, at: u32) {
        let owner = self.nodes[at as usize].stat.owner;
        if let Some(owned) = self.owned.get_mut(&owner) {
            owned.remove(&at);
        }
    }

    /// What an owner says. A session may have a number that looks like the mark of a TTL znode.
    pub(super) fn kind(&self, owner: i64) -> Kind {
        match Kind::of_owner(owner) {
            Kind::Ttl(_) if self.sessions.contains_key(&owner) => Kind::Ephemeral,
            kind => kind,
        }
    }

    pub(super) fn keep(&mut self, bytes: Option<&[u8]>) -> Span {
        let span = Span::new(self.arena.len(), bytes.map(<[u8]>::len));
        self.arena.extend_from_slice(bytes.unwrap_or_default());
        span
    }

    pub(super) fn remove(&mut self, at: u32, above: Option<u32>) {
        self.digest = self.digest.wrapping_sub(self.digest_of(at));
        self.release(at);
        let hash = self.hasher.hash_one(self.path(&self.nodes[at as usize]));
        if let Ok(entry) = self.index.find_entry(hash, |known| *known == at) {
            entry.remove();
        }
        let node = &mut self.nodes[at as usize];
        node.children = GONE;
        self.dead_bytes += node.path.bytes() + node.data.bytes();
        self.dead_nodes += 1;
        self.dead_created += usize::from(at >= self.base.nodes);
        if let Some(above) = above {
            let above = &mut self.nodes[above as usize].children;
            *above = above.saturating_sub(1);
        }
    }

    /// Gives back what dead znodes and replaced data hold. What is from the snapshot keeps its place.
    pub(super) fn tidy(&mut self) {
        let old = std::mem::take(&mut self.arena);
        let bytes = |span: Span| (span.length != NONE).then(|| &old[span.at..span.at + span.bytes()]);
        let nodes = std::mem::take(&mut self.nodes);
        self.index.clear();
        self.owned.clear();
        (self.dead_bytes, self.dead_nodes, self.dead_created) = (0, 0, 0);
        for (place, mut node) in nodes.into_iter().enumerate() {
            let gone = node.children == GONE;
            if gone && place >= self.base.nodes as usize {
                continue;
            }
            if gone {
                (node.path, node.data) = (Span::new(0, Some(0)), Span::new(0, None));
                self.nodes.push(node);
                self.dead_nodes += 1;
                continue;
            }
            let (path, data) = (bytes(node.path), bytes(node.data));
            (node.path, node.data) = (self.keep(path), self.keep(data));
            let at = self.nodes.len() as u32; // no more than there were before
            self.nodes.push(node);
            self.enter(at);
            self.own(at);
        }
    }

    /// Enters a node in the index.
    fn enter(&mut self, at: u32) {
        let (arena, nodes, hasher) = (&self.arena, &self.nodes, &self.hasher);
        let hash_of = |at: &u32| {
            let span = nodes[*at as usize].path;
            hasher.hash_one(&arena[span.at..span.at + span.bytes()])
        };
        self.index.insert_unique(hash_of(&at), at, hash_of);
    }

    /// Every znode that is in memory.
    pub(super) fn seen(&self) -> impl Iterator<Item = Seen<'_>> {
        let there = self.nodes.iter().filter(|node| node.children != GONE);
        there.map(|node| self.show(node))
    }

    pub(super) fn show<'a>(&'a self, node: &'a Node) -> Seen<'a> {
        Seen {
            path: self.path(node),
            data: self.bytes(node.data),
            node,
        }
    }

    /// How many znodes of each kind there are, ephemeral ones not counted.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        let mut kinds = self.base.quiet;
        for seen in self.seen() {
            kinds.count(self.kind(seen.node.stat.owner), seen.data);
        }
        kinds
    }

    /// How many znodes have names that servers before 3.5 took and clients cannot be sent, so that only a restore by
    /// files brings them back; and the first 20 of these.
    #[must_use]
    pub fn old_names(&self) -> (u64, Vec<String>) {
        let mut names = self.base.old_names.clone();
        self.seen().for_each(|seen| names.look_at(seen.path));
        names.paths.truncate(NAMED);
        (names.count, names.paths)
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
                if self.nodes[at as usize].children > 0 {
                    return Err(Fault::Children(name_of(&path)));
                }
                let above = parent(&path).and_then(|path| self.find(path));
                self.remove(at, above);
            }
        }
        self.sessions.clear();
        match self.seen().find(|seen| seen.node.acl == Acls::UNKNOWN) {
            Some(seen) => Err(Fault::NoAcl(name_of(seen.path))),
            None => Ok(dropped),
        }
    }
}
