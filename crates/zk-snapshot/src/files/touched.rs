//! Which znodes transactions are about: what of a snapshot must be held.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashSet};

use super::paths::parent;
use super::txn::Op;

/// The znodes that transactions are about, and the parents of these: eight bytes for each path.
#[derive(Default)]
pub(super) struct Touched {
    paths: HashSet<u64>,
    ends: Ends,
    /// Sessions that end. Not every release logs which ephemeral znodes went with them.
    closed: HashSet<i64>,
    hasher: DefaultHashBuilder,
}

/// How paths end. Most of a snapshot is told from what is touched by that, in much less time than a hash takes.
struct Ends(Box<[u64; 1 << 10]>);

impl Default for Ends {
    fn default() -> Self {
        Self(Box::new([0; 1 << 10]))
    }
}

impl Ends {
    /// A word, and a bit of it.
    fn place(path: &[u8]) -> (usize, u64) {
        let end = match path.last_chunk::<8>() {
            Some(end) => u64::from_le_bytes(*end),
            None => path.iter().fold(0, |end, byte| end << 8 | u64::from(*byte)),
        };
        let mixed = (end ^ path.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed >> 54) as usize, 1 << (mixed >> 48 & 63))
    }

    fn insert(&mut self, path: &[u8]) {
        let (word, bit) = Self::place(path);
        self.0[word] |= bit;
    }

    fn may_have(&self, path: &[u8]) -> bool {
        let (word, bit) = Self::place(path);
        self.0[word] & bit != 0
    }
}

impl Touched {
    /// Whether it has `path`; it may say so of one in 2^64 that it has not.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.ends.may_have(path) && self.paths.contains(&self.hasher.hash_one(path))
    }

    /// Whether an ephemeral znode of `owner` goes, and it is not known to touch its parent.
    pub(super) fn misses(&self, owner: i64, parent: &[u8]) -> bool {
        self.closed.contains(&owner) && !self.has(parent)
    }

    pub(super) fn insert(&mut self, path: &[u8]) {
        let path = if path == b"/" { b"" } else { path };
        self.ends.insert(path);
        self.paths.insert(self.hasher.hash_one(path));
    }

    pub(super) fn with_parent(&mut self, path: &[u8]) {
        self.insert(path);
        if let Some(parent) = parent(path) {
            self.insert(parent);
        }
    }

    pub(super) fn add(&mut self, session: i64, op: &Op<'_>) {
        match op {
            Op::Create(create) => self.with_parent(create.path),
            Op::Delete(path) => self.with_parent(path),
            Op::CloseSession(paths) => {
                self.closed.insert(session);
                paths.iter().for_each(|path| self.with_parent(path));
            }
            Op::SetData { path, .. } | Op::SetAcl { path, .. } => self.insert(path),
            Op::Multi(ops) => ops.iter().for_each(|op| self.add(session, op)),
            Op::CreateSession(_) | Op::Error | Op::Check => {}
        }
    }
}
