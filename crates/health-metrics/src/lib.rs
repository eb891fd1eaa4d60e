//! What a backup service can say of itself: a report for people and orchestrators, and Prometheus text.
//!
//! ```
//! use health_metrics::{FsProbe, Health, Metrics, Status, Storage, StorageProbe};
//!
//! let mut storage = Storage::default();
//! storage.usage = FsProbe::new(".").usage()?;
//! (storage.backups, storage.bytes) = (1, 1024);
//! let health = Health::new(storage);
//! assert_eq!(health.status(), Status::Up);
//! let text = Metrics::new()?.render(&health)?;
//! assert!(text.contains("backup_storage_dump_count 1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One feature, off by default: `conformance`, the suite that every probe must pass.

#[cfg(feature = "conformance")]
pub mod conformance;
mod counters;
mod gauges;
mod maker;
mod metrics;
mod probe;
mod problem;
mod report;

pub use metrics::{Metrics, MetricsError};
pub use probe::{
    FixedProcess, FixedStorage, FsProbe, Inodes, ProcessProbe, ProcessUsage, StorageProbe, StorageUsage,
    SystemProcess,
};
pub use problem::Problem;
pub use report::{
    BackupOutcome, BackupSummary, Health, Leadership, Schedule, SecondCopy, Status, Storage, Webhook,
    ZooKeeperHealth,
};
