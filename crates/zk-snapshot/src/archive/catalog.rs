//! What an archive holds, by path, to be looked into.

use std::collections::HashMap;
use std::sync::Arc;

use super::whole::{self, WholeChildren};
use super::{AT_ONCE, ArchiveError, Record, RecordSource, Role};
use crate::tree::keys::{Key, KeyMap, Keys};
use crate::tree::{Stat, ZnodePath};

/// So many children of one znode are listed by name; more are not read all at once.
const SORTED: u32 = 10_000;
/// Where children are in more frames than this, they are listed in advance.
const SCATTERED: usize = 16;
/// Children that are listed in advance, in all.
const LISTED: u32 = 100_000;

/// Where in a backup each znode and its children are, so that they are found without reading all of it.
///
/// Holds 8 bytes for each znode, a few ten for each with children, and the children of the few that have them all over
/// the backup.
pub struct Catalog {
    source: Arc<dyn RecordSource>,
    keys: Keys,
    /// A hash of each znode's path, and its frame; sorted.
    places: Vec<(u32, u32)>,
    families: KeyMap<3, Family>,
    listed: HashMap<ZnodePath, Vec<Entry>>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog")
            .field("frames", &self.source.frames())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Family {
    children: u32,
    /// Where they are, and how many of them are there.
    frames: Vec<(u32, u32)>,
}

/// A znode in a backup, without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: ZnodePath,
    /// Whether it was asked for, is above what was, or could not be read.
    pub role: Role,
    /// Its `Stat`, as the record has it.
    pub stat: Stat,
    /// Bytes of data.
    pub size: usize,
    /// Its children in the backup, which has no ephemeral ones.
    pub children: u32,
}

/// Some children of a znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Children {
    /// How many there are in all.
    pub total: usize,
    /// Those asked for.
    pub entries: Vec<Entry>,
}

