//! ZooKeeper's own files: snapshots and transaction logs.
//!
//! A snapshot is fuzzy: it is written while the server goes on. It and what was logged since make one exact state,
//! which is written as a snapshot that needs no logs. Format facts are those of ZooKeeper 3.4 to 3.9
//! (`org.apache.zookeeper.server.persistence`), and `docs/FORMAT.md` has what we write.

mod acls;
mod adler;
mod amend;
mod arena;
mod base;
mod data_dirs;
mod digest;
mod error;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod gather;
mod gathered;
mod items;
mod jute;
mod kinds;
mod log;
mod log_chain;
mod old_names;
mod paths;
mod received_snapshot;
mod reconcile;
mod records;
mod replay;
mod reread;
mod seals;
mod second_read;
mod sessions;
mod snapshot;
mod source;
mod touched;
mod tree;
mod txn;
mod write;

pub use data_dirs::DataDirs;
pub use error::{Fault, FileError};
pub use gather::gather;
pub use gathered::{FilesReport, GatherError, Gathered};
pub use kinds::Kinds;
pub use received_snapshot::ReceivedSnapshot;
pub use reconcile::{ReconciledSnapshot, Reconciler};
pub use records::SnapshotRecords;
pub use sessions::Dropped;
pub use tree::FileTree;
