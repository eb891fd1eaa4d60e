//! Looking into backups.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use vault_store::{Manifest, VaultId};
use zk_snapshot::{
    Acl, ArchiveError, Catalog, Change, Comparison, Entry, Kind, RecordSource, RestoreError, RestoreOptions,
    Role, Stat, Turn, ZnodePath, compare, restore,
};

use crate::parts::{Parts, lock};
use crate::records::{self, Opened};
use crate::{EngineError, Mode};

/// Vaults that are kept open, with where their znodes are.
const OPEN: usize = 3;
/// How many bytes the znodes on one page take, and each beside its path and name.
const ROOM: usize = 8 << 20;
const BESIDE: usize = 320;

/// Vaults that were looked into, the last one first.
#[derive(Default)]
pub(crate) struct Catalogs(Mutex<VecDeque<(VaultId, Arc<Look>)>>);

impl Catalogs {
    /// Closes what was looked into of `id`, which would keep its disk space.
    pub(crate) fn forget(&self, id: &VaultId) {
        lock(&self.0).retain(|(known, _)| known != id);
    }
}

/// A vault that was looked into.
struct Look {
    opened: Opened,
    catalog: Catalog,
}

/// A znode in a backup, without its data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ZnodeInfo {
    /// Its path.
    pub path: ZnodePath,
    /// Its name; empty for the root.
    pub name: String,
    /// `persistent`, `container` or `ttl`; `None` in a hierarchical backup, since clients are not shown it.
    pub kind: Option<&'static str>,
    /// How long a TTL znode lives without a change, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Whether it was asked for, is above what was, or could not be read.
    pub role: Role,
    /// Bytes of data.
    pub size: usize,
    /// Children in the backup.
    pub children: u32,
    /// Its `Stat`.
    pub stat: Stat,
}

/// A znode in a backup with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ZnodeContent {
    /// What it is.
    #[serde(flatten)]
    pub info: ZnodeInfo,
    /// Its data, in standard base64 with padding.
    pub data: String,
    /// Its access control list.
    pub acl: Acl,
}

/// Children of a znode, by name; where there are more than 10,000, in the order of the backup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ZnodePage {
    /// Their parent.
    pub path: ZnodePath,
    /// How many there are in all.
    pub total: usize,
    /// Those asked for: fewer, where they take more than 8 MiB.
    pub znodes: Vec<ZnodeInfo>,
}

/// What a backup is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompareWith {
    /// Another backup.
    Backup(String),
    /// The tree as it is now.
    Live,
}

/// Which part of a long answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many to leave out.
    pub offset: usize,
    /// How many to give at most.
    pub limit: usize,
}

fn id_of(id: &str) -> Result<VaultId, EngineError> {
    id.parse().map_err(|_| EngineError::BackupNotFound(id.to_owned()))
}

fn look(parts: &Parts, id: &str) -> Result<Arc<Look>, EngineError> {
    let id = id_of(id)?;
    let manifest = parts.vaults.manifest(&id)?; // whatever was looked into before, it may have been removed
    let known = lock(&parts.catalogs.0)
        .iter()
        .find(|(known, _)| *known == id)
        .map(|(_, look)| Arc::clone(look));
    if let Some(known) = known {
        return Ok(known);
    }
    let opened = records::open(parts, &manifest)?;
    let catalog = Catalog::new(Arc::clone(&opened.records)).map_err(|error| damaged(&id, &error))?;
    let look = Arc::new(Look { opened, catalog });
    let mut catalogs = lock(&parts.catalogs.0);
    catalogs.truncate(OPEN - 1);
    catalogs.push_front((id, Arc::clone(&look)));
    Ok(look)
}

fn damaged(id: &VaultId, error: &ArchiveError) -> EngineError {
    EngineError::Storage(format!("backup {id}: {error}"))
}

fn info(opened: &Opened, entry: Entry) -> ZnodeInfo {
    let transactional = opened.mode == Mode::Transactional;
    let mut stat = entry.stat;
    let (mut kind, mut ttl_ms) = (None, None);
    if transactional {
        // The file has no number of children, and the number of creations in place of `cversion`.
        stat.num_children = entry.children.cast_signed();
        stat.cversion = stat.cversion.wrapping_sub(stat.num_children);
        kind = Some(match stat.kind() {
            Kind::Container => "container",
            Kind::Ttl(time) => {
                ttl_ms = u64::try_from(time.as_millis()).ok();
                "ttl"
            }
            Kind::Persistent | Kind::Ephemeral => "persistent",
        });
    }
    ZnodeInfo {
        name: entry.path.name().to_owned(),
        path: entry.path,
        kind,
        ttl_ms,
        role: entry.role,
        size: entry.size,
        children: entry.children,
        stat,
    }
}

fn no_znode(id: &str, path: &ZnodePath) -> EngineError {
    EngineError::ZnodeNotFound(format!("backup {id} has no znode {path}"))
}