impl Catalog {
    /// Reads through `source`, at most twice. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn new(source: Arc<dyn RecordSource>) -> Result<Self, ArchiveError> {
        let mut catalog = Self {
            keys: Keys::random(),
            places: Vec::with_capacity(source.records().min(AT_ONCE)),
            families: KeyMap::default(),
            listed: HashMap::new(),
            source,
        };
        for index in 0..catalog.source.frames() {
            let number = u32::try_from(index).map_err(|_| ArchiveError::NoSuchFrame(index))?;
            for outline in catalog.source.outline(index)? {
                let Key([hash, ..]) = catalog.keys.path(&outline.path);
                catalog.places.push((hash, number));
                let Some(parent) = outline.path.parent() else {
                    continue;
                };
                let key = catalog.keys.path(&parent);
                let family = catalog.families.entry(key).or_default();
                family.children += 1;
                match family.frames.last_mut() {
                    Some((frame, count)) if *frame == number => *count += 1,
                    _ => family.frames.push((number, 1)),
                }
            }
        }
        catalog.places.sort_unstable();
        catalog.list_scattered()?;
        Ok(catalog)
    }

    /// Lists the children of znodes that have them all over the backup, as those high up do: to find them again would
    /// be to read it all again.
    fn list_scattered(&mut self) -> Result<(), ArchiveError> {
        let mut scattered: Vec<_> = self
            .families
            .iter()
            .filter(|(_, family)| family.frames.len() > SCATTERED && family.children <= SORTED)
            .collect();
        scattered.sort_by_key(|(_, family)| std::cmp::Reverse(family.frames.len()));
        let mut room = LISTED;
        scattered.retain(|(_, family)| match room.checked_sub(family.children) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        });
        let mut frames: Vec<_> = scattered.iter().flat_map(|(_, family)| &family.frames).collect();
        frames.sort_unstable();
        frames.dedup_by_key(|(frame, _)| *frame);
        let wanted: KeyMap<3, ()> = scattered.iter().map(|(key, _)| (**key, ())).collect();
        let mut listed: HashMap<ZnodePath, Vec<Entry>> = HashMap::new();
        for (frame, _) in frames {
            for record in self.source.frame(*frame as usize)? {
                if let Some(parent) = record.path.parent()
                    && wanted.contains_key(&self.keys.path(&parent))
                {
                    let entry = self.entry(&record);
                    listed.entry(parent).or_default().push(entry);
                }
            }
        }
        listed.values_mut().for_each(|entries| by_name(entries));
        self.listed = listed;
        Ok(())
    }

    /// What is known of a record without its data.
    #[must_use]
    pub fn entry(&self, record: &Record) -> Entry {
        let family = self.families.get(&self.keys.path(&record.path));
        Entry {
            path: record.path.clone(),
            role: record.role,
            stat: record.stat,
            size: record.data.len(),
            children: family.map_or(0, |family| family.children),
        }
    }

    /// The znode at `path`. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`], naming the frame.
    pub fn znode(&self, path: &ZnodePath) -> Result<Option<Record>, ArchiveError> {
        for frame in self.frames(path) {
            let records = self.source.frame(frame)?;
            if let Some(record) = records.into_iter().find(|record| record.path == *path) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// `limit` children of `path` after the first `offset`; none where the backup has no such znode. They come by name,
    /// or, where there are more than 10,000, in the order of the backup. Blocks.
    ///
    /// # Errors
    /// As [`znode`](Self::znode).
    pub fn children(&self, path: &ZnodePath, offset: usize, limit: usize) -> Result<Children, ArchiveError> {
        let Some(family) = self.families.get(&self.keys.path(path)) else {
            return Ok(Children {
                total: 0,
                entries: Vec::new(),
            });
        };
        let total = family.children as usize;
        let page = |entries: &[Entry]| entries.iter().skip(offset).take(limit).cloned().collect();
        let entries = if let Some(listed) = self.listed.get(path) {
            page(listed)
        } else if family.children <= SORTED {
            let mut entries = self.read(path, family, 0, total)?;
            by_name(&mut entries);
            page(&entries)
        } else {
            self.read(path, family, offset, limit)?
        };
        Ok(Children { total, entries })
    }

    /// As [`children`](Self::children), with their records. They are fewer where their data have more than `room` bytes. Blocks.
    ///
    /// # Errors
    /// As [`znode`](Self::znode).
    pub fn whole_children(
        &self,
        path: &ZnodePath,
        (offset, limit): (usize, usize),
        room: usize,
    ) -> Result<WholeChildren, ArchiveError> {
        let Children { total, mut entries } = self.children(path, offset, limit)?;
        entries.truncate(whole::within(entries.iter(), room));
        let places = entries.iter().zip(0..);
        let places = places.flat_map(|(entry, at)| self.frames(&entry.path).map(move |frame| (frame, at)));
        let (places, read) = (places.collect(), |frame| self.source.frame(frame).map(Arc::new));
        let missing =
            |path: &ZnodePath, _| ArchiveError::Unframed(format!("{path} was in it, and is no more"));
        let znodes = whole::records(entries, places, read, missing)?;
        Ok(WholeChildren { total, znodes })
    }

    /// The frames that the znode at `path` may be in.
    fn frames(&self, path: &ZnodePath) -> impl Iterator<Item = usize> + use<'_> {
        let Key([hash, ..]) = self.keys.path(path);
        let first = self.places.partition_point(|(known, _)| *known < hash);
        let places = self.places[first..].iter();
        places
            .take_while(move |(known, _)| *known == hash)
            .map(|(_, frame)| *frame as usize)
    }

    /// Some of a family, in the order of the backup.
    fn read(
        &self,
        path: &ZnodePath,
        family: &Family,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<Entry>, ArchiveError> {
        let (mut entries, mut before) = (Vec::new(), 0);
        for (frame, count) in &family.frames {
            let left = limit - entries.len();
            let skipped = offset.saturating_sub(before);
            before += *count as usize;
            if before > offset && left > 0 {
                let records = self.source.frame(*frame as usize)?;
                let of_path = records
                    .iter()
                    .filter(|record| record.path.parent().as_ref() == Some(path));
                entries.extend(of_path.skip(skipped).take(left).map(|record| self.entry(record)));
            }
        }
        Ok(entries)
    }
}

fn by_name(entries: &mut [Entry]) {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Acl;

    fn record(path: &str) -> Record {
        Record {
            path: ZnodePath::parse(path).unwrap(),
            role: Role::Captured,
            data: path.as_bytes().to_vec(),
            acl: Acl::open(),
            stat: Stat::default(),
        }
    }

    /// Frames of seven znodes, as servers write them: depth first.
    fn catalog(tops: usize, each: usize) -> Catalog {
        let mut all = vec![record("/")];
        for top in (0..tops).rev() {
            all.push(record(&format!("/t{top:05}")));
            all.extend((0..each).map(|i| record(&format!("/t{top:05}/{i}"))));
        }
        let frames: Vec<_> = all.chunks(7).map(<[Record]>::to_vec).collect();
        Catalog::new(Arc::new(frames)).unwrap()
    }

    fn names(catalog: &Catalog, path: &str, offset: usize, limit: usize) -> (usize, Vec<String>) {
        let path = ZnodePath::parse(path).unwrap();
        let children = catalog.children(&path, offset, limit).unwrap();
        let names = children.entries.iter().map(|entry| entry.path.name().to_owned());
        (children.total, names.collect())
    }

    #[test]
    fn children_that_are_all_over_the_backup_are_known_after_the_first_look() {
        let catalog = catalog(300, 20);
        assert_eq!(catalog.listed.len(), 1);
        let (total, all) = names(&catalog, "/", 0, 1_000);
        assert_eq!((total, all.len()), (300, 300));
        assert!(all.is_sorted());
        assert_eq!(names(&catalog, "/", 298, 1_000).1, ["t00298", "t00299"]);
        let (total, some) = names(&catalog, "/t00007", 0, 3);
        assert_eq!((total, &some[..]), (20, &["0", "1", "10"].map(str::to_owned)[..]));
        assert_eq!(names(&catalog, "/none", 0, 3), (0, Vec::new()));
        let entry = &catalog.children(&ZnodePath::root(), 7, 1).unwrap().entries[0];
        assert_eq!(
            (entry.path.as_str(), entry.size, entry.children),
            ("/t00007", 7, 20)
        );
    }

    #[test]
    fn pages_of_many_children_come_in_the_order_of_the_backup() {
        let catalog = catalog(12_000, 1);
        assert!(catalog.listed.is_empty());
        let mut seen = Vec::new();
        for offset in (0..12_500).step_by(500) {
            let (total, page) = names(&catalog, "/", offset, 500);
            assert_eq!(total, 12_000);
            seen.extend(page);
        }
        let expected: Vec<_> = (0..12_000).rev().map(|top| format!("t{top:05}")).collect();
        assert_eq!(seen, expected);
        let znode = catalog.znode(&ZnodePath::parse("/t00003/0").unwrap()).unwrap();
        assert_eq!(znode.unwrap().data, b"/t00003/0");
    }
}
