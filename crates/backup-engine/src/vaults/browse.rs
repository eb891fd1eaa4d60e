//! Looking into backups.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, Weak};

use vault_store::{Reader, VaultId, VaultStore};
use zk_snapshot::archive::{
    ArchiveError, Catalog, Children, Entry, IndexedArchive, Record, Role, WholeChildren,
};
use zk_snapshot::tree::{Acl, Kind, Stat, ZnodePath};

use super::records;
use crate::lock::lock;
use crate::{EngineError, Mode};

/// Vaults that are kept open, with where their znodes are.
const OPEN: usize = 3;
/// How many bytes the znodes on one page take, and each beside its path and name.
const ROOM: usize = 8 << 20;
const BESIDE: usize = 320;

/// Vaults that were looked into.
#[derive(Default)]
pub(crate) struct Catalogs {
    open: Mutex<Open>,
    /// Held by whoever looks into a vault for the first time, which reads all of it.
    looking: Mutex<HashMap<VaultId, Weak<Mutex<()>>>>,
}

#[derive(Default)]
struct Open {
    /// The last one first.
    looks: VecDeque<(VaultId, Arc<Look>)>,
    /// Those whose index has led to what is damaged: they are read through whenever they are opened, and children keep their order.
    read_through: HashSet<VaultId>,
}

impl Catalogs {
    /// Closes what was looked into of `id`, which would keep its disk space, also what is just being opened.
    pub(super) fn forget(&self, id: &VaultId) {
        lock(&self.looking).remove(id);
        let mut open = lock(&self.open);
        open.looks.retain(|(known, _)| known != id);
        open.read_through.remove(id);
    }

    /// What is open of `id`, or `Err` with whether to open it by its index.
    fn known(&self, id: &VaultId, by_index: bool) -> Result<Arc<Look>, bool> {
        let open = lock(&self.open);
        let by_index = by_index && !open.read_through.contains(id);
        let fits = |look: &Look| by_index || matches!(look.znodes, Where::Catalog(_));
        let mut looks = open.looks.iter();
        let known = looks.find(|(known, look)| known == id && fits(look));
        known.map(|(_, look)| Arc::clone(look)).ok_or(by_index)
    }

    /// Keeps what was opened of `id` in this `turn`, unless it was forgotten meanwhile.
    fn keep(&self, id: &VaultId, turn: &Arc<Mutex<()>>, look: &Arc<Look>, by_index: bool) {
        let looking = lock(&self.looking);
        let current = looking.get(id).and_then(Weak::upgrade);
        if !current.is_some_and(|current| Arc::ptr_eq(&current, turn)) {
            return;
        }
        let mut open = lock(&self.open);
        if !by_index {
            open.read_through.insert(id.clone());
        }
        open.looks.retain(|(known, _)| known != id);
        open.looks.truncate(OPEN - 1);
        open.looks.push_front((id.clone(), Arc::clone(look)));
    }

    /// What lets one at a time look into `id` for the first time.
    fn turn(&self, id: &VaultId) -> Arc<Mutex<()>> {
        let mut looking = lock(&self.looking);
        looking.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = looking.get(id).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        looking.insert(id.clone(), Arc::downgrade(&turn));
        turn
    }

    /// What `question` finds in a vault. An index that turns out to be of no use is done without.
    fn ask<T>(
        &self,
        store: &dyn VaultStore,
        id: &VaultId,
        question: impl Fn(&Look) -> Result<T, ArchiveError>,
    ) -> Result<(T, Mode), EngineError> {
        let mut look = self.look(store, id, true)?;
        let mut found = question(&look);
        if let (Err(error), Where::Index(_)) = (&found, &look.znodes)
            && error.is_damage()
        {
            log::warn!("backup {id} is read through, as its index leads to what is damaged: {error}");
            look = self.look(store, id, false)?;
            found = question(&look);
        }
        found
            .map(|found| (found, look.mode))
            .map_err(|error| damaged(id, error))
    }

