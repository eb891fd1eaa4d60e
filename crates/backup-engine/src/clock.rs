//! The time, and how it is written.

use std::sync::Arc;

use job_queue::Clock;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The system's clock: the only place that reads it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// What time it is.
    #[must_use]
    #[allow(clippy::disallowed_methods)] // this is the clock
    pub fn now() -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    /// The clock as the engine takes it.
    #[must_use]
    pub fn shared() -> Clock {
        Arc::new(Self::now)
    }
}

pub(crate) fn rfc3339(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
}

/// Since the Unix epoch.
pub(crate) fn ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}
