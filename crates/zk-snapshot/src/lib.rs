//! A ZooKeeper tree at rest: capture it, keep it as an archive, compare it with a live tree, and put it back.
//!
//! What is kept is what the client API can tell: data byte for byte, ACLs, and the `Stat` fields. Ephemeral
//! znodes belong to a session, so they are counted and never written. `czxid`, `mtime` and the versions are
//! assigned by the server at write time and cannot be put back through the API; the counters from which
//! sequential children are numbered can, and are. Container and TTL znodes and null data look like ordinary
//! persistent znodes and empty data to a client.
//!
//! | to | look in |
//! |---|---|
//! | name znodes, and read or write a tree of any kind | [`tree`] |
//! | reach a server | [`client`] |
//! | take a live tree as of one moment | [`capture`] |
//! | keep what was taken, and compare two states | [`archive`] |
//! | put it back | [`restore`] |
//! | read or write the snapshots and transaction logs of a server | [`files`] |
//!
//! ```
//! use std::sync::Arc;
//! use zk_snapshot::capture::{CaptureOptions, Consistency, capture_in_memory};
//! use zk_snapshot::restore::{RestoreOptions, restore};
//! use zk_snapshot::tree::{Acl, MemoryTree};
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
//!
//! Features, on by default: `batched-client` (many reads or writes in one request, watches, TLS and SASL; ZooKeeper 3.6 or newer) and `plain-client`
//! (plain requests, any version). Off by default: `schema` (schemas of what is serialised, for an OpenAPI document), and `conformance`, the suites that
//! every client must pass. Without any, [`files`], [`archive`] and trees of the embedder's own are left, and nothing reaches a server.

pub mod archive;
pub mod capture;
pub mod client;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod files;
#[cfg(feature = "conformance")]
pub mod model;
pub mod restore;
pub mod tree;