    /// A vault that is open, or is opened: without its index unless `by_index`.
    fn look(&self, store: &dyn VaultStore, id: &VaultId, by_index: bool) -> Result<Arc<Look>, EngineError> {
        let manifest = store.manifest(id)?; // whatever was looked into before, it may have been removed
        if let Ok(known) = self.known(id, by_index) {
            return Ok(known);
        }
        let turn = self.turn(id);
        let _turn = lock(&turn);
        let by_index = match self.known(id, by_index) {
            Ok(known) => return Ok(known),
            Err(by_index) => by_index,
        };
        manifest.require_open()?;
        let index = match by_index {
            true => records::open_indexed(store, &manifest)?,
            false => None,
        };
        let znodes = match index {
            Some(index) => Where::Index(Box::new(index)),
            None => {
                let records = records::open(store, &manifest)?.records;
                Where::Catalog(Catalog::new(records).map_err(|error| damaged(id, error))?)
            }
        };
        let mode = manifest.mode;
        let look = Arc::new(Look { znodes, mode });
        self.keep(id, &turn, &look, by_index);
        // It may have been removed meanwhile, or another one put in its place: nobody would close this one. Asked for last, as what is removed
        // later is forgotten then.
        if !store.manifest(id).is_ok_and(|there| there == manifest) {
            self.forget(id);
        }
        Ok(look)
    }

    /// The children of a znode.
    pub(crate) fn znodes(
        &self,
        store: &dyn VaultStore,
        id: &VaultId,
        path: &ZnodePath,
        page: Page,
    ) -> Result<ZnodePage, EngineError> {
        let (children, mode) = self.ask(store, id, |look| {
            let children = look.children(path, page)?;
            let is_there = children.total > 0 || look.has(path)?;
            Ok(is_there.then_some(children))
        })?;
        let children = children.ok_or_else(|| no_znode(id, path))?;
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
            znodes: znodes.map(|entry| info(mode, entry)).collect(),
        })
    }

    /// The children of a znode, with their data.
    pub(crate) fn whole_znodes(
        &self,
        store: &dyn VaultStore,
        id: &VaultId,
        path: &ZnodePath,
        page: Page,
    ) -> Result<WholeZnodePage, EngineError> {
        let (children, mode) = self.ask(store, id, |look| {
            let children = look.whole_children(path, page)?;
            let is_there = children.total > 0 || look.has(path)?;
            Ok(is_there.then_some(children))
        })?;
        let children = children.ok_or_else(|| no_znode(id, path))?;
        let znodes = children.znodes.into_iter();
        Ok(WholeZnodePage {
            path: path.clone(),
            total: children.total,
            znodes: znodes.map(|found| content(mode, found)).collect(),
        })
    }

    /// A znode with its data.
    pub(crate) fn znode(
        &self,
        store: &dyn VaultStore,
        id: &VaultId,
        path: &ZnodePath,
    ) -> Result<ZnodeContent, EngineError> {
        let (found, mode) = self.ask(store, id, |look| look.znode(path))?;
        Ok(content(mode, found.ok_or_else(|| no_znode(id, path))?))
    }
}

/// A vault that was looked into.
struct Look {
    znodes: Where,
    mode: Mode,
}

/// What tells where its znodes are.
enum Where {
    /// A file of the vault.
    Index(Box<IndexedArchive<Reader>>),
    /// It was read through.
    Catalog(Catalog),
}

impl Look {
    fn children(&self, path: &ZnodePath, page: Page) -> Result<Children, ArchiveError> {
        match &self.znodes {
            Where::Index(index) => index.children(path, page.offset, page.limit),
            Where::Catalog(catalog) => catalog.children(path, page.offset, page.limit),
        }
    }

    fn whole_children(&self, path: &ZnodePath, page: Page) -> Result<WholeChildren, ArchiveError> {
        let page = (page.offset, page.limit);
        match &self.znodes {
            Where::Index(index) => index.whole_children(path, page, ROOM),
            Where::Catalog(catalog) => catalog.whole_children(path, page, ROOM),
        }
    }

    fn has(&self, path: &ZnodePath) -> Result<bool, ArchiveError> {
        match &self.znodes {
            Where::Index(index) => index.has(path),
            Where::Catalog(catalog) => Ok(catalog.znode(path)?.is_some()),
        }
    }

