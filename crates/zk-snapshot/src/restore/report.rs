//! What a restore says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tree::ZnodePath;

/// How many failures of a kind a report names.
const NAMED: usize = 100;
/// Differences that are held until they are put in order.
const IN_ORDER: usize = 8_192;

/// One kind of difference between the live tree and the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RestoreChange))]
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
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RestoreDifference))]
pub struct Difference {
    /// The live znode.
    pub path: ZnodePath,
    /// What is done about it.
    pub change: Change,
}

/// Something that could not be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RestoreFailure))]
pub struct Failure {
    /// The live znode.
    pub path: ZnodePath,
    /// Why, in plain words.
    pub why: String,
}

/// What a restore did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
    /// Live ephemeral znodes, and what no backup has since captures do not go there: they were left alone. With them what is above them, or
    /// above something that could not be deleted, and stays for that.
    pub left_alone: u64,
    /// How many changes failed. Not zero: the live tree is not equal to the backup.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<Failure>,
    /// Of a dry run: znodes that may not be read, but opened. How those differ that the backup has is not counted, nor is what is below those
    /// that it lacks, and that stay where that is a live ephemeral znode.
    #[serde(default)]
    pub unseen: u64,
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
    /// Of the deleted znodes, those below each place to which something was renamed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deleted_below: BTreeMap<ZnodePath, u64>,
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

    pub(super) fn show(&mut self, limit: usize, path: &ZnodePath, change: Change) {
        if limit > 0 && self.differences.len() < limit.saturating_add(IN_ORDER) {
            self.differences.push(Difference {
                path: path.clone(),
                change,
            });
        }
    }

    /// Puts the differences since the first `shown` in the order of their paths, and keeps `limit` in all.
    pub(super) fn order(&mut self, shown: usize, limit: usize) {
        if let Some(new) = self.differences.get_mut(shown..) {
            new.sort_by(|a, b| a.path.cmp(&b.path));
        }
        self.differences.truncate(limit);
    }

    pub(super) fn fail(&mut self, path: &ZnodePath, why: String) {
        self.failed += 1;
        name(&mut self.failures, path, why);
    }

    pub(super) fn leave_counter(&mut self, path: &ZnodePath, why: String) {
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

/// Adds `path` to the first of its kind, unless it is out of reach: it may be as long as a request.
pub(super) fn name_path(paths: &mut Vec<ZnodePath>, path: &ZnodePath) {
    if paths.len() < NAMED && path.is_in_reach() {
        paths.push(path.clone());
    }
}
