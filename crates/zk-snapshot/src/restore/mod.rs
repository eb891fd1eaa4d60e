//! Restore as a diff: read the live tree, write only what differs.
//!
//! ```
//! use std::sync::Arc;
//! use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
//! use zk_snapshot::restore::{Policy, RestoreOptions, restore};
//! use zk_snapshot::tree::{Acl, MemoryTree};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let live = MemoryTree::new();
//! live.put("/app", b"1", Acl::open())?;
//! let backup = capture_in_memory(&live, &CaptureOptions::default()).await?;
//!
//! live.put("/app", b"2", Acl::open())?;
//! live.put("/app/new", b"", Acl::open())?;
//! let options = RestoreOptions { policy: Policy::Merge, dry_run: true, ..RestoreOptions::default() };
//! let report = restore(Arc::new(backup.records), &live, &options).await?;
//! assert_eq!((report.data_changed, report.deleted), (1, 0));
//! assert_eq!(live.data("/app").as_deref(), Some(&b"2"[..]), "nothing was written");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod above;
mod apply;
mod begun;
mod counted;
mod counters;
mod error;
mod extras;
mod final_acls;
mod guard;
mod identify;
mod ledger;
mod left;
mod noted;
mod notes;
mod options;
mod permit;
mod places;
mod plan;
mod put_back;
mod question;
mod raise_counters;
mod read_live;
mod replan;
mod report;
mod rights;
mod run;
mod scope;
mod state;
mod step;
mod surprise;
mod writer;

pub use error::RestoreError;
pub use ledger::{Ledger, MemoryLedger, Opened, Unfinished};
pub use left::still_unfinished;
pub use options::{Policy, RestoreOptions};
pub use permit::{NotPermitted, Permit, Unhindered};
pub use report::{Change, Difference, Failure, RestoreReport};
pub use run::restore;
pub use scope::check_restore;
