//! The index of an archive: where each znode's record is, and what a list shows of it, found by few reads.
//!
//! Entries lie level by level, those of one parent together and by name, in blocks that are packed one by one; the last frame tells with
//! which znode each block begins. What is sorted goes through a file of its own where it is much. `docs/FORMAT.md` has the bytes.

mod archive;
mod entry;
mod file;
mod gather;
mod merge;
mod pack;
#[cfg(test)]
mod tests;

pub use archive::IndexedArchive;
pub use entry::Place;
pub use file::IndexFile;
pub use gather::IndexWriter;
