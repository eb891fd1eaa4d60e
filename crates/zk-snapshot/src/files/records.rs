//! The znodes of a clean snapshot as records.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::Fault;
use super::acls::{self, OPEN_ID};
use super::jute::{Input, Persisted};
use super::paths::{name_of, path_of};
use crate::archive::{ArchiveError, ArchiveFile, Frame, IndexWriter, Outline, Record, RecordSource, Role};
use crate::tree::{Acl, Stat, ZnodePath};

/// No part is longer, and none is written that is: it is closed once it has 256 KiB, by a znode that may be larger, or is the lists.
pub(super) const LONGEST_PART: u64 = 256 << 20;

/// The znodes of a clean snapshot as records, part by part.
///
/// `Stat::num_children` is 0 and `Stat::cversion` twice the number of children ever created, which is what a znode
/// without children would show; [`Stat::next_sequence`] is right.
pub struct SnapshotRecords<R> {
    file: ArchiveFile<R>,
    acls: HashMap<i64, Acl>,
}

impl<R> std::fmt::Debug for SnapshotRecords<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotRecords")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl<R: Read + Seek + Send> SnapshotRecords<R> {
    /// Over a file that [`FileTree::write`](crate::files::FileTree::write) wrote, and the parts it was written in.
    ///
    /// # Errors
    /// [`ArchiveError`] if the first part, which holds the access control lists, is damaged.
    pub fn open(file: R, parts: Vec<Frame>) -> Result<Self, ArchiveError> {
        let file = ArchiveFile::with_longest(file, parts, LONGEST_PART);
        let head = file.bytes(0)?;
        let acls = lists(&head).map_err(|fault| damaged(0, &fault))?;
        Ok(Self { file, acls })
    }

    fn each<T>(
        &self,
        index: usize,
        mut take: impl FnMut(&[u8], Option<&[u8]>, i64, &Persisted) -> Result<T, Fault>,
    ) -> Result<Vec<T>, ArchiveError> {
        let part = self.file.bytes(index)?;
        let count = self.file.records_in(index);
        let mut items = Vec::new();
        if index > 0 {
            let mut input = Input::new(&part);
            for _ in 0..count {
                items.push(read_znode(&mut input, &mut take).map_err(|fault| damaged(index, &fault))?);
            }
        }
        Ok(items)
    }
}

pub(super) fn read_znode<T>(
    input: &mut Input<'_>,
    take: &mut impl FnMut(&[u8], Option<&[u8]>, i64, &Persisted) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (path, data, acl) = (input.string()?, input.buffer()?, input.long()?);
    let stat = Persisted::read(input)?;
    take(path, data, acl, &stat)
}

pub(super) fn lists(head: &[u8]) -> Result<HashMap<i64, Acl>, Fault> {
    let mut input = Input::new(head);
    input.take(16)?;
    for _ in 0..input.count(12)? {
        input.take(12)?;
    }
    let mut lists = HashMap::from([(OPEN_ID, Acl::open())]);
    for _ in 0..input.count(12)? {
        let id = input.long()?;
        lists.insert(id, acls::decode(input.acl()?).ok_or(Fault::Truncated)?);
    }
    Ok(lists)
}

impl IndexWriter {
    /// Takes the znodes of the next part that [`FileTree::write`](crate::files::FileTree::write) has written, and its number.
    ///
    /// # Errors
    /// As [`add`](Self::add); [`ArchiveError::Damaged`] where a znode has a name that no client is sent.
    pub fn add_part(&mut self, part: &[u8], znodes: u64, frame: usize) -> Result<(), ArchiveError> {
        let mut input = Input::new(part);
        for _ in 0..znodes {
            let read = read_znode(&mut input, &mut |path, data, _, stat| {
                let size = data.map_or(0, |data| data.len() as u64);
                Ok((named(path)?, (stat.shown(0), size)))
            });
            let (path, known) = read.map_err(|fault| damaged(frame, &fault))?;
            self.add_znode(&path, known, frame)?;
        }
        Ok(())
    }
}

fn damaged(frame: usize, fault: &Fault) -> ArchiveError {
    ArchiveError::Damaged {
        frame,
        why: fault.to_string(),
    }
}

fn named(path: &[u8]) -> Result<ZnodePath, Fault> {
    path_of(path).ok_or_else(|| Fault::OldName(name_of(path)))
}

impl Persisted {
    /// What a client was shown, and the owner that it was not.
    pub(super) fn of(stat: &Stat, owner: i64) -> Self {
        Self {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            version: stat.version,
            // Where more were created than fit, the server's number wraps around as well.
            cversion: stat.next_sequence() as i32,
            aversion: stat.aversion,
            owner,
            pzxid: stat.pzxid,
        }
    }

    /// As a client would be shown it, with `children` children.
    pub(super) fn shown(&self, children: i32) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            pzxid: self.pzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            num_children: children,
        }
    }
}

impl<R: Read + Seek + Send> RecordSource for SnapshotRecords<R> {
    fn frames(&self) -> usize {
        self.file.frame_count()
    }

    fn records(&self) -> usize {
        RecordSource::records(&self.file)
    }

    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError> {
        self.each(index, |path, data, acl, stat| {
            let list = self.acls.get(&acl);
            Ok(Record {
                path: named(path)?,
                role: Role::Captured,
                data: data.unwrap_or_default().to_vec(),
                acl: list.ok_or_else(|| Fault::NoAcl(name_of(path)))?.clone(),
                stat: stat.shown(0),
            })
        })
    }

    fn outline(&self, index: usize) -> Result<Vec<Outline>, ArchiveError> {
        self.each(index, |path, _, _, _| {
            Ok(Outline {
                path: named(path)?,
                role: Role::Captured,
            })
        })
    }
}
