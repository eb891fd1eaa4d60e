//! Restore as a diff: read the live tree, write only what differs.

mod apply;
mod counters;
mod extras;
mod ledger;
mod places;
mod plan;
mod scope;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use apply::restore;
pub use ledger::{Ledger, MemoryLedger, Unfinished};

use crate::{ArchiveError, ClientError, ZnodePath};

/// How many failures of a kind a report names.
const NAMED: usize = 100;

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
            now: 0,
            ledger: Arc::new(MemoryLedger::default()),
        }
    }
}

/// One kind of difference between the live tree and the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The znode is absent and is created.
    Create,
    /// Its data differ.
    Data,
    /// Its ACL differs.
    Acl,
    /// The backup lacks it.
    Delete,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The live znode.
    pub path: ZnodePath,
    /// What is done about it.
    pub change: Change,
}

/// Something that could not be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The live znode.
    pub path: ZnodePath,
    /// Why, in plain words.
    pub why: String,
}

/// What a restore did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Znodes created.
    pub created: u64,
    /// How many of these servers may have deleted by themselves: containers, and TTL znodes that were due.
    pub created_passing: u64,
    /// Znodes whose data were replaced.
    pub data_changed: u64,
    /// Znodes whose ACL was replaced, those just created not counted.
    pub acl_changed: u64,
    /// Znodes deleted.
    pub deleted: u64,
    /// Znodes that were as in the backup already.
    pub unchanged: u64,
    /// Live ephemeral znodes, and parents that hold one, which were left alone.
    pub left_alone: u64,
    /// How many changes failed. Not zero: the live tree is not equal to the backup.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<Failure>,
    /// Parents whose next sequential child would have had a lower number than at the time of the backup, and
    /// has not any more.
    pub counters_raised: u64,
    /// Children that were created and deleted again for it.
    pub counter_steps: u64,
    /// Parents for which that could not be done.
    pub counters_left: u64,
    /// The first of them.
    pub counters_left_behind: Vec<Failure>,
    /// Znodes that were asked for, and that the backup does not know: it could not read them.
    #[serde(default)]
    pub unknown: u64,
    /// The first of them.
    #[serde(default)]
    pub unknown_paths: Vec<ZnodePath>,
    /// Znodes that somebody else created while the restore was under way, and that it left alone: the policy or their
    /// being ancestors of what was asked for says so.
    #[serde(default)]
    pub met: u64,
    /// The first of them.
    #[serde(default)]
    pub met_paths: Vec<ZnodePath>,
    /// Znodes that earlier restores had left unfinished, and that this one finished.
    #[serde(default)]
    pub finished: u64,
    /// Znodes that this restore, or an earlier one, has begun and that are still not as in a backup.
    #[serde(default)]
    pub unfinished: u64,
    /// The first of them.
    #[serde(default)]
    pub unfinished_paths: Vec<ZnodePath>,
    /// The first differences.
    pub differences: Vec<Difference>,
}

impl RestoreReport {
    /// Whether everything that was asked for is, or would be, as in the backup.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }

    /// How many changes were made, counters not counted.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.created + self.data_changed + self.acl_changed + self.deleted
    }

    /// This report and that of a restore that followed it.
    #[must_use]
    pub fn and(mut self, next: Self) -> Self {
        self.created += next.created;
        self.created_passing += next.created_passing;
        self.data_changed += next.data_changed;
        self.acl_changed += next.acl_changed;
        self.deleted += next.deleted;
        self.unchanged += next.unchanged;
        self.left_alone += next.left_alone;
        self.failed += next.failed;
        self.failures.extend(next.failures);
        self.counters_raised += next.counters_raised;
        self.counter_steps += next.counter_steps;
        self.counters_left += next.counters_left;
        self.counters_left_behind.extend(next.counters_left_behind);
        self.unknown += next.unknown;
        self.unknown_paths.extend(next.unknown_paths);
        self.met += next.met;
        self.met_paths.extend(next.met_paths);
        self.finished += next.finished;
        (self.unfinished, self.unfinished_paths) = (next.unfinished, next.unfinished_paths);
        self.differences.extend(next.differences);
        self
    }

    fn show(&mut self, limit: usize, path: &ZnodePath, change: Change) {
        if self.differences.len() < limit {
            self.differences.push(Difference {
                path: path.clone(),
                change,
            });
        }
    }

    fn fail(&mut self, path: &ZnodePath, why: String) {
        self.failed += 1;
        name(&mut self.failures, path, why);
    }

    fn leave_counter(&mut self, path: &ZnodePath, why: String) {
        self.counters_left += 1;
        name(&mut self.counters_left_behind, path, why);
    }
}

fn name(failures: &mut Vec<Failure>, path: &ZnodePath, why: String) {
    if failures.len() < NAMED {
        failures.push(Failure {
            path: path.clone(),
            why,
        });
    }
}

/// Why a restore ended early, before the report is put with it.
enum Stop {
    Archive(ArchiveError),
    Client(ClientError),
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

fn list(paths: &[ZnodePath]) -> String {
    paths
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
