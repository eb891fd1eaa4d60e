use std::sync::Arc;

use super::{ArchiveError, Record, RecordSource};
use crate::ZnodePath;
use crate::tree::keys::{Key, KeyMap, Keys};

/// Where in a backup the children of each znode are, so that single znodes are found without reading all of it.
///
/// Holds a few ten bytes for each znode with children.
pub struct Catalog {
    source: Arc<dyn RecordSource>,
    keys: Keys,
    families: KeyMap<3, Family>,
}

#[derive(Default)]
struct Family {
    children: u32,
    frames: Vec<u32>,
}

/// A znode in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it was captured.
    pub record: Record,
    /// Its children in the backup, which has no ephemeral ones.
    pub children: u32,
}

impl Catalog {
    /// Reads through `source` once. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn new(source: Arc<dyn RecordSource>) -> Result<Self, ArchiveError> {
        let mut catalog = Self {
            source,
            keys: Keys::random(),
            families: KeyMap::default(),
        };
        for index in 0..catalog.source.frames() {
            let number = u32::try_from(index).map_err(|_| ArchiveError::NoSuchFrame(index))?;
            for outline in catalog.source.outline(index)? {
                let key = catalog.parent_key(&outline.path);
                let family = catalog.families.entry(key).or_default();
                family.children += 1;
                if family.frames.last() != Some(&number) {
                    family.frames.push(number);
                }
            }
        }
        Ok(catalog)
    }

    /// That of a znode's family: the root is the only child of nothing.
    fn parent_key(&self, path: &ZnodePath) -> Key<3> {
        path.parent()
            .map_or_else(|| self.keys.key(&[b""]), |parent| self.keys.path(&parent))
    }

    fn entry(&self, record: Record) -> Entry {
        let family = self.families.get(&self.keys.path(&record.path));
        Entry {
            children: family.map_or(0, |family| family.children),
            record,
        }
    }

    /// The znode at `path`. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`], naming the frame.
    pub fn znode(&self, path: &ZnodePath) -> Result<Option<Entry>, ArchiveError> {
        let Some(family) = self.families.get(&self.parent_key(path)) else {
            return Ok(None);
        };
        for frame in &family.frames {
            let records = self.source.frame(*frame as usize)?;
            if let Some(record) = records.into_iter().find(|record| record.path == *path) {
                return Ok(Some(self.entry(record)));
            }
        }
        Ok(None)
    }

    /// The children of `path`, by name; none where the backup has no such znode. Blocks.
    ///
    /// # Errors
    /// As [`znode`](Self::znode).
    pub fn children(&self, path: &ZnodePath) -> Result<Vec<Entry>, ArchiveError> {
        let mut children = Vec::new();
        if let Some(family) = self.families.get(&self.keys.path(path)) {
            for frame in &family.frames {
                let records = self.source.frame(*frame as usize)?.into_iter();
                let of_path = records.filter(|record| record.path.parent().as_ref() == Some(path));
                children.extend(of_path.map(|record| self.entry(record)));
            }
        }
        children.sort_by(|a, b| a.record.path.cmp(&b.record.path));
        Ok(children)
    }
}
