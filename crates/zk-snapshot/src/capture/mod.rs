//! Capturing a live tree: the walk, and what makes it one moment of the tree's history.
//!
//! ```
//! use zk_snapshot::capture::{CaptureOptions, Consistency, capture_in_memory};
//! use zk_snapshot::tree::{Acl, MemoryTree, ZnodePath};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let live = MemoryTree::new();
//! live.put("/app/config", b"retries=3", Acl::open())?;
//! live.put("/other", b"", Acl::open())?;
//!
//! let options = CaptureOptions { roots: vec![ZnodePath::parse("/app")?], ..CaptureOptions::default() };
//! let captured = capture_in_memory(&live, &options).await?;
//! assert_eq!(captured.summary.consistency, Consistency::Consistent);
//! assert_eq!(captured.summary.znodes, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acl_index;
mod collect;
mod error;
mod finish;
pub(crate) mod frontier;
mod options;
mod portion;
mod run;
mod second_look;
mod state;
mod summary;
mod two_walks;
mod verify;
mod visit;
mod walk;

pub use acl_index::{AclIndex, AclIndexWriter};
pub use collect::{Captured, capture_in_memory};
pub use error::CaptureError;
pub use options::CaptureOptions;
pub use portion::Portion;
pub use run::capture;
pub use summary::{CaptureSummary, Consistency};
