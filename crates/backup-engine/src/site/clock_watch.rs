//! Whether the clock can be relied on to say how old a backup is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use time::OffsetDateTime;
use vault_store::{FileName, StoreError, VaultStore};

use super::noted;
use crate::clock::rfc3339;
use crate::lock::lock;
use crate::uptime::Uptime;

/// The last time that was relied on.
const RELIED_ON: FileName = FileName::from_static("clock");
/// So far a clock may be corrected.
const CORRECTED: time::Duration = time::Duration::DAY;
/// By more than this it was set, and somebody is told.
const SET: time::Duration = time::Duration::minutes(10);
/// So long that is told of a clock that stays as it was set.
const TOLD: Duration = Duration::from_hours(24);
/// So long after the start a clock may be corrected before what it shows is kept: a time that is wrong would last over restarts.
const SETTLED: Duration = Duration::from_hours(1);
/// So long after a time was kept another one is.
const KEPT: Duration = Duration::from_hours(24);
/// So long a server may have been off without anybody being asked.
const OFF: time::Duration = time::Duration::days(30);

/// Compares the clock with what it must show: the last time that was relied on, and what has passed since.
pub(crate) struct ClockWatch {
    uptime: Uptime,
    begun: Duration,
    /// What the clock showed then.
    began: OffsetDateTime,
    store: Arc<dyn VaultStore>,
    /// `None` until the storage has told it.
    known: Mutex<Option<Known>>,
    /// At which uptime a time is to be kept, if none is before.
    due: Mutex<Duration>,
}

/// At this uptime the clock showed this, or up to `ahead` more.
#[derive(Clone, Copy)]
struct Known {
    uptime: Duration,
    shown: OffsetDateTime,
    ahead: time::Duration,
    /// By how much it is off without anybody being told: it has stayed so.
    accepted: time::Duration,
    /// At which uptime it was first seen to be off otherwise, and by how much.
    set: Option<(Duration, time::Duration)>,
}

impl Known {
    fn relied_on(uptime: Duration, shown: OffsetDateTime) -> Self {
        Self {
            uptime,
            shown,
            ahead: CORRECTED,
            accepted: time::Duration::ZERO,
            set: None,
        }
    }

    /// How far a clock that shows `now` is ahead of what it must show.
    fn off(&self, uptime: Duration, now: OffsetDateTime) -> time::Duration {
        let passed = time::Duration::try_from(uptime.saturating_sub(self.uptime)).unwrap_or_default();
        now - self.shown.saturating_add(passed)
    }
}

impl ClockWatch {
    /// Nothing is evicted by it before it has [learned](Self::learn).
    pub(crate) fn new(uptime: Uptime, store: Arc<dyn VaultStore>, now: OffsetDateTime) -> Self {
        let begun = uptime();
        Self {
            uptime,
            begun,
            began: now,
            store,
            known: Mutex::default(),
            due: Mutex::new(begun + SETTLED),
        }
    }

    /// Reads the last time that was relied on, unless that is known; where none was kept, the date of the newest backup stands for it. Blocks.
    ///
    /// # Errors
    /// Those of a storage that cannot be read just now; of another, where it has no list of backups.
    pub(crate) fn learn(&self) -> Result<(), StoreError> {
        if lock(&self.known).is_some() {
            return Ok(());
        }
        let stored = noted::read(&*self.store, &RELIED_ON).or_else(|error| {
            if error.may_pass() {
                return Err(error);
            }
            log::warn!("the last time that was relied on is not known: {error}");
            Ok(None)
        });
        let shown = match stored? {
            Some(stored) => stored,
            None => self.newest()?.unwrap_or(self.began),
        };
        lock(&self.known).get_or_insert(Known {
            uptime: self.begun,
            shown,
            ahead: OFF,
            accepted: time::Duration::ZERO,
            set: None,
        });
        Ok(())
    }

    pub(crate) fn has_learned(&self) -> bool {
        lock(&self.known).is_some()
    }

    fn newest(&self) -> Result<Option<OffsetDateTime>, StoreError> {
        let newest = self.store.ids()?.pop();
        Ok(newest.map(|id| {
            let manifest = self.store.manifest(&id);
            manifest.map_or(id.time(), |manifest| manifest.date())
        }))
    }

