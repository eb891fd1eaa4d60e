//! Sorted entries that wait in files of their own, and what they are together.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use super::entry::{Before, Known, Node, What};
use super::pack::Block;
use crate::archive::ArchiveError;

/// Entries in their order, in a file that has no name and is gone with the process.
pub(super) struct Run(File);

pub(super) struct RunWriter {
    out: BufWriter<File>,
    block: Block,
}

impl RunWriter {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            out: BufWriter::with_capacity(256 << 10, tempfile::tempfile()?),
            block: Block::default(),
        })
    }

    pub(super) fn put(&mut self, node: &Node<'_>) -> io::Result<()> {
        match self.block.put(node) {
            true => self.close(),
            false => Ok(()),
        }
    }

    fn close(&mut self) -> io::Result<()> {
        let length = u32::try_from(self.block.bytes.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&self.block.bytes)?;
        self.block.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<Run> {
        if self.block.entries > 0 {
            self.close()?;
        }
        let mut file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(Run(file))
    }
}

/// Where a run is read.
struct Cursor {
    run: BufReader<File>,
    /// Which one it is: what was taken later is in a later one.
    number: usize,
    block: Vec<u8>,
    at: usize,
    before: Before,
}

impl Cursor {
    /// At the first entry; `None` if there is none.
    fn of(number: usize, Run(file): Run) -> io::Result<Option<Self>> {
        let mut cursor = Self {
            run: BufReader::new(file),
            number,
            block: Vec::new(),
            at: 0,
            before: Before::default(),
        };
        Ok(cursor.next()?.then_some(cursor))
    }

    /// Whether there is another entry.
    fn next(&mut self) -> io::Result<bool> {
        if self.at == self.block.len() {
            let mut length = [0; 4];
            match self.run.read_exact(&mut length) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                read => read?,
            }
            self.block.resize(u32::from_le_bytes(length) as usize, 0);
            self.run.read_exact(&mut self.block)?;
            (self.at, self.before) = (0, Before::default());
        }
        let mut left = &self.block[self.at..];
        let taken = self.before.take(&mut left);
        self.at = self.block.len() - left.len();
        taken
            .map(|()| true)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn node(&self) -> Node<'_> {
        self.before.node()
    }
}

/// The first entry is the greatest: a heap has that on top.
impl Ord for Cursor {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, two) = (self.node(), other.node());
        two.order(&one).then_with(|| other.number.cmp(&self.number))
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Cursor {}

/// Shows the entries of all `runs` in their order, of several of one znode the last with the children of all.
pub(super) fn merge<E: From<ArchiveError>>(
    runs: Vec<Run>,
    mut each: impl FnMut(&Node<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursors = BinaryHeap::new();
    for (number, run) in runs.into_iter().enumerate() {
        cursors.extend(Cursor::of(number, run).map_err(ArchiveError::NoIndex)?);
    }
    let mut summed = Summed::default();
    while let Some(mut first) = cursors.peek_mut() {
        summed.next(&first.node(), &mut each)?;
        if !first.next().map_err(ArchiveError::NoIndex)? {
            PeekMut::pop(first);
        }
    }
    summed.end(&mut each)
}

/// Lets through the last of entries of one znode that come one after another, with the children of all.
#[derive(Default)]
pub(super) struct Summed {
    parent: Vec<u8>,
    name: Vec<u8>,
    known: Option<Known>,
}

impl Summed {
    pub(super) fn next<E>(
        &mut self,
        node: &Node<'_>,
        each: &mut impl FnMut(&Node<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.name != node.name || self.parent != node.parent {
            self.show(each)?;
            self.name.clear();
            self.name.extend_from_slice(node.name);
            if self.parent != node.parent {
                self.parent.clear();
                self.parent.extend_from_slice(node.parent);
            }
        }
        let before = self.known.get_or_insert_default();
        let children = before.children.wrapping_add(node.known.children);
        if node.known.what != What::Children {
            *before = node.known;
        }
        before.children = children;
        Ok(())
    }

    pub(super) fn end<E>(mut self, each: &mut impl FnMut(&Node<'_>) -> Result<(), E>) -> Result<(), E> {
        self.show(each)
    }

    fn show<E>(&mut self, each: &mut impl FnMut(&Node<'_>) -> Result<(), E>) -> Result<(), E> {
        match self.known.take() {
            None => Ok(()),
            Some(known) => each(&Node {
                parent: &self.parent,
                name: &self.name,
                known,
            }),
        }
    }
}
