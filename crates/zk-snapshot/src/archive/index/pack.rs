//! Entries in blocks, each of which can be read without the others.

use std::io::Write;

use super::entry::{Before, Node, put_text, take_text};
use crate::archive::codec::{Frame, MAX_FRAME_BYTES, pack};
use crate::archive::{ArchiveError, codec};

/// A block is closed once it has so many bytes.
const BLOCK: usize = 64 << 10;
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
    frames: Vec<Frame>,
    firsts: Vec<u8>,
    first: First,
}

impl<W: Write> Packer<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            block: Block::default(),
            frames: Vec::new(),
            firsts: vec![VERSION],
            first: First::default(),
        }
    }

    pub(super) fn put(&mut self, node: &Node<'_>) -> Result<(), ArchiveError> {
        if self.block.entries == 0 {
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
        if self.firsts.len() > MAX_FRAME_BYTES {
            return Err(std::io::Error::other("its znodes have too long paths").into());
        }
        self.block.bytes = self.firsts;
        codec::write_frame(&mut self.out, pack(&self.block.bytes, 0)?, &mut self.frames)?;
        self.out.flush()?;
        Ok((self.out, self.frames))
    }

    fn close(&mut self) -> Result<(), ArchiveError> {
        let packed = pack(&self.block.bytes, self.block.entries)?;
        codec::write_frame(&mut self.out, packed, &mut self.frames)?;
        self.block.clear();
        Ok(())
    }
}

/// What the last frame tells of `blocks` blocks; `None` if it is of another version, or not what was written.
pub(super) fn firsts(mut bytes: &[u8], blocks: usize) -> Option<Vec<First>> {
    bytes = bytes.strip_prefix(&[VERSION])?;
    let (mut first, mut firsts) = (First::default(), Vec::new());
    while !bytes.is_empty() {
        take_text(&mut first.0, &mut bytes)?;
        take_text(&mut first.1, &mut bytes)?;
        firsts.push(first.clone());
    }
    (firsts.len() == blocks).then_some(firsts)
}
