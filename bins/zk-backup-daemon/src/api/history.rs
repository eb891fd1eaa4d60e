//! `GET /history`.

use backup_engine::{ZnodeAt, ZnodeHistory, ZnodeStep};
use serde::Serialize;
use utoipa::ToSchema;

use super::ms;

/// The backups in which a znode was another than in the one before.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    path: String,
    /// How many backups there are.
    total: usize,
    /// The `offset` to go on at; null if that was all.
    next: Option<usize>,
    changes: Vec<At>,
    /// The backups of this page that tell nothing of the znode.
    not_looked: Vec<NotLooked>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryStep)]
struct At {
    id: String,
    /// The date of the backup: ms since the Unix epoch.
    ts: i64,
    change: Step,
    /// These are null where the znode is gone.
    version: Option<i32>,
    acl_version: Option<i32>,
    czxid: Option<i64>,
    mzxid: Option<i64>,
    /// Bytes of data.
    size: Option<usize>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HistoryChange)]
enum Step {
    First,
    Created,
    CreatedAnew,
    DataChanged,
    AclChanged,
    BothChanged,
    Removed,
}

/// A backup that tells nothing of a znode.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotLooked {
    id: String,
    why: String,
}

impl From<backup_engine::NotLooked> for NotLooked {
    fn from(backup: backup_engine::NotLooked) -> Self {
        Self {
            id: backup.id.to_string(),
            why: backup.why,
        }
    }
}

impl From<ZnodeHistory> for History {
    fn from(history: ZnodeHistory) -> Self {
        Self {
            path: history.path.to_string(),
            total: history.total,
            next: history.next,
            changes: history.changes.into_iter().map(At::from).collect(),
            not_looked: history.not_looked.into_iter().map(NotLooked::from).collect(),
        }
    }
}

impl From<ZnodeAt> for At {
    fn from(at: ZnodeAt) -> Self {
        let stat = at.info.as_ref().map(|info| info.stat);
        Self {
            id: at.id.to_string(),
            ts: ms(at.at),
            change: match at.change {
                ZnodeStep::First => Step::First,
                ZnodeStep::Created => Step::Created,
                ZnodeStep::CreatedAnew => Step::CreatedAnew,
                ZnodeStep::DataChanged => Step::DataChanged,
                ZnodeStep::AclChanged => Step::AclChanged,
                ZnodeStep::BothChanged => Step::BothChanged,
                ZnodeStep::Removed => Step::Removed,
            },
            version: stat.map(|stat| stat.version),
            acl_version: stat.map(|stat| stat.aversion),
            czxid: stat.map(|stat| stat.czxid),
            mzxid: stat.map(|stat| stat.mzxid),
            size: at.info.map(|info| info.size),
        }
    }
}
