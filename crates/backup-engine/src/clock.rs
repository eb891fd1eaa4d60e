use std::sync::Arc;

use job_queue::Clock;
use time::OffsetDateTime;

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
