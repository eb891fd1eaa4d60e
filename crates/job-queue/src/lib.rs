//! Durable work: jobs that are on disk before anybody is told of them, done one after another.
//!
//! ```
//! use job_queue::{JobKind, JobState, JobStore, MemoryJobs, NewJob, Outcome};
//! use time::OffsetDateTime;
//!
//! let jobs = MemoryJobs::new();
//! let now = OffsetDateTime::from_unix_timestamp(1_700_000_000)?;
//! let job = NewJob::new("20231114T221320", JobKind::Backup, "20231114T221320");
//! jobs.enqueue(job, now, 100)?;
//! let claimed = jobs.claim(now)?.ok_or("nothing to do")?;
//! jobs.finish(&claimed.id, Outcome::success(serde_json::Value::Null), now)?;
//! assert_eq!(jobs.get(&claimed.id)?.map(|job| job.state), Some(JobState::Successful));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "conformance")]
mod faulty;
mod job;
mod memory;
mod runner;
mod schedule;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

#[cfg(feature = "conformance")]
pub use faulty::{FaultyJobs, JobCall, JobFault};
pub use job::{Job, JobKind, JobState, NewJob, Outcome};
pub use memory::MemoryJobs;
pub use runner::{Clock, JobHandler, Runner, Waker};
pub use schedule::{Schedule, ScheduleError, Ticker};
#[cfg(feature = "sqlite")]
pub use sqlite::{Opened, SqliteJobs};
pub use store::{Counts, JobStore, QueueError};
