//! How an archive is written: lines of JSON, gathered into frames.

use std::io::Write;

use super::codec::{FRAME_BYTES, Frame, FrameWriter, MAX_LINE_BYTES};
use super::{Amendment, ArchiveError, Record};
use crate::tree::{Acl, ZnodePath};

/// Writes records, or amendments, into frames. Blocks; memory is bounded by one frame.
pub struct ArchiveWriter<W> {
    out: W,
    raw: Vec<u8>,
    records: u64,
    frames: FrameWriter,
    last_acl: (Acl, Vec<u8>),
}

impl<W> std::fmt::Debug for ArchiveWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveWriter")
            .field("frames", &self.frames.count())
            .finish_non_exhaustive()
    }
}

impl<W: Write> ArchiveWriter<W> {
    /// Starts an archive in `out`, which is empty.
    pub fn new(out: W) -> Self {
        Self {
            out,
            raw: Vec::new(),
            records: 0,
            frames: FrameWriter::default(),
            last_acl: (Acl::default(), Vec::new()),
        }
    }

    /// The index of the frame that the next record comes into.
    pub fn frame(&self) -> usize {
        self.frames.count()
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`ArchiveError::TooLarge`]: nothing was added, and others can be. When `out` fails the archive is of no use.
    pub fn push(&mut self, record: &Record) -> Result<(), ArchiveError> {
        let begin = self.raw.len();
        record
            .write_line(&mut self.last_acl, &mut self.raw)
            .map_err(std::io::Error::from)?;
        self.pushed(begin, &record.path)
    }

    /// Adds an amendment. An archive holds either records or amendments.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn amend(&mut self, amendment: &Amendment) -> Result<(), ArchiveError> {
        let begin = self.raw.len();
        serde_json::to_writer(&mut self.raw, amendment).map_err(std::io::Error::from)?;
        self.raw.push(b'\n');
        self.pushed(begin, &amendment.path)
    }

    fn pushed(&mut self, begin: usize, path: &ZnodePath) -> Result<(), ArchiveError> {
        if self.raw.len() - begin > MAX_LINE_BYTES {
            self.raw.truncate(begin);
            return Err(ArchiveError::TooLarge(path.clone()));
        }
        self.records += 1;
        if self.raw.len() >= FRAME_BYTES {
            self.close_frame()?;
        }
        Ok(())
    }

    /// Writes what is left, and gives `out` back with where the frames are. Flushes `out`; syncing it is the owner's part.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> Result<(W, Vec<Frame>), ArchiveError> {
        if self.records > 0 {
            self.close_frame()?;
        }
        self.out.flush()?;
        Ok((self.out, self.frames.finish()))
    }

    fn close_frame(&mut self) -> Result<(), ArchiveError> {
        self.frames.write(&self.raw, self.records, &mut self.out)?;
        self.records = 0;
        self.raw.clear();
        Ok(())
    }
}
