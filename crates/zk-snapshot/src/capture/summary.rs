//! What a capture found, in numbers and examples.

use crate::tree::ZnodePath;

/// How many znodes of a kind a summary names.
pub(super) const NAMED: usize = 20;

/// Whether a capture shows one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Data and structure are those of one moment of the ensemble's history. ACLs were each read within the
    /// capture's time, for the very znode whose data it holds.
    Consistent,
    /// They may stem from different moments.
    #[default]
    Fuzzy,
}

/// What a capture found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureSummary {
    /// Whether it shows one moment.
    pub consistency: Consistency,
    /// How often something was read again because it had changed, or the tree walked again.
    pub rounds: u32,
    /// Znodes that still changed when the rounds were used up.
    pub moving: u64,
    /// The first 20 of them.
    pub moving_paths: Vec<ZnodePath>,
    /// Znodes captured, ancestors and unreadable ones not counted.
    pub znodes: u64,
    /// Bytes of data in them.
    pub bytes: u64,
    /// Ephemeral znodes, which are never kept.
    pub ephemerals_skipped: u64,
    /// Znodes that disappeared between being listed and being read.
    pub vanished: u64,
    /// Znodes that the server refused to show, or whose ACL it showed without the digests, or that went or were made again
    /// whenever their data and their ACL were to be read together.
    pub unreadable: u64,
    /// The first 20 of them.
    pub unreadable_paths: Vec<ZnodePath>,
    /// The first 20 children whose names are none, or that are deeper than 4,096 or whose paths are longer than 256 KiB, each
    /// after its parent and cut short; they count as unreadable.
    pub refused_names: Vec<String>,
    /// Ancestors of the roots whose data and ACLs were read at another moment: what is claimed does not hold of them.
    pub ancestors_apart: u64,
    /// Whether `Stat`s tell how many children were created, as ZooKeeper's do and ClickHouse Keeper's do not.
    pub counters_known: bool,
    /// ACLs that were asked for.
    pub acls_read: u64,
    /// ACLs that were known from an earlier backup.
    pub acls_reused: u64,
    /// The newest zxid that any captured znode speaks of. A consistent capture shows the state as of it.
    pub newest_zxid: i64,
}

impl CaptureSummary {
    /// Whether something that was asked for is not in the capture as it was on the server.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.unreadable > 0
    }
}
