//! Which backups have a znode.

use std::time::Instant;

use time::OffsetDateTime;
use vault_store::VaultId;
use zk_snapshot::tree::ZnodePath;

use super::Vaults;
use super::browse::{Page, ZnodeInfo};
use super::changes::{LOOKING, NotLooked, Told};
use crate::EngineError;

/// The backups that have a znode.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZnodeFinds {
    /// The znode.
    pub path: ZnodePath,
    /// How many backups there are in all.
    pub total: usize,
    /// Where to go on; `None` if that was all.
    pub next: Option<usize>,
    /// Where it was found, newest first.
    pub found: Vec<ZnodeFound>,
    /// The backups of this page that tell nothing of the znode.
    pub not_looked: Vec<NotLooked>,
}

/// A znode in one of several backups.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZnodeFound {
    /// The backup.
    pub id: VaultId,
    /// Its date.
    pub at: OffsetDateTime,
    /// The znode.
    pub info: ZnodeInfo,
}

impl Vaults {
    /// Looks into `page.limit` backups after the first `page.offset`, newest first; fewer where that takes long. Blocks.
    pub(crate) fn find(&self, path: &ZnodePath, page: Page) -> Result<ZnodeFinds, EngineError> {
        let (all, begun) = (self.all()?, Instant::now());
        let first = page.offset.min(all.len());
        let end = first.saturating_add(page.limit).min(all.len());
        let mut finds = ZnodeFinds {
            path: path.clone(),
            total: all.len(),
            next: Some(end).filter(|end| *end < all.len()),
            found: Vec::new(),
            not_looked: Vec::new(),
        };
        for (index, stored) in all.iter().rev().enumerate().take(end).skip(first) {
            if index > first && begun.elapsed() > LOOKING {
                finds.next = Some(index);
                break;
            }
            let id = stored.id.clone();
            match self.znode_in(stored, path)? {
                Told::There(znode) => finds.found.push(ZnodeFound {
                    id,
                    at: stored.date(),
                    info: znode.info,
                }),
                Told::Absent => {}
                Told::Nothing(why) => finds.not_looked.push(NotLooked { id, why }),
            }
        }
        Ok(finds)
    }
}
