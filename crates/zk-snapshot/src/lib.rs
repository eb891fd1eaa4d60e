//! A ZooKeeper tree at rest: capture it, keep it as an archive, compare it with a live tree, and put it back.
//!
//! What is kept is what the client API can tell: data byte for byte, ACLs, and the `Stat` fields. Ephemeral
//! znodes belong to a session, so they are counted and never written. `czxid`, `mtime` and the versions are
//! assigned by the server at write time and cannot be put back through the API; the counters from which
//! sequential children are numbered can, and are. Container and TTL znodes and null data look like ordinary
//! persistent znodes and empty data to a client.
//!
//! ```
//! use std::sync::Arc;
//! use zk_snapshot::{Acl, CaptureOptions, Consistency, MemoryTree, RestoreOptions, capture_in_memory, restore};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let live = MemoryTree::new();
//! live.put("/config", b"retries=3", Acl::open())?;
//!
//! // `capture` streams what it finds; here it is simply collected.
//! let backup = capture_in_memory(&live, &CaptureOptions::default()).await?;
//! assert_eq!(backup.summary.consistency, Consistency::Consistent);
//!
//! live.put("/config", b"retries=0", Acl::open())?; // somebody breaks it
//! let report = restore(Arc::new(backup.records), &live, &RestoreOptions::default()).await?;
//! assert_eq!(report.data_changed, 1);
//! assert_eq!(live.data("/config").as_deref(), Some(&b"retries=3"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acl_index;
mod archive;
mod capture;
mod client;
#[cfg(feature = "conformance")]
pub mod conformance;
mod files;
#[cfg(feature = "conformance")]
pub mod model;
mod restore;
mod tree;

pub use acl_index::{AclIndex, AclIndexWriter};
pub use archive::{
    Amended, Amendment, ArchiveError, ArchiveFile, ArchiveWriter, Catalog, Children, Comparison, Entry,
    Frame, Outline, Record, RecordSource, Role, Turn, Turned, compare,
};
pub use capture::{
    CaptureError, CaptureOptions, CaptureSummary, Captured, Consistency, Portion, capture, capture_in_memory,
};
#[cfg(feature = "batched-client")]
pub use client::{BatchedClient, BatchedConfig, Tls, four_letter_word};
#[cfg(feature = "plain-client")]
pub use client::{PlainClient, PlainConfig};
#[cfg(any(fuzzing, test))]
pub use files::fuzzing;
pub use files::{
    DataDirs, Dropped, Fault, FileError, FileTree, FilesReport, GatherError, Gathered, Handout, Kinds,
    Settled, Settling, SnapshotRecords, gather,
};
pub use restore::{
    Change, Difference, Failure, Ledger, MemoryLedger, Policy, RestoreError, RestoreOptions, RestoreReport,
    Unfinished, check_restore, restore,
};
pub use tree::{
    Acl, AclEntry, AclFound, Changes, ClientError, Found, History, Kind, MemoryTree, PathError, Reading,
    Stat, TreeWatch, WriteError, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter,
};
