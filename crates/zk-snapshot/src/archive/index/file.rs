//! Reading an index.

use std::collections::VecDeque;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use super::entry::{Before, Node, Place, parents, split};
use super::pack::{First, MAX_BLOCK, firsts, most};
use crate::archive::{ArchiveError, ArchiveFile, Children, Entry, Frame};
use crate::tree::ZnodePath;

/// So many blocks are kept that were read last: one look needs the same ones several times.
const KEPT: usize = 8;
/// So many bytes the paths on one page have at most, but for the last.
const PAGE: usize = 16 << 20;

/// An index, of which blocks are read when they are needed. Holds where each begins.
pub struct IndexFile<R> {
    file: ArchiveFile<R>,
    firsts: Vec<First>,
    /// How many entries are before each block, and in all.
    before: Vec<usize>,
    kept: Mutex<VecDeque<(usize, Arc<Vec<u8>>)>>,
}

impl<R> std::fmt::Debug for IndexFile<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexFile")
            .field("blocks", &self.firsts.len())
            .finish_non_exhaustive()
    }
}

impl<R: Read + Seek + Send> IndexFile<R> {
    /// Opens the index in `file`, whose frames are where `frames` says; `None` if it is of a version that is not known. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`], naming the frame.
    pub fn open(file: R, frames: Vec<Frame>) -> Result<Option<Self>, ArchiveError> {
        let blocks = frames.len().saturating_sub(1);
        let (mut before, mut entries) = (vec![0], 0_usize);
        for frame in &frames[..blocks] {
            entries = entries.saturating_add(usize::try_from(frame.records).unwrap_or(usize::MAX));
            before.push(entries);
        }
        let file = ArchiveFile::new(file, frames);
        let Some(firsts) = firsts(&file.unpacked(blocks, most(blocks))?, blocks) else {
            return Ok(None);
        };
        Ok(Some(Self {
            file,
            firsts,
            before,
            kept: Mutex::default(),
        }))
    }

    /// What is known of the znode at `path`, and where its record is. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`], naming the frame of the index.
    pub fn find(&self, path: &ZnodePath) -> Result<Option<(Entry, Place)>, ArchiveError> {
        let (parent, name) = split(path.as_str().as_bytes());
        let at = self.first_not(|first| parents(first.0, parent).then_with(|| first.1.cmp(name)).is_lt())?;
        let mut found = None;
        self.show(at, at + 1, |node| {
            if node.parent == parent && node.name == name {
                found = Some((node.entry()?, node.known.place));
            }
            Some(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// `limit` children of `path` by name after the first `offset`; none where the backup has no such znode. They are fewer where
    /// their paths have more than 16 MiB. Blocks.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn children(&self, path: &ZnodePath, offset: usize, limit: usize) -> Result<Children, ArchiveError> {
        let (total, entries) = self.placed(path, offset, limit)?;
        Ok(Children {
            total,
            entries: entries.into_iter().map(|(entry, _)| entry).collect(),
        })
    }

    /// How many [`children`](Self::children) there are, and those asked for with where their records are.
    pub(super) fn placed(
        &self,
        path: &ZnodePath,
        offset: usize,
        limit: usize,
    ) -> Result<(usize, Vec<(Entry, Place)>), ArchiveError> {
        let path = path.as_str().as_bytes();
        let begin = self.first_not(|first| parents(first.0, path).is_lt())?;
        let end = self.first_not(|first| parents(first.0, path).is_le())?.max(begin);
        let from = begin.saturating_add(offset).min(end);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        self.show(from, from.saturating_add(limit).min(end), |node| {
            let entry = node.entry()?;
            bytes += entry.path.as_str().len();
            entries.push((entry, node.known.place));
            Some(match bytes > PAGE {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        Ok((end - begin, entries))
    }

    /// Every entry in its order.
    pub(super) fn walk(&self) -> Walk<'_, R> {
        Walk {
            index: self,
            block: 0,
            bytes: Arc::default(),
            at: 0,
            before: Before::default(),
        }
    }

    /// The number of the first entry of which `is_before` does not hold, which holds of all before it.
    fn first_not(&self, is_before: impl Fn((&[u8], &[u8])) -> bool) -> Result<usize, ArchiveError> {
        let behind = self
            .firsts
            .partition_point(|(parent, name)| is_before((parent, name)));
        let Some(block) = behind.checked_sub(1) else {
            return Ok(0);
        };
        let mut at = self.before[block];
        self.show(self.before[block], self.before[behind], |node| {
            if !is_before((node.parent, node.name)) {
                return Some(ControlFlow::Break(()));
            }
            at += 1;
            Some(ControlFlow::Continue(()))
        })?;
        Ok(at)
    }

    /// Shows the entries with these numbers to `each`, which says whether to go on; `None` if it takes one for nothing that could have been written.
    fn show(
        &self,
        begin: usize,
        end: usize,
        mut each: impl FnMut(&Node<'_>) -> Option<ControlFlow<()>>,
    ) -> Result<(), ArchiveError> {
        let first = self
            .before
            .partition_point(|before| *before <= begin)
            .saturating_sub(1);
        for block in first..self.firsts.len() {
            if self.before[block] >= end {
                break;
            }
            let bytes = self.block(block)?;
            let (mut left, mut before) = (&bytes[..], Before::default());
            for number in self.before[block]..self.before[block + 1].min(end) {
                before.take(&mut left).ok_or_else(|| malformed(block))?;
                if number >= begin && each(&before.node()).ok_or_else(|| malformed(block))?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn block(&self, block: usize) -> Result<Arc<Vec<u8>>, ArchiveError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = kept().iter().find(|(known, _)| *known == block) {
            return Ok(Arc::clone(bytes));
        }
        let bytes = Arc::new(self.file.unpacked(block, MAX_BLOCK)?);
        let mut kept = kept();
        kept.truncate(KEPT - 1);
        kept.push_front((block, Arc::clone(&bytes)));
        Ok(bytes)
    }
}

fn malformed(block: usize) -> ArchiveError {
    ArchiveError::Damaged {
        frame: block,
        why: "it is not what is written".to_owned(),
    }
}

/// The entries of an index, one after another.
pub(super) struct Walk<'a, R> {
    index: &'a IndexFile<R>,
    block: usize,
    bytes: Arc<Vec<u8>>,
    at: usize,
    before: Before,
}

impl<R: Read + Seek + Send> Walk<'_, R> {
    pub(super) fn next(&mut self) -> Result<Option<Node<'_>>, ArchiveError> {
        if self.at == self.bytes.len() {
            if self.block == self.index.firsts.len() {
                return Ok(None);
            }
            self.bytes = Arc::new(self.index.file.unpacked(self.block, MAX_BLOCK)?);
            self.block += 1;
            (self.at, self.before) = (0, Before::default());
        }
        let mut left = &self.bytes[self.at..];
        self.before
            .take(&mut left)
            .ok_or_else(|| malformed(self.block - 1))?;
        self.at = self.bytes.len() - left.len();
        Ok(Some(self.before.node()))
    }
}
