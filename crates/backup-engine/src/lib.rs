//! Back up a ZooKeeper ensemble, keep the backups, evict them, and bring them back: the engine behind the
//! server, to be embedded. It knows no HTTP. Every part can be replaced; the defaults work.
//!
//! ```
//! use std::sync::Arc;
//! use backup_engine::{BackupRequest, Engine, JobState, MemoryEnsemble, RestoreRequest};
//! use backup_engine::zk_snapshot::tree::{Acl, MemoryTree};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let tree = Arc::new(MemoryTree::new());
//! tree.put("/config", b"retries=3", Acl::open())?;
//! let engine = Engine::builder(Arc::new(MemoryEnsemble::new(Arc::clone(&tree)))).build()?;
//!
//! tokio::spawn({
//!     let engine = engine.clone();
//!     async move { engine.run(std::future::pending()).await } // a shutdown that never comes
//! });
//! let id = engine.backup(BackupRequest::default()).await?;
//! assert_eq!(engine.wait(&id).await?.status, JobState::Successful);
//! assert!(engine.describe(&id).await?.is_some_and(|backup| backup.is_valid()));
//!
//! tree.put("/config", b"retries=0", Acl::open())?;
//! let task = engine.restore(RestoreRequest::of(&id)).await?;
//! assert_eq!(engine.wait(&task).await?.status, JobState::Successful);
//! assert_eq!(tree.data("/config").as_deref(), Some(&b"retries=3"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features, all of them on by default: `batched-client` (real ensembles), `plain-client` (also servers older than ZooKeeper 3.6),
//! `admin-source` (transactional backups over HTTP), `sqlite` (`EngineBuilder::storage`). Without any, an embedder brings ensembles
//! and stores of its own. Off by default: `object-store` (`EngineBuilder::objects`), `s3` (buckets, with links to their files),
//! `schema` (schemas of what is serialised, for an OpenAPI document), and `conformance`, the suites that these must pass.

mod blocking;
mod builder;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod copying;
mod ends;
mod engine;
mod ensemble;
mod error;
mod health;
mod info;
mod kind;
mod leadership;
mod leading;
#[cfg(feature = "object-store")]
mod lease;
mod lock;
mod outbox;
mod owed;
mod plain;
mod requests;
mod serving;
mod site;
#[cfg(feature = "object-store")]
mod sweeping;
mod upkeep;
mod uptime;
mod vaults;
mod watch;
mod watch_all;
mod work;

/// The crates that the engine is made of, so that an embedder needs to name only this one.
pub use {eviction_policy, health_metrics, job_queue, vault_store, zk_snapshot};

#[cfg(feature = "sqlite")]
pub use builder::VAULTS_ELSEWHERE;
pub use builder::{DEFAULT_STORAGE, EngineBuilder};
pub use clock::SystemClock;
pub use engine::Engine;
#[cfg(feature = "admin-source")]
pub use ensemble::{AdminSource, AdminSourceError, AgentSource};
pub use ensemble::{
    Client, ConnectString, ConnectStringError, Ensemble, FilesSource, MembersUnknown, MemoryEnsemble,
    StateError, StateSource,
};
#[cfg(feature = "batched-client")]
pub use ensemble::{Driver, ZooKeeperEnsemble};
pub use error::{Cause, EngineError, InvalidRequest};
pub use info::{BackupInfo, BackupState, JobInfo, JobPage};
pub use job_queue::JobState;
pub use kind::JobKind;
pub use leadership::{Leadership, Role};
#[cfg(feature = "object-store")]
pub use lease::LeaderLease;
pub use outbox::{News, Outbox};
pub use plain::{is_hostile, plain};
pub use requests::{
    BY, BackupRequest, Labels, RestoreRequest, RestoreSource, RestoreTestPlace, RestoreTestRequest, Share,
    ShareError, Strategy, VerifyRequest,
};
pub use site::{
    NewPolicy, Policies, PolicyChange, PolicyInfo, PolicyOutcome, Recovery, RestoreTests, SettingNames,
    TestEnsemble,
};
pub use vault_store::Mode;
pub use vaults::browse::{CompareWith, Page, WholeZnodePage, ZnodeContent, ZnodeInfo, ZnodePage};
pub use vaults::changes::{NotLooked, ZnodeAt, ZnodeHistory, ZnodeStep};
pub use vaults::exchange::{Export, ImportOptions};
pub use vaults::finding::{ZnodeFinds, ZnodeFound};
pub use watch::JobWatch;
pub use watch_all::JobsWatch;
pub use work::{
    DamagedCopy, DamagedVault, Hook, HookVariables, Hooks, JobResult, LOG_OF_JOBS, PlacedFiles, ProgressInfo,
    RestoreResult, RestoreTestResult, RestoredFiles, RestoredFrom, VerifyResult,
};