    fn znode(&self, path: &ZnodePath) -> Result<Option<(Entry, Record)>, ArchiveError> {
        match &self.znodes {
            Where::Index(index) => index.znode(path),
            Where::Catalog(catalog) => {
                let record = catalog.znode(path)?;
                Ok(record.map(|record| (catalog.entry(&record), record)))
            }
        }
    }
}

/// A znode in a backup, without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZnodeInfo {
    /// Its path.
    pub path: ZnodePath,
    /// How long it lives; `None` in a hierarchical backup, since clients are not shown it.
    pub kind: Option<Kind>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZnodeContent {
    /// What it is.
    pub info: ZnodeInfo,
    /// Its data.
    pub data: Vec<u8>,
    /// Its access control list.
    pub acl: Acl,
}

/// Children of a znode, by name; where there are more than 10,000 and the backup has no index, in the order of the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZnodePage {
    /// Their parent.
    pub path: ZnodePath,
    /// How many there are in all.
    pub total: usize,
    /// Those asked for: fewer, where they take more than 8 MiB.
    pub znodes: Vec<ZnodeInfo>,
}

/// Children of a znode with all that is known of them, in the order of a [`ZnodePage`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WholeZnodePage {
    /// Their parent.
    pub path: ZnodePath,
    /// How many there are in all.
    pub total: usize,
    /// Those asked for: fewer, where they take more than 8 MiB. One comes however much it takes.
    pub znodes: Vec<ZnodeContent>,
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

impl Page {
    /// The first so many.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { offset: 0, limit }
    }
}

fn damaged(id: &VaultId, error: ArchiveError) -> EngineError {
    EngineError::Damaged {
        id: id.clone(),
        cause: error.into(),
    }
}

fn info(mode: Mode, entry: Entry) -> ZnodeInfo {
    let mut stat = entry.stat;
    let mut kind = None;
    if mode == Mode::Transactional {
        // The file has no number of children, and the number of creations in place of `cversion`.
        stat.num_children = entry.children.cast_signed();
        stat.cversion = stat.cversion.wrapping_sub(stat.num_children);
        kind = Some(stat.kind());
    }
    ZnodeInfo {
        path: entry.path,
        kind,
        role: entry.role,
        size: entry.size,
        children: entry.children,
        stat,
    }
}

fn content(mode: Mode, (entry, record): (Entry, Record)) -> ZnodeContent {
    ZnodeContent {
        info: info(mode, entry),
        data: record.data,
        acl: record.acl,
    }
}

fn no_znode(id: &VaultId, path: &ZnodePath) -> EngineError {
    EngineError::ZnodeNotFound(format!("backup {id} has no znode {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that was read through.
    fn look() -> Arc<Look> {
        let nothing: Vec<Vec<Record>> = Vec::new();
        Arc::new(Look {
            znodes: Where::Catalog(Catalog::new(Arc::new(nothing)).unwrap()),
            mode: Mode::Hierarchical,
        })
    }

    #[test]
    fn what_is_forgotten_while_it_is_opened_is_not_kept() {
        let (catalogs, id) = (Catalogs::default(), "20261121T000000".parse().unwrap());
        let turn = catalogs.turn(&id);
        catalogs.forget(&id);
        catalogs.keep(&id, &turn, &look(), true);
        assert!(matches!(catalogs.known(&id, true), Err(true)));
        let turn = catalogs.turn(&id);
        catalogs.keep(&id, &turn, &look(), true);
        assert!(catalogs.known(&id, true).is_ok());
    }

    #[test]
    fn a_vault_whose_index_was_of_no_use_is_read_through_again_until_it_is_forgotten() {
        let (catalogs, id) = (Catalogs::default(), "20261121T000000".parse().unwrap());
        catalogs.keep(&id, &catalogs.turn(&id), &look(), false);
        for other in 1..=OPEN {
            let other = format!("2026112{other}T000001").parse().unwrap();
            catalogs.keep(&other, &catalogs.turn(&other), &look(), true);
        }
        assert!(matches!(catalogs.known(&id, true), Err(false)));
        catalogs.forget(&id);
        assert!(matches!(catalogs.known(&id, true), Err(true)));
    }
}
