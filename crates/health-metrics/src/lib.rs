//! What a backup service can say of itself: a report for people and orchestrators, and Prometheus text.
//!
//! ```
//! use health_metrics::{FsProbe, Health, Metrics, StorageProbe, Storage};
//!
//! let usage = FsProbe::new(".").usage()?;
//! let storage = Storage { usage, dump_count: 1, size: 1024, last: None, last_successful: None };
//! let health = Health::new(storage, 0);
//! assert_eq!(health.status, "UP");
//! let text = Metrics::new()?.render(&health)?;
//! assert!(text.contains("backup_storage_dump_count 1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "conformance")]
pub mod conformance;
mod metrics;
mod probe;
mod report;

pub use metrics::{Metrics, MetricsError};
pub use probe::{
    FixedStorage, FsProbe, ProcessProbe, ProcessUsage, StorageProbe, StorageUsage, SystemProcess,
};
pub use report::{BackupMetrics, BackupSummary, Health, Schedule, Storage, ZooKeeperHealth};
