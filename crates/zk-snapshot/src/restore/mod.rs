//! Restore as a diff: read the live tree, write only what differs.

mod apply;
mod counters;
mod extras;
mod guard;
mod last;
mod ledger;
mod live;
mod places;
mod plan;
mod report;
mod scope;
mod surprise;
mod ways;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use apply::restore;
pub use ledger::{Ledger, MemoryLedger, Unfinished};
pub use report::{Change, Difference, Failure, RestoreReport};
pub use scope::check_restore;

use crate::archive::ArchiveError;
use crate::tree::{ClientError, ZnodePath};

/// What a restore may do to znodes that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The subtree ends equal to the backup: what the backup lacks is deleted.
    #[default]
    Replace,
    /// Creates and changes, never deletes.
    Merge,
    /// Creates what is absent and touches nothing else.
    Missing,
}

/// What to restore, and how.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The subtrees wanted; none means everything in the backup except `/zookeeper`.
    pub roots: Vec<ZnodePath>,
    /// Subtrees that come back under another path.
    pub renames: BTreeMap<ZnodePath, ZnodePath>,
    /// What may happen to znodes that exist.
    pub policy: Policy,
    /// Only say what would be done.
    pub dry_run: bool,
    /// How many differences the report shows one by one.
    pub show: usize,
    /// Whether the backup is known to be one of this very ensemble. A znode whose `czxid`, `ctime` and `aversion`
    /// are those of the backup then has its ACL, and is not asked for it.
    pub same_ensemble: bool,
    /// How many children may be created and deleted again, in all, to raise the counters from which sequential
    /// children are numbered.
    pub sequence_limit: u64,
    /// Whether the backup tells how many children each znode has had. Where it does not, no counter is raised.
    pub counters_known: bool,
    /// The present, in milliseconds since the Unix epoch: TTL znodes that are missing and due by then count as
    /// [`created_passing`](RestoreReport::created_passing).
    pub now: i64,
    /// What earlier restores have left unfinished, and where this one notes the same.
    pub ledger: Arc<dyn Ledger>,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            renames: BTreeMap::new(),
            policy: Policy::Replace,
            dry_run: false,
            show: 100,
            same_ensemble: false,
            sequence_limit: 1_000_000,
            counters_known: true,
            now: 0,
            ledger: Arc::new(MemoryLedger::default()),
        }
    }
}

/// Why a restore ended early, before the report is put with it.
enum Stop {
    Archive(ArchiveError),
    Client(ClientError),
    Ledger(std::io::Error),
}

impl Stop {
    fn with(self, report: RestoreReport) -> RestoreError {
        let report = Box::new(report);
        match self {
            Self::Archive(cause) => RestoreError::Archive { cause, report },
            Self::Client(cause) => RestoreError::Client { cause, report },
            Self::Ledger(cause) => RestoreError::Ledger { cause, report },
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Ledger(error)
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

/// Why a restore ended early. Where it has a report, changes may have been made; running the restore again completes
/// them.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be read.
    #[error("{cause}; {} changes were made before", .report.changes())]
    Archive {
        /// Which part of it, and why.
        cause: ArchiveError,
        /// What had been done until then.
        report: Box<RestoreReport>,
    },
    /// What is unfinished cannot be noted, or is not known.
    #[error("what the restore leaves unfinished cannot be noted: {cause}; {} changes were made before", .report.changes())]
    Ledger {
        /// Why.
        cause: std::io::Error,
        /// What had been done until then.
        report: Box<RestoreReport>,
    },
    /// The backup lacks what was asked for; nothing was written.
    #[error("the backup has no znode {}", list(.0))]
    NotInBackup(Vec<ZnodePath>),
    /// Two subtrees would end in the same place; nothing was written.
    #[error("{0} would be restored from two places in the backup")]
    Collision(ZnodePath),
    /// ZooKeeper could not be asked any more.
    #[error("{cause}; {} changes were made before", .report.changes())]
    Client {
        /// Which server, and why.
        cause: ClientError,
        /// What had been done until then.
        report: Box<RestoreReport>,
    },
}

impl RestoreError {
    /// What had been done until then, if anything can have been.
    #[must_use]
    pub fn report(&self) -> Option<&RestoreReport> {
        match self {
            Self::Archive { report, .. } | Self::Ledger { report, .. } | Self::Client { report, .. } => {
                Some(report)
            }
            Self::NotInBackup(_) | Self::Collision(_) => None,
        }
    }

    /// This error of a restore that followed another one, whose report was `first`.
    #[must_use]
    pub fn after(mut self, first: RestoreReport) -> Self {
        match &mut self {
            Self::Archive { report, .. } | Self::Ledger { report, .. } | Self::Client { report, .. } => {
                **report = first.and(std::mem::take(report));
            }
            Self::NotInBackup(_) | Self::Collision(_) => {}
        }
        self
    }
}

fn list(paths: &[ZnodePath]) -> String {
    paths
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
