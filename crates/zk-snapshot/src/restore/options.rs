//! What to restore, and how.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Ledger, MemoryLedger, Permit, Unhindered};
use crate::tree::ZnodePath;

/// What a restore may do to znodes that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RestorePolicy))]
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
    /// Of a dry run: it is only to compare. What the live ACLs do not let us change is a difference then, not a failure.
    pub compares_only: bool,
    /// How many differences the report shows one by one.
    pub show: usize,
    /// Whether the backup is known to be one of this very ensemble. A znode whose `czxid` and `ctime` are those of the backup, and
    /// whose ACL was never set, then has its ACL, and is not asked for it.
    pub same_ensemble: bool,
    /// How many children may be created and deleted again, in all, to raise the counters from which sequential
    /// children are numbered.
    pub sequence_limit: u64,
    /// Whether the backup tells how many children each znode has had. Where it does not, no counter is raised.
    pub counters_known: bool,
    /// How many znodes the backup says that it has, those apart that are above them or could not be read. Where it has more or fewer nothing is
    /// written: what it lacks would be deleted.
    pub znodes: Option<u64>,
    /// The present, in milliseconds since the Unix epoch: TTL znodes that are missing and due by then count as
    /// [`created_passing`](super::RestoreReport::created_passing).
    pub now: i64,
    /// What earlier restores have left unfinished, and where this one notes the same.
    pub ledger: Arc<dyn Ledger>,
    /// Whether it may go on, and write.
    pub permit: Arc<dyn Permit>,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            renames: BTreeMap::new(),
            policy: Policy::Replace,
            dry_run: false,
            compares_only: false,
            show: 100,
            same_ensemble: false,
            sequence_limit: 1_000_000,
            counters_known: true,
            znodes: None,
            now: 0,
            ledger: Arc::new(MemoryLedger::default()),
            permit: Arc::new(Unhindered),
        }
    }
}
