//! What came of a job. It is serialised once, where the job is stored.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vault_store::{Consistency, Contents, Damage, StoredCopy, Tested, VaultId, Zxid};
use zk_snapshot::restore::{Failure, RestoreReport};
use zk_snapshot::tree::ZnodePath;

use crate::kind::JobKind;
use crate::requests::Strategy;

/// What a log says of a backup whose second copy was read.
pub(super) const SECOND_READ: &str = "the second copy was read where the first is damaged or away";

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum JobResult {
    /// Nothing: it has not ended, or failed before there was anything to tell.
    Nothing,
    /// A vault, and this is what it holds.
    Backup(Box<Contents>),
    /// A restore, whether it ended well or not.
    Restore(Box<RestoreResult>),
    /// A verification, whether it found damage or not.
    Verify(Box<VerifyResult>),
    /// A restore for a test, whether it proved the backup or not.
    RestoreTest(Box<RestoreTestResult>),
}

/// What a verification has gone through, and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VerifyResult {
    /// Backups that were gone through to the end.
    pub vaults: u64,
    /// Bytes of files that were read.
    pub bytes: u64,
    /// How many were damaged.
    pub damaged_vaults: u64,
    /// The first of them.
    pub damaged: Vec<DamagedVault>,
    /// What people should know of those that are not damaged, in plain words: a restore would tell it. Absent without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The copy of which something was read where the first is damaged or away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub copy: Option<StoredCopy>,
    /// Second copies that were gone through to the end; their bytes are among those that were read. Absent if 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copies: u64,
    /// How many of them were damaged. Absent if 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub damaged_copies: u64,
    /// The first of those. Absent without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies_damaged: Vec<DamagedCopy>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's way
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A second copy that a verification found damaged. Its backup is as sound as the verification says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DamagedCopy {
    /// The id of its backup.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub id: VaultId,
    /// What is damaged, by file and frame.
    pub damage: Vec<Damage>,
}

/// A backup that a verification found damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DamagedVault {
    /// Its id.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub id: VaultId,
    /// Whether only what no restore needs is damaged.
    pub restorable: bool,
    /// What is damaged, by file and frame.
    pub damage: Vec<Damage>,
    /// The copy that has taken its place and is sound; absent where none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub copy: Option<StoredCopy>,
}

/// What came of a restore for a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RestoreTestResult {
    /// What is kept of it with the backup.
    #[serde(flatten)]
    pub tested: Tested,
    /// How many znodes differ.
    pub differing: u64,
    /// The first of them.
    pub differences: Vec<ZnodePath>,
    /// Containers and TTL znodes that the servers have deleted by themselves.
    pub gone_by_themselves: u64,
    /// Parents whose counters of sequential children were not raised.
    pub counters_left: u64,
    /// What could not be written.
    pub failures: Vec<Failure>,
    /// The other copy, where the one that is usually read could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub copy: Option<StoredCopy>,
}

/// What came of a restore.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RestoreResult {
    /// Whether it only told what it would do; absent where it ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub dry_run: Option<bool>,
    /// What was done, or would be, through the client API, also where it ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub report: Option<RestoreReport>,
    /// Where the files are, of a restore by files.
    #[serde(flatten)]
    pub files: Option<RestoredFiles>,
    /// What people should know, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub notes: Option<Vec<String>>,
    /// What is known of the backup that it is of.
    #[serde(flatten)]
    pub source: Option<RestoredFrom>,
    /// The backup that was taken first, of what it was to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false, value_type = Option<String>))]
    pub backup_first: Option<VaultId>,
    /// The jobs of restores that were interrupted and that this one would make up for. Absent without any, and unless it only told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makes_up_for: Vec<String>,
}

/// What is known of the backup that was restored, whatever came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RestoredFrom {
    /// Whether it shows one moment; null for a failed backup.
    pub consistency: Option<Consistency>,
    /// Whether it lacks something.
    pub partial: bool,
    /// The other copy, where the one that is usually read could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub copy: Option<StoredCopy>,
}

/// Where files are placed, and what people have to do with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RestoredFiles {
    /// Always `files`.
    pub strategy: Strategy,
    /// Where they are, or would be.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub directory: PathBuf,
    /// What is left for people to do; nothing where a command restarts the servers.
    pub steps: Vec<String>,
    /// What became of them, unless it was only told.
    #[serde(flatten)]
    pub placed: Option<PlacedFiles>,
}

/// What became of files that were placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PlacedFiles {
    /// The last transaction in them.
    pub zxid: Zxid,
    /// What the next zxid begins above, where that is raised.
    pub epoch: Option<i64>,
    /// Servers that hold what the backup holds.
    pub verified: Vec<String>,
    /// Containers and TTL znodes of the backup that servers had deleted by themselves when they were compared.
    pub gone_by_themselves: u64,
}

impl JobResult {
    pub(super) fn stored(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|error| {
            log::error!("the result of a job cannot be stored: {error}");
            Value::Null
        })
    }

    /// What was stored of a job of this kind.
    pub(crate) fn read(kind: JobKind, stored: &Value) -> Result<Self, serde_json::Error> {
        if stored.is_null() {
            return Ok(Self::Nothing);
        }
        Ok(match kind {
            JobKind::Backup => Self::Backup(Box::new(Contents::deserialize(stored)?)),
            JobKind::Restore => Self::Restore(Box::new(RestoreResult::deserialize(stored)?)),
            JobKind::Verify => Self::Verify(Box::new(VerifyResult::deserialize(stored)?)),
            JobKind::RestoreTest => Self::RestoreTest(Box::new(RestoreTestResult::deserialize(stored)?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(result: &RestoreResult) {
        let stored = JobResult::Restore(Box::new(result.clone())).stored();
        let read = JobResult::read(JobKind::Restore, &stored).unwrap();
        assert_eq!(read, JobResult::Restore(Box::new(result.clone())), "{stored}");
    }

    #[test]
    fn results_of_restores_are_read_as_they_were_stored() {
        let source = Some(RestoredFrom {
            consistency: None,
            partial: true,
            copy: Some(StoredCopy::Second),
        });
        let planned = RestoredFiles {
            strategy: Strategy::Files,
            directory: "/storage/recover".into(),
            steps: vec!["1. Stop every server.".to_owned()],
            placed: None,
        };
        let placed = RestoredFiles {
            placed: Some(PlacedFiles {
                zxid: Zxid(0x1_0000_002a),
                epoch: None,
                verified: vec!["a:2181".to_owned()],
                gone_by_themselves: 2,
            }),
            ..planned.clone()
        };
        read_back(&RestoreResult::default());
        read_back(&RestoreResult {
            dry_run: Some(true),
            report: Some(RestoreReport::default()),
            notes: Some(Vec::new()),
            source,
            backup_first: Some("20261121T000000".parse().unwrap()),
            makes_up_for: vec!["r1".to_owned()],
            ..RestoreResult::default()
        });
        for files in [planned, placed] {
            read_back(&RestoreResult {
                dry_run: Some(false),
                files: Some(files),
                source,
                ..RestoreResult::default()
            });
        }
    }
}
