//! The second copies of vaults: made beside everything else, one at a time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Notify;
use vault_store::{CopyError, MirroredStore, StoreError, StoredCopy, VaultId};

use crate::lock::lock;
use crate::uptime::Uptime;

/// What has not come on for so long needs somebody.
const LATE: Duration = Duration::from_mins(10);
/// A vault of which something was copied, or read for that, in vain a second time is tried again so late, and each time later: all is sent and read anew.
const PAUSE: Duration = Duration::from_mins(5);
const LONGEST: Duration = Duration::from_hours(6);

/// What copies vaults to a second store, and how that goes.
pub(crate) struct SecondCopy {
    pub(crate) store: MirroredStore,
    /// Where the second store is, for people.
    pub(crate) place: String,
    uptime: Uptime,
    /// What the clock showed at this uptime.
    began: (Duration, OffsetDateTime),
    state: Mutex<State>,
    /// Held while vaults are copied.
    copying: Mutex<()>,
    wake: Notify,
}

struct State {
    /// Why not all was done the last time.
    error: Option<String>,
    /// At which uptime a vault was copied last, or all was done.
    well_at: Duration,
    /// What was copied, or read for that, in vain.
    vain: BTreeMap<VaultId, Vain>,
}

/// A vault of which something was copied, or read to make its copy anew, and not all.
struct Vain {
    times: u32,
    /// An uptime.
    until: Duration,
    why: String,
}

impl SecondCopy {
    /// The clock shows `now`. Afterwards it is not asked: it may be set, and what waits would wait for days, or seem late. `trouble` is what the first
    /// look at the second store met: the next one may hang.
    pub(crate) fn new(
        store: MirroredStore,
        place: String,
        uptime: Uptime,
        now: OffsetDateTime,
        trouble: Option<String>,
    ) -> Self {
        let well_at = uptime();
        Self {
            store,
            place,
            uptime,
            began: (well_at, now),
            state: Mutex::new(State {
                error: trouble,
                well_at,
                vain: BTreeMap::new(),
            }),
            copying: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// There may be something to copy, or to remove.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// There may be something else to copy of this vault, so that what was tried in vain says no more.
    pub(crate) fn wake_for(&self, id: &VaultId) {
        lock(&self.state).vain.remove(id);
        self.wake();
    }

    /// This vault is whole: what was tried with it in vain is tried again.
    pub(crate) fn found_whole(&self, id: &VaultId) {
        if lock(&self.state).vain.remove(id).is_some() {
            self.wake();
        }
    }

    /// Ends when there may be.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// What kept the last pass from doing all, and whether that has lasted for so long that it needs somebody.
    pub(crate) fn trouble(&self) -> Option<(String, bool)> {
        let state = lock(&self.state);
        let is_late = (self.uptime)().saturating_sub(state.well_at) > LATE;
        state.error.clone().map(|error| (error, is_late))
    }

    /// Learns what the second store has, and, as long as `may` says so, removes what was evicted and copies what is lacking, the newest first.
    /// Blocks.
    ///
    /// # Errors
    /// The first thing that could not be done; what could be, was.
    pub(crate) fn pass(&self, may: &dyn Fn() -> bool) -> Result<(), StoreError> {
        let _one_at_a_time = lock(&self.copying);
        let done = self.try_pass(may);
        let mut state = lock(&self.state);
        state.error = done.as_ref().err().map(ToString::to_string);
        if done.is_ok() {
            state.well_at = (self.uptime)();
        }
        done
    }

    /// What the clock would show if nobody had set it.
    fn now(&self) -> OffsetDateTime {
        let (uptime, began) = self.began;
        began + (self.uptime)().saturating_sub(uptime)
    }

    fn try_pass(&self, may: &dyn Fn() -> bool) -> Result<(), StoreError> {
        let listed = self.store.refresh();
        if !may() {
            return listed;
        }
        let marked = self.store.mark();
        listed.and(marked)?;
        let mut done = self.store.copy_notes();
        done = done.and(self.store.remove_evicted(self.now()));
        let lacking = self.store.lacking()?;
        lock(&self.state).vain.retain(|id, _| lacking.contains(id));
        for id in lacking.into_iter().rev() {
            if !may() {
                break;
            }
            if let Some(error) = self.put_off(&id) {
                done = done.and(Err(error));
                continue;
            }
            let Err(CopyError { of, source, .. }) = self.copy(&id, may) else {
                continue;
            };
            // So would all others be, unless it is the first, which answers otherwise: then it is this vault's.
            if matches!(source, StoreError::Failed { .. })
                && (of == StoredCopy::Second || self.store.follow_evictions().is_err())
            {
                return done.and(Err(source));
            }
            log::error!("backup {id} is not copied: {source}");
            done = done.and(Err(source));
        }
        done
    }

    fn copy(&self, id: &VaultId, may: &dyn Fn() -> bool) -> Result<(), CopyError> {
        let mut bytes = 0;
        let mut go_on = |more| {
            bytes += more;
            may()
        };
        let copied = self.store.copy(id, &mut go_on);
        let mut state = lock(&self.state);
        match copied {
            Ok(false) => {}
            Ok(true) => {
                state.well_at = (self.uptime)();
                state.vain.remove(id);
                log::info!("backup {id} has its second copy: {bytes} bytes were read for it");
            }
            Err(error) => {
                // What was called off is not in vain.
                if bytes > 0 && may() {
                    state.note_vain(id, (self.uptime)(), error.to_string());
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Why a vault is not tried yet.
    fn put_off(&self, id: &VaultId) -> Option<StoreError> {
        let (state, now) = (lock(&self.state), (self.uptime)());
        let vain = state.vain.get(id).filter(|vain| now < vain.until)?;
        let what = format!("backup {id} could not be copied {} times", vain.times);
        Some(StoreError::failed(what, true, vain.why.clone()))
    }
}

impl State {
    /// The first time is not counted: it may have been the network's.
    fn note_vain(&mut self, id: &VaultId, now: Duration, why: String) {
        let times = self.vain.get(id).map_or(1, |vain| vain.times.saturating_add(1));
        let pause = match times {
            1 => Duration::ZERO,
            many => (PAUSE * 2_u32.saturating_pow((many - 2).min(16))).min(LONGEST),
        };
        let until = now + pause;
        self.vain.insert(id.clone(), Vain { times, until, why });
    }
}
