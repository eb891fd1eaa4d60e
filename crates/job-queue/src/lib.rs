//! Durable work: jobs that are on disk before anybody is told of them, done one after another.
//!
//! ```
//! use job_queue::{JobState, JobStore, MAIN_LANE, MemoryJobs, NewJob, Outcome};
//! use time::OffsetDateTime;
//!
//! let jobs = MemoryJobs::new();
//! let now = OffsetDateTime::from_unix_timestamp(1_700_000_000)?;
//! jobs.enqueue(NewJob::new("job-1", "resize").needing("image-1"), now, 100)?;
//! let claimed = jobs.claim("worker-1", MAIN_LANE, now)?.ok_or("nothing to do")?;
//! assert!(jobs.is_needed("image-1")?);
//! jobs.finish(&claimed.id, Outcome::success(serde_json::Value::Null), now)?;
//! assert_eq!(jobs.get(&claimed.id)?.map(|job| job.state), Some(JobState::Successful));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: `sqlite` (jobs in a SQLite database), which is on by default. Off by default: `object-store` (jobs on object storage that several servers
//! share, and a lease of who does them), `schema` (schemas of what is serialised, for an OpenAPI document), and `conformance`, the suite that every job
//! store must pass. Without any, jobs are in memory, or in a store of the embedder's own.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "conformance")]
mod faulty;
mod job;
mod memory;
mod millis;
#[cfg(feature = "object-store")]
mod object;
mod record;
mod runner;
mod schedule;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stop;
mod store;
mod table;

pub use error::QueueError;
#[cfg(feature = "conformance")]
pub use faulty::{FaultyJobs, JobCall, JobFault};
pub use job::{Job, JobState, MAIN_LANE, NewJob, Note, Outcome};
pub use memory::MemoryJobs;
#[cfg(feature = "object-store")]
pub use object::{Holder, Lease, LeaseTiming, ObjectJobs, Uptime};
pub use runner::{Clock, JobHandler, Runner, Waker};
pub use schedule::{Schedule, ScheduleError, Ticker};
#[cfg(feature = "sqlite")]
pub use sqlite::{Opened, SqliteJobs};
pub use stop::{Stop, StopReason};
pub use store::{Counts, INTERRUPTED, JobStore, Listed};