    /// How long the engine is there.
    pub(crate) fn since_start(&self) -> Duration {
        (self.uptime)().saturating_sub(self.begun)
    }

    /// Why the clock, which shows `now`, cannot be relied on, if so.
    pub(crate) fn moved(&self, now: OffsetDateTime) -> Option<String> {
        let mut known = lock(&self.known);
        let Some(known) = &mut *known else {
            return Some("the storage has not told the last time that was relied on".to_owned());
        };
        let uptime = (self.uptime)();
        let off = known.off(uptime, now);
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
            *known = Known::relied_on(uptime, now);
        }
        None
    }

    /// Why somebody is to look at the clock, which has not moved so far that it keeps policies from evicting, if so. Of a clock that
    /// stays as it was set that is told for a day; what it is [compared](Self::moved) with stays.
    pub(crate) fn was_set(&self, now: OffsetDateTime) -> Option<String> {
        let mut known = lock(&self.known);
        let known = known.as_mut().filter(|known| known.ahead == CORRECTED)?;
        let uptime = (self.uptime)();
        let off = known.off(uptime, now);
        if off.abs() <= SET {
            known.accepted = time::Duration::ZERO;
        }
        let by = off - known.accepted;
        if by.abs() <= SET {
            known.set = None;
            return None;
        }
        let same = known.set.filter(|(_, before)| (off - *before).abs() <= SET);
        let (since, _) = *known.set.insert(same.unwrap_or((uptime, off)));
        if uptime.saturating_sub(since) > TOLD {
            (known.accepted, known.set) = (off, None);
            return None;
        }
        let side = if by.is_negative() { "behind" } else { "ahead of" };
        let (hours, minutes) = (by.whole_hours().abs(), by.whole_minutes().abs() % 60);
        let shown = rfc3339(now.truncate_to_second()).unwrap_or_default();
        Some(format!(
            "it shows {shown}, {hours} hours and {minutes} minutes {side} what it showed before and what has passed since"
        ))
    }

    /// An operator says that the clock is right.
    pub(crate) fn trust(&self, now: OffsetDateTime) {
        *lock(&self.known) = Some(Known::relied_on((self.uptime)(), now));
        self.keep(now);
    }

    /// Whether it is long ago that a time was kept, and that which the clock shows, `now`, can be relied on. Without it a server that ran, and evicted nothing meanwhile,
    /// would count as one that was off.
    pub(crate) fn is_to_be_kept(&self, now: OffsetDateTime) -> bool {
        let due = *lock(&self.due);
        (self.uptime)() >= due && self.moved(now).is_none()
    }

    /// Keeps a time that was relied on, for the next start. Blocks.
    pub(crate) fn keep(&self, now: OffsetDateTime) {
        *lock(&self.due) = (self.uptime)() + KEPT;
        if let Err(error) = noted::write(&*self.store, &RELIED_ON, now) {
            log::warn!("the time could not be kept: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use vault_store::MemoryStore;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn a_time_is_kept_once_a_day_and_not_right_after_the_start_or_of_a_clock_that_moved() {
        let store = MemoryStore::new();
        let begin = OffsetDateTime::UNIX_EPOCH + 18_000 * DAY;
        let passed = Arc::new(Mutex::new(DAY));
        let start = |now| {
            let shown = Arc::clone(&passed);
            let watch = ClockWatch::new(Arc::new(move || *lock(&shown)), Arc::new(store.clone()), now);
            watch.learn().unwrap();
            watch
        };
        let keeps = |watch: &ClockWatch, now: OffsetDateTime| {
            let is_due = watch.is_to_be_kept(now);
            if is_due {
                watch.keep(now);
            }
            is_due
        };
        let watch = start(begin);
        assert!(!keeps(&watch, begin));
        *lock(&passed) += SETTLED;
        assert!(keeps(&watch, begin + SETTLED));
        assert!(!keeps(&watch, begin + SETTLED));
        *lock(&passed) += DAY;
        let now = begin + SETTLED + DAY;
        let later = now + 40 * DAY;
        assert!(!keeps(&watch, later));
        assert!(start(later).moved(later).is_some());
        assert!(keeps(&watch, now), "it is right again");
        // One that is ahead at the start, and is set right soon, is forgotten by the next start.
        let later = now + 20 * DAY;
        assert!(!keeps(&start(later), later));
        assert!(start(now).moved(now).is_none());
    }
}
