//! A ZooKeeper tree at rest: capture it, keep it as an archive, compare it with a live tree, and put it back.
//!
//! What is kept is what the client API can tell: data byte for byte, ACLs, and the `Stat` fields. Ephemeral
//! znodes belong to a session, so they are counted and never written. `czxid`, `mtime` and the versions are
//! assigned by the server at write time and cannot be put back through the API. Container and TTL znodes and
//! null data look like ordinary persistent znodes and empty data to a client.
//!
//! ```
//! use zk_snapshot::{Acl, CaptureOptions, MemoryTree, RestoreOptions, ZnodePath, capture, restore};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let live = MemoryTree::new();
//! live.put("/config", b"retries=3", Acl::open())?;
//!
//! // Capture streams records; here they are simply collected into one frame.
//! let (records, mut received) = tokio::sync::mpsc::channel(1024);
//! let summary = capture(&live, &CaptureOptions::default(), records).await?;
//! let mut frame = Vec::new();
//! while let Ok(record) = received.try_recv() {
//!     frame.push(record);
//! }
//! assert_eq!(summary.znodes, frame.len() as u64);
//!
//! live.put("/config", b"retries=0", Acl::open())?; // somebody breaks it
//! let report = restore(&vec![frame], &live, &RestoreOptions::default()).await?;
//! assert_eq!(report.data_changed, 1);
//! assert_eq!(live.data("/config").as_deref(), Some(&b"retries=3"[..]));
//! let _ = ZnodePath::parse("/config")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod archive;
mod capture;
mod client;
#[cfg(feature = "conformance")]
pub mod conformance;
mod restore;
mod tree;

pub use archive::{ArchiveError, ArchiveFile, ArchiveWriter, Frame, Record, RecordSource, Role};
pub use capture::{CaptureError, CaptureOptions, CaptureSummary, capture};
#[cfg(feature = "plain-client")]
pub use client::{PlainClient, PlainConfig};
pub use restore::{
    Change, Difference, Failure, Policy, RestoreError, RestoreOptions, RestoreReport, restore,
};
pub use tree::{
    Acl, AclEntry, ClientError, Found, MemoryTree, PathError, Reading, Stat, WriteError, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter,
};
