//! The tree that snapshots and logs describe, as a server holds it (`DataTree`).

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Fault;
use super::acls::Acls;
use super::arena::{Arena, Span};
use super::base::Base;
use super::digest::digest;
use super::jute::Persisted;
use super::kinds::Kinds;
use super::old_names::NAMED;
use super::paths::name_of;
use super::samples::Sample;
use super::source::Source;

/// Dead znodes are cleared away where they are more than the live ones, and than these.
const DEAD_NODES: usize = 4_096;
const GONE: u32 = u32::MAX;

/// A znode that is held in memory.
pub(super) struct Node {
    path: Span,
    pub(super) data: Span,
    pub(super) acl: u32,
    /// Those that are there; [`GONE`] if it is not there itself.
    children: u32,
    pub(super) stat: Persisted,
}

impl Node {
    pub(super) fn is_gone(&self) -> bool {
        self.children == GONE
    }

    /// How many are there, of a node that is there itself.
    pub(super) fn children(&self) -> u32 {
        self.children
    }

    pub(super) fn has_children(&self) -> bool {
        self.children > 0
    }
}

/// A znode of a [`FileTree`].
pub(super) struct Seen<'a> {
    /// Empty for the root.
    pub(super) path: &'a [u8],
    pub(super) data: Option<&'a [u8]>,
    pub(super) node: &'a Node,
}

/// All znodes of a server at one zxid.
///
/// Only what transactions and sessions have touched since a snapshot was begun is in memory. The rest stays in the
/// snapshot, which is kept open and read once more when the tree is written.
pub struct FileTree {
    arena: Arena,
    nodes: Vec<Node>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    pub(super) acls: Acls,
    pub(super) sessions: HashMap<i64, i32>,
    pub(super) owned: HashMap<i64, BTreeSet<u32>>,
    dead_nodes: usize,
    /// Those of them that [`tidy`](Self::tidy) clears away.
    dead_created: usize,
    pub(super) zxid: i64,
    digest: u64,
    pub(super) base: Base,
}

