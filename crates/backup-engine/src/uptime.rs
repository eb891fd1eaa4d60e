//! How much time has passed, whatever the clock is set to.

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Tells how long the machine runs, suspended or not. Nobody sets this clock.
pub(crate) type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

pub(crate) fn uptime() -> Uptime {
    Arc::new(|| {
        let since = clock_gettime(ClockId::Boottime);
        Duration::new(
            since.tv_sec.try_into().unwrap_or_default(),
            since.tv_nsec.try_into().unwrap_or_default(),
        )
    })
}
