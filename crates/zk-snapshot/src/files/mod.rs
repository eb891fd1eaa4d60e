//! ZooKeeper's own files: snapshots and transaction logs.
//!
//! A snapshot is fuzzy: it is written while the server goes on. It and what was logged since make one exact state,
//! which is written as a snapshot that needs no logs. Format facts are those of ZooKeeper 3.4 to 3.9
//! (`org.apache.zookeeper.server.persistence`), and `docs/FORMAT.md` has what we write.

mod acls;
mod again;
mod chain;
mod directory;
mod error;
mod feed;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod handout;
mod jute;
mod log;
mod names;
mod records;
mod replay;
mod rereading;
mod settling;
mod snapshot;
mod tree;
mod txn;
mod write;

pub use directory::{DataDirs, FilesReport, GatherError, Gathered, gather};
pub use error::{Fault, FileError};
pub use handout::Handout;
pub use records::SnapshotRecords;
pub use settling::{Settled, Settling};
pub use tree::{Dropped, FileTree, Kinds};
