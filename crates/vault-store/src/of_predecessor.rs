//! What is told of a backup of the predecessor, and of no other.

use crate::{FileName, Mode};

/// What is told of a backup of the Qubership backup daemon, besides what is told of every one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// The files that hold its znodes: `znodes.zip`, or a snapshot, and the logs after it.
    pub files: Vec<FileName>,
    /// Whether it was called off.
    pub canceled: bool,
}

impl Predecessor {
    /// More entries than any `znodes.zip` has, two for each znode.
    pub const ENTRIES: u64 = 4 << 20;
    /// More bytes than the list of any `znodes.zip` takes.
    pub const LIST: u64 = 1 << 30;

    /// What is told of an archive without a znode below the root: it is not known to be whole, and a restore of it would delete everything.
    pub const NOTHING: &str = "it holds no znode but /, and ZooKeeper always has /zookeeper";

    /// What no backup that was taken like this holds, in plain words.
    #[must_use]
    pub fn lacks(&self, mode: Mode) -> &'static [&'static str] {
        match mode {
            Mode::Hierarchical => &[
                "ACLs are not in it: a znode that is there keeps its own, and one that is created lets everybody do everything (world:anyone)",
                "container and TTL znodes come back as persistent ones",
                "versions, times and the counters of sequential children are not in it",
                "znodes with empty data and znodes without any are not told apart",
                "below a znode that has data, a child named content and what was below it are not in it",
                "znodes that no directory could be made for, as those whose names are longer than 255 bytes, are not in it: a restore with replace deletes what is not in it",
                "its znodes were read one by one, and may be of different moments",
            ],
            Mode::Transactional => &[
                "its logs were chosen by the times of their files: the last transactions before it may not be in it",
            ],
        }
    }
}
