//! The archive: newline-delimited JSON records in zstd frames that can be read one by one.
//!
//! Each frame is a complete zstd frame, so `zstd -dc archive | jq` reads the whole file, and a damaged frame is
//! named and costs only itself. Parents come before their children. What changed after the walk had passed it
//! comes as amendments, in a file of the same kind, which are worked in while reading.
//!
//! ```
//! use std::io::Cursor;
//! use zk_snapshot::archive::{ArchiveFile, ArchiveWriter, RecordSource};
//! use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
//! use zk_snapshot::tree::{Acl, MemoryTree};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let live = MemoryTree::new();
//! live.put("/config", b"retries=3", Acl::open())?;
//! let captured = capture_in_memory(&live, &CaptureOptions::default()).await?;
//!
//! let mut bytes = Vec::new();
//! let mut writer = ArchiveWriter::new(&mut bytes);
//! for index in 0..captured.records.frames() {
//!     captured.records.frame(index)?.iter().try_for_each(|record| writer.push(record))?;
//! }
//! let (_, frames) = writer.finish()?; // where they are, and what they must hash to
//!
//! let archive = ArchiveFile::new(Cursor::new(bytes), frames);
//! let records = archive.frame(0)?;
//! assert_eq!((records[1].path.as_str(), &records[1].data[..]), ("/config", &b"retries=3"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod amendment;
mod archive_file;
mod archive_writer;
mod catalog;
mod codec;
mod compare;
mod index;
mod order;
mod record;
mod whole;

pub use amendment::{Amended, Amendment};
pub use archive_file::ArchiveFile;
pub use archive_writer::ArchiveWriter;
pub use catalog::{Catalog, Children, Entry};
pub use codec::Frame;
pub use compare::{ChangedZnode, Comparison, ZnodeChange, compare};
pub use index::{IndexFile, IndexWriter, IndexedArchive, Place};
pub use order::{Misplaced, TreeOrder};
pub use record::{Outline, Record, Role};
pub use whole::WholeChildren;

use crate::tree::ZnodePath;
use crate::tree::error::io_may_pass;

/// Room that is made at once for what a file says it holds.
pub(crate) const AT_ONCE: usize = 1 << 18;

/// An archive could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file below failed.
    #[error("the archive cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// A frame is not what was written.
    #[error("frame {frame} of the archive is damaged: {why}")]
    Damaged {
        /// Index of the frame, from 0.
        frame: usize,
        /// What does not hold.
        why: String,
    },
    /// What is not read in frames is not what was written.
    #[error("the archive is damaged: {0}")]
    Unframed(String),
    /// The record of a znode is larger than any that is read again.
    #[error("the record of {0} is too large for an archive")]
    TooLarge(ZnodePath),
    /// There is no frame with this index.
    #[error("the archive has no frame {0}")]
    NoSuchFrame(usize),
    /// An index cannot be sorted here. Nothing is wrong with what it is made of.
    #[error("no index can be made: {0}")]
    NoIndex(#[source] std::io::Error),
}

impl ArchiveError {
    /// Whether something is not what was written; otherwise it may be read another time.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Io(error) => matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ),
            Self::NoIndex(_) => false,
            Self::Damaged { .. } | Self::Unframed(_) | Self::TooLarge(_) | Self::NoSuchFrame(_) => true,
        }
    }

    /// Whether the same may be read or written later, though nobody changes anything. What is not known to last may.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Io(error) | Self::NoIndex(error) => io_may_pass(error),
            Self::Damaged { .. } | Self::Unframed(_) | Self::TooLarge(_) | Self::NoSuchFrame(_) => false,
        }
    }
}

/// Where a restore takes its records from, frame by frame, as often as it needs.
///
/// Every frame is checked before any record of it is handed out.
pub trait RecordSource: Send + Sync {
    /// The number of frames.
    fn frames(&self) -> usize;

    /// About how many records there are, where that is known. A file says so, so no memory is taken by it.
    fn records(&self) -> usize {
        0
    }

    /// All records of one frame. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`], naming the frame.
    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError>;

    /// The same records by path and role alone, where that is faster.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    fn outline(&self, index: usize) -> Result<Vec<Outline>, ArchiveError> {
        Ok(self.frame(index)?.iter().map(Outline::of).collect())
    }
}

impl<S: RecordSource + ?Sized> RecordSource for Box<S> {
    fn frames(&self) -> usize {
        (**self).frames()
    }

    fn records(&self) -> usize {
        (**self).records()
    }

    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError> {
        (**self).frame(index)
    }

    fn outline(&self, index: usize) -> Result<Vec<Outline>, ArchiveError> {
        (**self).outline(index)
    }
}

impl RecordSource for Vec<Vec<Record>> {
    fn frames(&self) -> usize {
        self.len()
    }

    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError> {
        self.get(index).cloned().ok_or(ArchiveError::NoSuchFrame(index))
    }
}
