//! The snapshot that a tree began with, and what stays in it.

use std::collections::BTreeSet;

use super::adler::Sum;
use super::kinds::Kinds;
use super::old_names::OldNames;
use super::samples::Samples;
use super::source::Source;
use crate::tree::Kind;

/// Znodes are copied in pieces of about this.
pub(super) const PART: u64 = 256 << 10;

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
    /// Some of these.
    pub(super) samples: Samples,
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

impl Base {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            seal: Sum::of(&[]),
            pieces: Vec::new(),
            quiet: Kinds::default(),
            acls: BTreeSet::new(),
            old_names: OldNames::default(),
            samples: Samples::default(),
            nodes: 0,
        }
    }

    /// Leaves a znode where it is, in the `more` bytes after `before` others.
    pub(super) fn leave(&mut self, kind: Kind, data: Option<&[u8]>, acl: u32, (before, more): (u64, u32)) {
        self.quiet.count(kind, data);
        if self.acls.last() != Some(&acl) {
            self.acls.insert(acl);
        }
        match self.pieces.last_mut() {
            Some(Piece::Quiet { length, znodes, .. }) if u64::from(*length) + u64::from(more) <= PART => {
                *length += more;
                *znodes += 1;
            }
            _ => self.pieces.push(Piece::Quiet {
                at: before,
                length: more,
                znodes: 1,
            }),
        }
    }
}
