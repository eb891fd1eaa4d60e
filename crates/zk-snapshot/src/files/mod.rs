//! ZooKeeper's own files: snapshots and transaction logs.
//!
//! A snapshot is fuzzy: it is written while the server goes on. It and what was logged since make one exact state,
//! which is written as a snapshot that needs no logs. Format facts are those of ZooKeeper 3.4 to 3.9
//! (`org.apache.zookeeper.server.persistence`), and `docs/FORMAT.md` has what we write.
//!
//! [`gather`] makes the exact state of a data directory, [`FileTree::for_each`] shows its znodes, and [`FileTree::write`]
//! writes it. [`SnapshotFile`] and [`LogFile`] show what is in single files. What a server hands out while it goes on is a
//! [`ReceivedSnapshot`], and a [`Reconciler`] makes it the state of one moment.
//!
//! ```
//! use serde_json::json;
//! use zk_snapshot::files::{DataDirs, FileError, LogFile, Operation, gather};
//!
//! let dirs = DataDirs::same("tests/golden/3.9.5");
//! let state = gather(&dirs, None)?;
//! assert_eq!(state.report.digest_agrees, Some(true));
//!
//! // Its znodes as JSON lines, with each byte of data as a number.
//! let mut lines = 0;
//! state.tree.for_each(|znode| {
//!     let (path, kind) = (znode.path, format!("{:?}", znode.kind));
//!     let line = json!({"path": path, "kind": kind, "data": znode.data, "acl": znode.acl, "stat": znode.stat});
//!     println!("{line}");
//!     lines += 1;
//!     Ok::<_, FileError>(())
//! })?;
//! assert_eq!(lines, state.tree.len());
//!
//! // The transactions of its logs, one by one.
//! let mut created = 0;
//! for (_, path) in dirs.logs()? {
//!     for transaction in LogFile::open(&path)? {
//!         created += u64::from(matches!(transaction?.operation, Operation::Create { .. }));
//!     }
//! }
//! assert!(created > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
mod log_file;
mod old_names;
mod paths;
mod received_snapshot;
mod reconcile;
mod records;
mod replay;
mod reread;
mod samples;
mod seals;
mod second_read;
mod sessions;
mod snapshot;
mod snapshot_file;
mod source;
mod touched;
mod transaction;
mod tree;
mod txn;
mod write;

pub use data_dirs::DataDirs;
pub use error::{Fault, FileError};
pub use gather::{gather, gather_with};
pub use gathered::{FilesReport, GatherError, Gathered};
pub use kinds::Kinds;
pub use log_file::LogFile;
pub use received_snapshot::ReceivedSnapshot;
pub use reconcile::{ReconciledSnapshot, Reconciler};
pub use records::SnapshotRecords;
pub use samples::Sample;
pub use sessions::Dropped;
pub use snapshot_file::{FileZnode, LoadedSnapshot, SnapshotFile};
pub use transaction::{Operation, Transaction};
pub use tree::FileTree;
