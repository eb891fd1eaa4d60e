//! The state of a server as its files give it, and how it came about.

use std::io;
use std::path::PathBuf;

use super::{Dropped, FileTree};
use crate::tree::error::io_may_pass;

/// A server's state, and how it came about.
#[derive(Debug)]
pub struct Gathered {
    /// The state, without sessions and ephemeral znodes.
    pub tree: FileTree,
    /// Where it is from.
    pub report: FilesReport,
    /// Whether it is the state at its zxid; else it mixes states of that and of later ones.
    pub exact: bool,
}

impl Gathered {
    /// Why it may not be all that the server has, if it may not: a state whose digest is not the server's may lack something, and one without TTL
    /// znodes of 3.5.3 does where a server keeps them.
    #[must_use]
    pub fn lacks(&self) -> Option<String> {
        let report = &self.report;
        let like_ttl = report.dropped.like_ttl_353;
        if like_ttl > 0 {
            return Some(format!(
                "{like_ttl} of the znodes that are left out, as they are of sessions that do not exist, may be TTL znodes of \
                 ZooKeeper 3.5.3, which servers with emulate353TTLNodes keep"
            ));
        }
        let differs = self.exact
            && report.digest_agrees == Some(false)
            && (report.digests_differing > 1 || report.digests_compared == 1);
        differs.then(|| {
            format!(
                "the digest of the state differs from the server's, in {} of {} comparisons",
                report.digests_differing, report.digests_compared
            )
        })
    }
}

/// Which files a state is from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesReport {
    /// The snapshot that was loaded.
    pub snapshot: String,
    /// Whether it does not say up to which zxid it has seen what happened: then it must have been whole before it was asked what is committed.
    pub without_end: bool,
    /// The logs that were read after it, oldest first.
    pub logs: Vec<String>,
    /// Transactions of them that were applied.
    pub replayed: u64,
    /// Why newer snapshots were not used.
    pub passed_over: Vec<String>,
    /// What belonged to sessions.
    pub dropped: Dropped,
    /// Digests of the server that were compared with ours.
    pub digests_compared: u64,
    /// Those that differed.
    pub digests_differing: u64,
    /// Whether the last one agreed; `None` if there was none.
    pub digest_agrees: Option<bool>,
    /// Znodes that had changed while the snapshot was written, and were read from a server instead.
    pub read_later: u64,
    /// Whether every access control list is known to be that of the moment, and not only of the time of the backup.
    pub acls_exact: bool,
    /// Znodes that were created meanwhile, and of which it is not known whether they are containers or TTL znodes, since
    /// no client is told. They are kept as persistent.
    pub of_no_kind: u64,
    /// The first 20 of these.
    pub of_no_kind_paths: Vec<String>,
    /// Why it is not the state of one moment, where it could have been.
    pub unsettled: Option<String>,
    /// What the ensemble was known to have committed: nothing after it, and all that the snapshot had seen, was taken.
    pub committed: Option<i64>,
}

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatherError {
    /// The directory cannot be read.
    #[error("{0}: {1}")]
    Directory(PathBuf, #[source] io::Error),
    /// There is no snapshot at all.
    #[error("{0} holds no snapshot")]
    NoSnapshot(PathBuf),
    /// None of the snapshots, with the logs that there are, makes a state.
    #[error("no snapshot is of use: {}", .0.join("; "))]
    Unusable(Vec<String>),
}

impl GatherError {
    /// Whether there may be a state later, though nobody changes anything: a server that goes on writes another snapshot.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Directory(_, error) => io_may_pass(error),
            Self::NoSnapshot(_) | Self::Unusable(_) => true,
        }
    }
}
