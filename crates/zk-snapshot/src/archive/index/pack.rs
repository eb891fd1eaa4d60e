//! Entries in blocks, each of which can be read without the others.

use std::io::Write;

use super::entry::{Before, LONGEST, Node, put_text, take_text};
use crate::archive::ArchiveError;
use crate::archive::codec::{Frame, FrameWriter};

/// A block is closed once it has so many bytes.
const BLOCK: usize = 64 << 10;
/// So many bytes has a block at most: it is closed by the entry that fills it.
pub(super) const MAX_BLOCK: usize = BLOCK + 2 * LONGEST + 256;
/// So many bytes have the parents and names that blocks begin with, in all.
const FIRSTS: usize = 64 << 20;
/// The first byte of the last frame.
const VERSION: u8 = 1;

/// The block that is being filled.
#[derive(Default)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: u64,
    before: Before,
}

impl Block {
    /// Adds an entry, and says whether the block is full now.
    pub(super) fn put(&mut self, node: &Node<'_>) -> bool {
        self.before.put(node, &mut self.bytes);
        self.entries += 1;
        self.bytes.len() >= BLOCK
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries = 0;
        self.before = Before::default();
    }
}

/// Which znode a block begins with: its parent and its name.
pub(super) type First = (Vec<u8>, Vec<u8>);

/// Writes an index of entries that come in their order.
pub(super) struct Packer<W> {
    out: W,
    block: Block,
    frames: FrameWriter,
    firsts: Vec<u8>,
    first: First,
    /// How many bytes the parents and names that blocks begin with may still have.
    room: usize,
}

impl<W: Write> Packer<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            block: Block::default(),
            frames: FrameWriter::default(),
            firsts: vec![VERSION],
            first: First::default(),
            room: FIRSTS,
        }
    }

    pub(super) fn put(&mut self, node: &Node<'_>) -> Result<(), ArchiveError> {
        if node.parent.len().max(node.name.len()) > LONGEST {
            return Err(too_long());
        }
        if self.block.entries == 0 {
            let room = self.room.checked_sub(node.parent.len() + node.name.len());
            self.room = room.ok_or_else(too_long)?;
            put_text(&mut self.first.0, node.parent, &mut self.firsts);
            put_text(&mut self.first.1, node.name, &mut self.firsts);
        }
        if self.block.put(node) {
            self.close()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(W, Vec<Frame>), ArchiveError> {
        if self.block.entries > 0 {
            self.close()?;
        }
        self.block.bytes = self.firsts;
        self.frames.write(&self.block.bytes, 0, &mut self.out)?;
        self.out.flush()?;
        Ok((self.out, self.frames.finish()))
    }

    fn close(&mut self) -> Result<(), ArchiveError> {
        self.frames
            .write(&self.block.bytes, self.block.entries, &mut self.out)?;
        self.block.clear();
        Ok(())
    }
}

fn too_long() -> ArchiveError {
    ArchiveError::NoIndex(std::io::Error::other("paths are too long"))
}

/// So many bytes has the last frame of `blocks` blocks at most.
pub(super) fn most(blocks: usize) -> usize {
    // A number has ten bytes at most, and a first one four.
    FIRSTS.saturating_add(blocks.saturating_mul(40)).saturating_add(1)
}

/// What the last frame tells of `blocks` blocks; `None` if it is of another version, or not what was written.
pub(super) fn firsts(mut bytes: &[u8], blocks: usize) -> Option<Vec<First>> {
    bytes = bytes.strip_prefix(&[VERSION])?;
    let (mut first, mut firsts, mut room) = (First::default(), Vec::new(), FIRSTS);
    for _ in 0..blocks {
        take_text(&mut first.0, &mut bytes)?;
        take_text(&mut first.1, &mut bytes)?;
        room = room.checked_sub(first.0.len() + first.1.len())?;
        firsts.push(first.clone());
    }
    bytes.is_empty().then_some(firsts)
}
