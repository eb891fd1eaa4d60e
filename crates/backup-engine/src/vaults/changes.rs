//! What became of one znode from backup to backup.

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use vault_store::{Manifest, VaultId};
use zk_snapshot::archive::Role;
use zk_snapshot::tree::ZnodePath;

use super::browse::{Page, ZnodeContent, ZnodeInfo};
use super::{Stored, Vaults};
use crate::EngineError;

/// So long one answer goes on looking into backups. Each that has no index and was not looked into lately is read through for it.
pub(super) const LOOKING: Duration = Duration::from_secs(10);
/// So many before a page are tried for what it begins with.
const BEFORE: usize = 5;

/// The backups in which a znode was another than in the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZnodeHistory {
    /// The znode.
    pub path: ZnodePath,
    /// How many backups there are in all.
    pub total: usize,
    /// Where to go on; `None` if that was all.
    pub next: Option<usize>,
    /// What changed, oldest first.
    pub changes: Vec<ZnodeAt>,
    /// The backups of this page that tell nothing of the znode.
    pub not_looked: Vec<NotLooked>,
}

/// What a backup tells of a znode that was another in the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZnodeAt {
    /// The backup.
    pub id: VaultId,
    /// Its date.
    pub at: OffsetDateTime,
    /// What changed.
    pub change: ZnodeStep,
    /// The znode; `None` where it is gone.
    pub info: Option<ZnodeInfo>,
}

/// What changed of a znode between two backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZnodeStep {
    /// It is in the first backup that tells of it.
    First,
    /// It was not there before.
    Created,
    /// It was deleted, and created anew.
    CreatedAnew,
    /// Its data.
    DataChanged,
    /// Its ACL.
    AclChanged,
    /// Its data and its ACL.
    BothChanged,
    /// It is there no more.
    Removed,
}

/// A backup that tells nothing of a znode.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotLooked {
    /// The backup.
    pub id: VaultId,
    /// Why not.
    pub why: String,
}

/// What one backup tells.
pub(super) enum Told {
    There(Box<ZnodeContent>),
    Absent,
    Nothing(String),
}

impl Vaults {
    /// Looks into `page.limit` backups after the first `page.offset`, oldest first; fewer where that takes long. Blocks.
    pub(crate) fn history(&self, path: &ZnodePath, page: Page) -> Result<ZnodeHistory, EngineError> {
        let (all, begun) = (self.all()?, Instant::now());
        let first = page.offset.min(all.len());
        let end = first.saturating_add(page.limit).min(all.len());
        let (before, here) = (&all[..first], &all[first..end]);
        let mut last = None;
        for stored in before.iter().rev().take(BEFORE) {
            match self.znode_in(stored, path)? {
                Told::Nothing(_) => {}
                told => {
                    last = Some(told);
                    break;
                }
            }
        }
        let mut history = ZnodeHistory {
            path: path.clone(),
            total: all.len(),
            next: None,
            changes: Vec::new(),
            not_looked: Vec::new(),
        };
        for (index, stored) in here.iter().enumerate() {
            if index > 0 && begun.elapsed() > LOOKING {
                history.next = Some(first + index);
                return Ok(history);
            }
            let told = self.znode_in(stored, path)?;
            if let Told::Nothing(why) = told {
                let id = stored.id.clone();
                history.not_looked.push(NotLooked { id, why });
                continue;
            }
            if let Some(change) = step(last.as_ref(), &told) {
                let info = match &told {
                    Told::There(znode) => Some(znode.info.clone()),
                    Told::Absent | Told::Nothing(_) => None,
                };
                let (id, at) = (stored.id.clone(), stored.date());
                history.changes.push(ZnodeAt { id, at, change, info });
            }
            last = Some(told);
        }
        history.next = Some(end).filter(|end| *end < all.len());
        Ok(history)
    }

    pub(super) fn znode_in(&self, stored: &Arc<Stored>, path: &ZnodePath) -> Result<Told, EngineError> {
        let manifest = match &stored.manifest {
            Ok(manifest) => manifest,
            Err(unreadable) => return Ok(Told::Nothing(unreadable.why.clone())),
        };
        if let Err(sealed) = manifest.require_open() {
            return Ok(Told::Nothing(sealed.to_string()));
        }
        if !covers(manifest, path) {
            return Ok(Told::Nothing("it was not asked for it".to_owned()));
        }
        match self.catalogs.znode(&*self.store, &stored.id, path) {
            Ok(znode) if znode.info.role == Role::Unreadable => {
                Ok(Told::Nothing("it could not read it".to_owned()))
            }
            Ok(znode) => Ok(Told::There(Box::new(znode))),
            Err(EngineError::ZnodeNotFound(_)) => self.absent(stored, path),
            Err(error) => not_told(error),
        }
    }

    /// What it means that a backup lacks the znode: nothing below a znode that could not be read is in it.
    fn absent(&self, stored: &Arc<Stored>, path: &ZnodePath) -> Result<Told, EngineError> {
        let mut above = path.parent();
        while let Some(parent) = above {
            match self.catalogs.znode(&*self.store, &stored.id, &parent) {
                Ok(znode) if znode.info.role == Role::Unreadable => {
                    return Ok(Told::Nothing("it could not read what is above it".to_owned()));
                }
                Ok(_) => break,
                Err(EngineError::ZnodeNotFound(_)) => above = parent.parent(),
                Err(error) => return not_told(error),
            }
        }
        Ok(Told::Absent)
    }
}

/// A backup that was evicted meanwhile, failed, is damaged, or cannot be opened.
fn not_told(error: EngineError) -> Result<Told, EngineError> {
    match error {
        EngineError::BackupNotFound(_)
        | EngineError::Invalid(_)
        | EngineError::Damaged { .. }
        | EngineError::Sealed(_)
        | EngineError::Storage(_) => Ok(Told::Nothing(error.to_string())),
        error => Err(error),
    }
}

/// Whether a backup was asked for the znode.
fn covers(manifest: &Manifest, path: &ZnodePath) -> bool {
    let root = |root: &String| ZnodePath::parse(root).is_ok_and(|root| path.is_within(&root));
    manifest.roots.as_ref().is_none_or(|roots| roots.iter().any(root))
}

fn step(before: Option<&Told>, now: &Told) -> Option<ZnodeStep> {
    match (before, now) {
        (None, Told::There(_)) => Some(ZnodeStep::First),
        (Some(Told::Absent), Told::There(_)) => Some(ZnodeStep::Created),
        (Some(Told::There(_)), Told::Absent) => Some(ZnodeStep::Removed),
        (Some(Told::There(before)), Told::There(now)) => {
            // A backup without ACLs has no numbers either.
            let both_told = !before.acl.is_unknown() && !now.acl.is_unknown();
            if both_told && before.info.stat.czxid != now.info.stat.czxid {
                return Some(ZnodeStep::CreatedAnew);
            }
            match (before.data != now.data, both_told && before.acl != now.acl) {
                (true, true) => Some(ZnodeStep::BothChanged),
                (true, false) => Some(ZnodeStep::DataChanged),
                (false, true) => Some(ZnodeStep::AclChanged),
                // It was written with what it had.
                (false, false) => None,
            }
        }
        _ => None,
    }
}
