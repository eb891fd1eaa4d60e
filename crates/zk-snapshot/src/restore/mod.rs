//! Restore as a diff: read the live tree, write only what differs.

mod apply;
mod plan;
mod scope;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use apply::restore;

use crate::{ArchiveError, ClientError, ZnodePath};

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
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            renames: BTreeMap::new(),
            policy: Policy::Replace,
            dry_run: false,
            show: 100,
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
    /// The first differences.
    pub differences: Vec<Difference>,
}

impl RestoreReport {
    /// Whether everything that was asked for is, or would be, as in the backup.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }

    /// This report and that of a restore that followed it.
    #[must_use]
    pub fn and(mut self, next: Self) -> Self {
        self.created += next.created;
        self.data_changed += next.data_changed;
        self.acl_changed += next.acl_changed;
        self.deleted += next.deleted;
        self.unchanged += next.unchanged;
        self.left_alone += next.left_alone;
        self.failed += next.failed;
        self.failures.extend(next.failures);
        self.differences.extend(next.differences);
        self
    }
}

/// Why a restore ended early. Only [`RestoreError::Client`] can follow changes; running the restore again
/// completes them.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be read; nothing was written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The backup lacks what was asked for; nothing was written.
    #[error("the backup has no znode {}", list(.0))]
    NotInBackup(Vec<ZnodePath>),
    /// Two subtrees would end in the same place; nothing was written.
    #[error("{0} would be restored from two places in the backup")]
    Collision(ZnodePath),
    /// ZooKeeper could not be asked any more.
    #[error("{cause}; {} znodes were changed before", .report.created + .report.data_changed + .report.acl_changed + .report.deleted)]
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
