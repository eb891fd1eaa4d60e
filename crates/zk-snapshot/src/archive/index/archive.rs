//! An archive, or a snapshot, by its index.

use std::collections::VecDeque;
use std::io::{Read, Seek};
use std::sync::{Arc, Mutex, PoisonError};

use super::{IndexFile, Place};
use crate::archive::whole::{self, WholeChildren};
use crate::archive::{Amendment, ArchiveError, ArchiveFile, Children, Entry, Record, RecordSource};
use crate::tree::ZnodePath;

/// Frames that are kept, the last ones: who looks at one znode looks at its neighbours next.
const KEPT: usize = 8;
/// As long as they have not more than so many bytes together, of which a record has so many beside its path and data.
const ROOM: usize = 16 << 20;
const BESIDE: usize = 256;

/// An archive with its amendments, or a snapshot, in which znodes are found by an index.
pub struct IndexedArchive<R> {
    index: IndexFile<R>,
    archive: Box<dyn RecordSource>,
    amendments: Option<ArchiveFile<R>>,
    kept: Mutex<VecDeque<(Place, Arc<Vec<Record>>)>>,
}

impl<R> std::fmt::Debug for IndexedArchive<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("IndexedArchive").field(&self.index).finish()
    }
}

impl<R: Read + Seek + Send> IndexedArchive<R> {
    /// Of what `index` was made of.
    pub fn new(
        index: IndexFile<R>,
        archive: impl RecordSource + 'static,
        amendments: Option<ArchiveFile<R>>,
    ) -> Self {
        Self {
            index,
            archive: Box::new(archive),
            amendments,
            kept: Mutex::default(),
        }
    }

    /// As [`IndexFile::children`].
    ///
    /// # Errors
    /// As there.
    pub fn children(&self, path: &ZnodePath, offset: usize, limit: usize) -> Result<Children, ArchiveError> {
        self.index.children(path, offset, limit)
    }

    /// Whether there is a znode at `path`. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`], naming the frame.
    pub fn has(&self, path: &ZnodePath) -> Result<bool, ArchiveError> {
        Ok(self.index.find(path)?.is_some())
    }

    /// As [`children`](Self::children), with their records. They are fewer where their data have more than `room` bytes. Reads each frame of records
    /// once that has one of them. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`], naming the frame.
    pub fn whole_children(
        &self,
        path: &ZnodePath,
        (offset, limit): (usize, usize),
        room: usize,
    ) -> Result<WholeChildren, ArchiveError> {
        let (total, placed) = self.index.placed(path, offset, limit)?;
        let fit = whole::within(placed.iter().map(|(entry, _)| entry), room);
        let znodes = self.read(placed.into_iter().take(fit))?;
        Ok(WholeChildren { total, znodes })
    }

    /// The znode at `path`: what is known of it, and its record. Reads one frame of records, unless that was read lately. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`], naming the frame.
    pub fn znode(&self, path: &ZnodePath) -> Result<Option<(Entry, Record)>, ArchiveError> {
        Ok(self.read(self.index.find(path)?)?.pop())
    }

    fn read(
        &self,
        placed: impl IntoIterator<Item = (Entry, Place)>,
    ) -> Result<Vec<(Entry, Record)>, ArchiveError> {
        let (entries, places): (Vec<_>, Vec<_>) = placed.into_iter().unzip();
        let numbered = places.iter().copied().zip(0..).collect();
        let missing = |path: &ZnodePath, at: usize| not_there(path, places[at]);
        whole::records(entries, numbered, |place| self.records(place), missing)
    }

    /// The records of a frame; those of znodes that an amendment has removed are not among them.
    fn records(&self, place: Place) -> Result<Arc<Vec<Record>>, ArchiveError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, records)) = kept().iter().find(|(known, _)| *known == place) {
            return Ok(Arc::clone(records));
        }
        let records = Arc::new(match place {
            Place::Archive(frame) => self.archive.frame(frame as usize)?,
            Place::Amendments(frame) => {
                let file = self.amendments.as_ref();
                let file = file.ok_or(ArchiveError::NoSuchFrame(frame as usize))?;
                let amendments: Vec<Amendment> = file.items(frame as usize)?;
                amendments
                    .into_iter()
                    .filter_map(|amendment| amendment.record)
                    .collect()
            }
        });
        let mut kept = kept();
        kept.push_front((place, Arc::clone(&records)));
        let mut room = ROOM;
        let fits = kept.iter().take(KEPT).take_while(|(_, records)| {
            let size = size_of_all(records);
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        });
        let fits = fits.count();
        kept.truncate(fits);
        Ok(records)
    }
}

fn size_of_all(records: &[Record]) -> usize {
    let size = |record: &Record| record.path.as_str().len() + record.data.len() + BESIDE;
    records.iter().map(size).sum()
}

/// The index says that the record of `path` is at `place`.
fn not_there(path: &ZnodePath, place: Place) -> ArchiveError {
    let (Place::Archive(frame) | Place::Amendments(frame)) = place;
    ArchiveError::Damaged {
        frame: frame as usize,
        why: format!("{path} is not in it, and the index says so"),
    }
}
