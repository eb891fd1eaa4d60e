//! `GET /find?path=`.

use backup_engine::{ZnodeFinds, ZnodeFound};
use serde::Serialize;
use utoipa::ToSchema;

use super::history::NotLooked;
use super::ms;

/// The backups that have a znode.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Finds {
    path: String,
    /// How many backups there are.
    total: usize,
    /// The `offset` to go on at; null if that was all.
    next: Option<usize>,
    /// Newest first.
    found: Vec<Found>,
    /// The backups of this page that tell nothing of the znode.
    not_looked: Vec<NotLooked>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Found {
    id: String,
    /// The date of the backup: ms since the Unix epoch.
    ts: i64,
    version: i32,
    /// When its data were written last: ms since the Unix epoch.
    mtime: i64,
    czxid: i64,
    mzxid: i64,
    /// Bytes of data.
    size: usize,
}

impl From<ZnodeFinds> for Finds {
    fn from(finds: ZnodeFinds) -> Self {
        Self {
            path: finds.path.to_string(),
            total: finds.total,
            next: finds.next,
            found: finds.found.into_iter().map(Found::from).collect(),
            not_looked: finds.not_looked.into_iter().map(NotLooked::from).collect(),
        }
    }
}

impl From<ZnodeFound> for Found {
    fn from(found: ZnodeFound) -> Self {
        let stat = found.info.stat;
        Self {
            id: found.id.to_string(),
            ts: ms(found.at),
            version: stat.version,
            mtime: stat.mtime,
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            size: found.info.size,
        }
    }
}
