//! What came of a job. It is serialised once, where the job is stored.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use vault_store::{Consistency, Contents, Damage, Tested, VaultId, Zxid};
use zk_snapshot::restore::{Failure, RestoreReport};
use zk_snapshot::tree::ZnodePath;

/// What came of a job.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum JobResult {
    Nothing,
    Backup(Box<Contents>),
    Restore(Box<Restored>),
    Verified(Box<Verified>),
    Test(Box<TestDone>),
}

/// What a verification has gone through, and found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Verified {
    /// Backups that were gone through to the end.
    pub(super) vaults: u64,
    /// Bytes of files that were read.
    pub(super) bytes: u64,
    /// How many were damaged.
    pub(super) damaged_vaults: u64,
    /// The first of them.
    pub(super) damaged: Vec<DamagedVault>,
}

#[derive(Debug, Serialize)]
pub(super) struct DamagedVault {
    pub(super) id: VaultId,
    /// Whether only what no restore needs is damaged.
    pub(super) restorable: bool,
    pub(super) damage: Vec<Damage>,
}

/// What came of a restore for a test.
#[derive(Debug, Serialize)]
pub(super) struct TestDone {
    #[serde(flatten)]
    pub(super) tested: Tested,
    /// How many znodes differ, and the first of them.
    pub(super) differing: u64,
    pub(super) differences: Vec<ZnodePath>,
    /// Containers and TTL znodes that the servers have deleted by themselves.
    pub(super) gone_by_themselves: u64,
    /// Parents whose counters of sequential children were not raised.
    pub(super) counters_left: u64,
    /// What could not be written.
    pub(super) failures: Vec<Failure>,
}

/// What came of a restore, and what its source is.
#[derive(Debug, Serialize)]
pub(super) struct Restored {
    #[serde(flatten)]
    pub(super) done: Done,
    #[serde(flatten)]
    pub(super) source: Option<Source>,
}

/// What a result says of the backup that it is of, whatever came of the restore.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    pub(super) consistency: Option<Consistency>,
    pub(super) partial: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Done {
    Nothing {},
    /// It ended early.
    Cut {
        report: RestoreReport,
    },
    Online {
        dry_run: bool,
        report: RestoreReport,
        notes: Vec<String>,
    },
    /// What a restore by files would do.
    Planned(Placing),
    Placed {
        #[serde(flatten)]
        placing: Placing,
        zxid: Zxid,
        epoch: Option<i64>,
        /// Servers that hold what the backup holds.
        verified: Vec<String>,
        gone_by_themselves: u64,
        notes: Vec<String>,
    },
}

/// Where files are placed, and what people have to do with them.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Placing {
    pub(super) dry_run: bool,
    pub(super) strategy: crate::requests::Strategy,
    pub(super) directory: PathBuf,
    pub(super) steps: Vec<String>,
}

impl JobResult {
    pub(super) fn stored(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|error| {
            log::error!("the result of a job cannot be stored: {error}");
            Value::Null
        })
    }
}
