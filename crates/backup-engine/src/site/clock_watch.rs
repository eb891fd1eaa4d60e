//! Whether the clock can be relied on to say how old a backup is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;
use vault_store::{FileName, VaultStore};

use super::noted;
use crate::lock::lock;

/// Tells how long the machine runs, suspended or not. Nobody sets this clock.
pub(crate) type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The last time that was relied on.
const RELIED_ON: FileName = FileName::from_static("clock");
/// So far a clock may be corrected.
const CORRECTED: time::Duration = time::Duration::DAY;
/// So long a server may have been off without anybody being asked.
const OFF: time::Duration = time::Duration::days(30);

/// Compares the clock with what it must show: the last time that was relied on, and what has passed since.
pub(crate) struct ClockWatch {
    uptime: Uptime,
    begun: Duration,
    store: Arc<dyn VaultStore>,
    known: Mutex<Known>,
}

/// At this uptime the clock showed this, or up to `ahead` more.
#[derive(Clone, Copy)]
struct Known {
    uptime: Duration,
    shown: OffsetDateTime,
    ahead: time::Duration,
}

pub(crate) fn uptime() -> Uptime {
    Arc::new(|| {
        let since = clock_gettime(ClockId::Boottime);
        Duration::new(
            since.tv_sec.try_into().unwrap_or_default(),
            since.tv_nsec.try_into().unwrap_or_default(),
        )
    })
}

impl ClockWatch {
    /// `newest` is the date of the newest backup: the last time that is known where the store tells none.
    pub(crate) fn new(
        uptime: Uptime,
        store: Arc<dyn VaultStore>,
        newest: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Self {
        let stored = noted::read(&*store, &RELIED_ON).unwrap_or_else(|error| {
            log::warn!("the last time that was relied on is not known: {error}");
            None
        });
        let begun = uptime();
        let known = Known {
            uptime: begun,
            shown: stored.or(newest).unwrap_or(now),
            ahead: OFF,
        };
        Self {
            uptime,
            begun,
            store,
            known: Mutex::new(known),
        }
    }

    /// How long the engine is there.
    pub(crate) fn since_start(&self) -> Duration {
        (self.uptime)().saturating_sub(self.begun)
    }

    /// Why the clock, which shows `now`, cannot be relied on, if so.
    pub(crate) fn moved(&self, now: OffsetDateTime) -> Option<String> {
        let mut known = lock(&self.known);
        let uptime = (self.uptime)();
        let passed = time::Duration::try_from(uptime.saturating_sub(known.uptime)).unwrap_or_default();
        let expected = known.shown.saturating_add(passed);
        let off = now - expected;
        if off > known.ahead || off < -CORRECTED {
            let (days, side) = (
                off.whole_days().abs(),
                if off.is_negative() { "behind" } else { "ahead of" },
            );
            return Some(format!(
                "the clock shows {}, {days} days {side} the last time that was relied on and what has passed since",
                now.date()
            ));
        }
        if known.ahead == OFF {
            *known = Known {
                uptime,
                shown: now,
                ahead: CORRECTED,
            };
        }
        None
    }

    /// An operator says that the clock is right.
    pub(crate) fn trust(&self, now: OffsetDateTime) {
        *lock(&self.known) = Known {
            uptime: (self.uptime)(),
            shown: now,
            ahead: CORRECTED,
        };
        self.keep(now);
    }

    /// Keeps a time that was relied on, for the next start.
    pub(crate) fn keep(&self, now: OffsetDateTime) {
        if let Err(error) = noted::write(&*self.store, &RELIED_ON, now) {
            log::warn!("the time could not be kept: {error}");
        }
    }
}