pub(crate) fn znodes(
    parts: &Parts,
    id: &str,
    path: &ZnodePath,
    page: Page,
) -> Result<ZnodePage, EngineError> {
    let look = look(parts, id)?;
    let fail = |error| EngineError::Storage(format!("backup {id}: {error}"));
    let children = look
        .catalog
        .children(path, page.offset, page.limit)
        .map_err(fail)?;
    if children.total == 0 && look.catalog.znode(path).map_err(fail)?.is_none() {
        return Err(no_znode(id, path));
    }
    let mut room = ROOM;
    let fits = |entry: &Entry| {
        let before = room;
        room = room.saturating_sub(2 * entry.path.as_str().len() + BESIDE);
        before > 0
    };
    let znodes = children.entries.into_iter().take_while(fits);
    Ok(ZnodePage {
        path: path.clone(),
        total: children.total,
        znodes: znodes.map(|entry| info(&look.opened, entry)).collect(),
    })
}

pub(crate) fn znode(parts: &Parts, id: &str, path: &ZnodePath) -> Result<ZnodeContent, EngineError> {
    let look = look(parts, id)?;
    let record = look
        .catalog
        .znode(path)
        .map_err(|error| EngineError::Storage(format!("backup {id}: {error}")))?
        .ok_or_else(|| no_znode(id, path))?;
    Ok(ZnodeContent {
        info: info(&look.opened, look.catalog.entry(&record)),
        data: STANDARD.encode(&record.data),
        acl: record.acl,
    })
}

pub(crate) fn between(parts: &Parts, from: &str, to: &str, page: Page) -> Result<Comparison, EngineError> {
    let open = |id: &str| {
        let manifest = parts.vaults.manifest(&id_of(id)?)?;
        let roots = roots_of(&manifest);
        Ok::<_, EngineError>((records::open(parts, &manifest)?, roots))
    };
    let ((from, these), (to, those)) = (open(from)?, open(to)?);
    // What one of them was not asked for is no difference.
    let within = |path: &ZnodePath| {
        [&these, &those].iter().all(|roots| match roots {
            None => true,
            Some(roots) => roots.iter().any(|root| path.is_within(root)),
        })
    };
    compare(&*from.records, &*to.records, within, (page.offset, page.limit))
        .map_err(|error| EngineError::Storage(error.to_string()))
}

/// What a backup of a part was asked for.
fn roots_of(manifest: &Manifest) -> Option<Vec<ZnodePath>> {
    let roots = manifest.roots.as_ref()?;
    let path = |root: &String| ZnodePath::parse(&format!("/{}", root.trim_start_matches('/'))).ok();
    Some(roots.iter().filter_map(path).collect())
}

/// The znodes that a backup could not read.
fn unreadable(records: &dyn RecordSource) -> Result<Vec<ZnodePath>, ArchiveError> {
    let mut unreadable = Vec::new();
    for index in 0..records.frames() {
        let outlines = records.outline(index)?.into_iter();
        let unread = outlines.filter(|outline| outline.role == Role::Unreadable);
        unreadable.extend(unread.map(|outline| outline.path));
    }
    unreadable.retain(|path| !path.as_str().starts_with("/zookeeper/"));
    Ok(unreadable)
}

/// What a restore would change, the other way round.
pub(crate) async fn with_live(parts: &Arc<Parts>, from: &str, page: Page) -> Result<Comparison, EngineError> {
    let (blocking, id) = (Arc::clone(parts), id_of(from)?);
    let opened =
        tokio::task::spawn_blocking(move || records::open(&blocking, &blocking.vaults.manifest(&id)?))
            .await
            .map_err(|error| EngineError::Internal(error.to_string()))??;
    let unreachable = |error: String| EngineError::ZooKeeper(error);
    let client = parts
        .ensemble
        .connect()
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let options = RestoreOptions {
        dry_run: true,
        show: page.offset.saturating_add(page.limit),
        same_ensemble: opened.same_history,
        ..RestoreOptions::default()
    };
    let report = restore(Arc::clone(&opened.records), &*client, &options).await;
    client.close().await;
    let unread = tokio::task::spawn_blocking(move || unreadable(&*opened.records)).await;
    let unread = unread
        .map_err(|error| EngineError::Internal(error.to_string()))?
        .map_err(|error| EngineError::Storage(format!("backup {from}: {error}")))?;
    let report = report.map_err(|error| match error {
        RestoreError::Client { cause, .. } => unreachable(cause.to_string()),
        error => EngineError::Storage(format!("backup {from}: {error}")),
    })?;
    let mut found = Comparison::default();
    for difference in &report.differences {
        let turn = match difference.change {
            Change::Create => Turn::Removed,
            Change::Delete => Turn::Added,
            Change::Data => Turn::DataChanged,
            Change::Acl => Turn::AclChanged,
        };
        found.note(&difference.path, turn, (page.offset, page.limit));
    }
    (found.added, found.removed) = (report.deleted, report.created);
    (found.data_changed, found.acl_changed) = (report.data_changed, report.acl_changed);
    report
        .failures
        .iter()
        .for_each(|failure| found.note_unknown(&failure.path));
    found.unknown = report.failed;
    unread.iter().for_each(|path| found.note_unknown(path));
    Ok(found)
}
