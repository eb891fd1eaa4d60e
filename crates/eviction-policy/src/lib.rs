//! Which backups to keep, which to evict, and why. Pure: no I/O, no clock.
//!
//! ```
//! use eviction_policy::{Action, Backup, RulePolicy, Standing, plan};
//! use time::{Duration, OffsetDateTime};
//!
//! let policy: RulePolicy = "0/1d,7d/delete".parse()?;
//! let now = OffsetDateTime::from_unix_timestamp(1_700_000_000)?;
//! let backup = |id: &str, hours| Backup {
//!     id: id.to_owned(),
//!     taken_at: now - Duration::hours(hours),
//!     standing: Standing::Good,
//!     pinned: false,
//!     by_hand: false,
//! };
//! let decisions = plan(&policy, &[backup("new", 1), backup("old", 24 * 8)], now);
//! assert_eq!(decisions[0].id, "old");
//! assert_eq!(decisions[0].action, Action::Evict);
//! assert_eq!(decisions[1].action, Action::Keep);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features, off by default: `serde` (decisions can be serialised), and `conformance`, the suite that every policy must pass.

#[cfg(feature = "conformance")]
pub mod conformance;
mod parse;
mod planner;
mod rules;

pub use parse::{Fault, ParseError};
pub use planner::{Action, Backup, Decision, EvictionPolicy, Standing, Verdict, plan};
pub use rules::RulePolicy;
