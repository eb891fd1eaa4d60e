//! `GET /diff`.

use serde::Serialize;
use utoipa::ToSchema;
use zk_snapshot::archive::{Comparison, ZnodeChange};

/// How two backups, or a backup and the live tree, differ.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Diff {
    /// Znodes that only the later state has.
    added: u64,
    /// Znodes that only the earlier one has.
    removed: u64,
    data_changed: u64,
    acl_changed: u64,
    /// Znodes that may differ: one of the two states does not say how they were.
    unknown: u64,
    /// The first of these.
    unknown_paths: Vec<String>,
    /// Those that were asked for of those that differ.
    differences: Vec<Difference>,
    /// The subtrees that were compared: what both were asked for. Null for everything.
    within: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ZnodeDifference)]
struct Difference {
    path: String,
    change: Change,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ZnodeChange)]
enum Change {
    Added,
    Removed,
    DataChanged,
    AclChanged,
    BothChanged,
}

impl From<Comparison> for Diff {
    fn from(found: Comparison) -> Self {
        let differences = found.differences.into_iter().map(|turned| Difference {
            path: turned.path.to_string(),
            change: turned.change.into(),
        });
        let within = found
            .within
            .map(|roots| roots.iter().map(ToString::to_string).collect());
        Self {
            within,
            added: found.added,
            removed: found.removed,
            data_changed: found.data_changed,
            acl_changed: found.acl_changed,
            unknown: found.unknown,
            unknown_paths: found.unknown_paths.iter().map(ToString::to_string).collect(),
            differences: differences.collect(),
        }
    }
}

impl From<ZnodeChange> for Change {
    fn from(turn: ZnodeChange) -> Self {
        match turn {
            ZnodeChange::Added => Self::Added,
            ZnodeChange::Removed => Self::Removed,
            ZnodeChange::DataChanged => Self::DataChanged,
            ZnodeChange::AclChanged => Self::AclChanged,
            ZnodeChange::BothChanged => Self::BothChanged,
        }
    }
}
