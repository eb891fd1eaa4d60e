//! Back up a ZooKeeper ensemble, keep the backups, evict them, and bring them back: the engine behind the
//! server, to be embedded. It knows no HTTP. Every part can be replaced; the defaults work.
//!
//! ```
//! use std::sync::Arc;
//! use backup_engine::{BackupRequest, Engine, JobState, MemoryEnsemble, RestoreRequest};
//! use zk_snapshot::tree::{Acl, MemoryTree};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let tree = Arc::new(MemoryTree::new());
//! tree.put("/config", b"retries=3", Acl::open())?;
//! let engine = Engine::builder(Arc::new(MemoryEnsemble::new(Arc::clone(&tree)))).build()?;
//!
//! let id = engine.backup(BackupRequest::default()).await?;
//! while engine.step().await? {} // or `engine.run(shutdown)` in a task of its own
//! assert!(engine.describe(&id).await?.is_some_and(|backup| backup.is_valid()));
//!
//! tree.put("/config", b"retries=0", Acl::open())?;
//! let task = engine.restore(RestoreRequest::of(&id)).await?;
//! while engine.step().await? {}
//! assert_eq!(engine.job(&task).await?.map(|job| job.status), Some(JobState::Successful));
//! assert_eq!(tree.data("/config").as_deref(), Some(&b"retries=3"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocking;
mod builder;
mod clock;
mod engine;
mod ensemble;
mod error;
mod health;
mod info;
mod lock;
mod private_files;
mod requests;
mod site;
mod vaults;
mod work;

pub use builder::EngineBuilder;
pub use clock::SystemClock;
pub use engine::Engine;
pub use ensemble::{
    AdminSource, AgentSource, Client, ConnectString, Driver, Ensemble, FilesSource, MemoryEnsemble,
    StateSource, ZooKeeperEnsemble,
};
pub use error::{EngineError, InvalidRequest};
pub use info::{BackupInfo, BackupState, JobInfo};
pub use job_queue::JobState;
pub use requests::{BackupRequest, RestoreRequest, RestoreSource, Strategy};
pub use site::Recovery;
pub use vault_store::Mode;
pub use vaults::browse::{CompareWith, Page, ZnodeContent, ZnodeInfo, ZnodePage};
pub use work::{ProgressInfo, plain};