impl fmt::Debug for FileTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileTree")
            .field("zxid", &self.zxid)
            .field("znodes", &self.len())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl FileTree {
    /// Nothing yet, over a snapshot that was taken at `zxid`.
    pub(super) fn over(source: Source, zxid: i64) -> Self {
        Self {
            arena: Arena::default(),
            nodes: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            acls: Acls::default(),
            sessions: HashMap::new(),
            owned: HashMap::new(),
            dead_nodes: 0,
            dead_created: 0,
            zxid,
            digest: 0,
            base: Base::new(source),
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
        self.arena.get(span)
    }

    pub(super) fn path(&self, node: &Node) -> &[u8] {
        self.bytes(node.path).unwrap_or_default()
    }

    pub(super) fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    /// The numbers of all nodes, also of those that are gone.
    pub(super) fn places(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn find(&self, path: &[u8]) -> Option<u32> {
        let path = if path == b"/" { b"" } else { path };
        let hash = self.hasher.hash_one(path);
        let same = |at: &u32| self.path(self.node(*at)) == path;
        self.index.find(hash, same).copied()
    }

    /// What the node at `at` adds to the digest.
    fn digest_of(&self, at: u32) -> u64 {
        match self.node(at) {
            node if node.is_gone() => 0,
            node => digest(self.path(node), self.bytes(node.data), &node.stat),
        }
    }

    /// Changes the node at `at`, and the digest with it. Whatever happens to a node happens here: that it comes or goes,
    /// and other data, another list or another `Stat`.
    pub(super) fn change(&mut self, at: u32, change: impl FnOnce(&mut Node, &mut Arena)) {
        let before = self.digest_of(at);
        change(&mut self.nodes[at as usize], &mut self.arena);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(self.digest_of(at));
    }

    /// Adds the digests of znodes that stay in the snapshot.
    pub(super) fn add_quiet_digest(&mut self, digest: u64) {
        self.digest = self.digest.wrapping_add(digest);
    }

    /// Counts a child of `above`, where that is a node.
    pub(super) fn add_child(&mut self, above: Option<u32>) {
        if let Some(above) = above {
            self.nodes[above as usize].children += 1;
        }
    }

    /// Adds a znode. `above` is its parent, where that is a node.
    pub(super) fn put(
        &mut self,
        (path, data): (&[u8], Option<&[u8]>),
        acl: u32,
        stat: Persisted,
        above: Option<u32>,
    ) -> Result<u32, Fault> {
        if self.find(path).is_some() {
            return Err(Fault::Twice(name_of(path)));
        }
        let at = u32::try_from(self.nodes.len()).map_err(|_| Fault::Length(self.nodes.len() as i64))?;
        self.add_child(above);
        let node = Node {
            path: self.arena.keep(Some(path)),
            data: self.arena.keep(data),
            acl,
            children: GONE,
            stat,
        };
        self.nodes.push(node);
        self.change(at, |node, _| node.children = 0);
        self.enter(at);
        self.own(at);
        Ok(at)
    }

    pub(super) fn remove(&mut self, at: u32, above: Option<u32>) {
        self.release(at);
        let hash = self.hasher.hash_one(self.path(self.node(at)));
        if let Ok(entry) = self.index.find_entry(hash, |known| *known == at) {
            entry.remove();
        }
        self.change(at, |node, arena| {
            node.children = GONE;
            arena.release(node.path);
            arena.release(node.data);
        });
        self.dead_nodes += 1;
        self.dead_created += usize::from(at >= self.base.nodes);
        if let Some(above) = above {
            let above = &mut self.nodes[above as usize].children;
            *above = above.saturating_sub(1);
        }
    }

    /// Gives back what dead znodes and replaced data hold, where that is much. What is from the snapshot keeps its place.
    pub(super) fn tidy(&mut self) {
        if self.dead_created <= DEAD_NODES.max(self.len()) && !self.arena.is_wasteful() {
            return;
        }
        let old = std::mem::take(&mut self.arena);
        let nodes = std::mem::take(&mut self.nodes);
        self.index.clear();
        self.owned.clear();
        (self.dead_nodes, self.dead_created) = (0, 0);
        for (place, mut node) in nodes.into_iter().enumerate() {
            if node.is_gone() && place >= self.base.nodes as usize {
                continue;
            }
            if node.is_gone() {
                (node.path, node.data) = (Span::EMPTY, Span::NULL);
                self.nodes.push(node);
                self.dead_nodes += 1;
                continue;
            }
            node.path = self.arena.keep(old.get(node.path));
            node.data = self.arena.keep(old.get(node.data));
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
            let path = arena.get(nodes[*at as usize].path);
            hasher.hash_one(path.unwrap_or_default())
        };
        self.index.insert_unique(hash_of(&at), at, hash_of);
    }

    /// Every znode that is in memory.
    pub(super) fn seen(&self) -> impl Iterator<Item = Seen<'_>> {
        let there = self.nodes.iter().filter(|node| !node.is_gone());
        there.map(|node| self.show(node))
    }

    pub(super) fn show<'a>(&'a self, node: &'a Node) -> Seen<'a> {
        Seen {
            path: self.path(node),
            data: self.bytes(node.data),
            node,
        }
    }

    /// How many nodes are gone, and how many of them were not in the snapshot.
    #[cfg(test)]
    pub(super) fn dead(&self) -> (usize, usize) {
        (self.dead_nodes, self.dead_created)
    }

    /// The root, the 16 znodes that changed last and the 16 that did so longest ago, as of [`zxid`](Self::zxid).
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = self.base.samples.clone();
        self.seen()
            .for_each(|seen| samples.look_at(seen.path, &seen.node.stat));
        samples.listed()
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
}
