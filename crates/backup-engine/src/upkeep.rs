//! What an engine does beside jobs: it learns what a storage did not tell before, and keeps the time.

use std::sync::Arc;
use std::time::Duration;

use crate::blocking::aside;
use crate::engine::Engine;
use crate::leading::may_work;

/// How often a remote storage is asked without anybody asking.
const EVERY: Duration = Duration::from_secs(20);

impl Engine {
    /// Never ends. Threads that wait for the storage are waited for by nobody; where none can be started, the next turn tries again.
    pub(crate) async fn upkeep(&self) {
        loop {
            self.vaults.refresh();
            if !self.leads() {
                self.follow_notes();
            }
            if !self.site.retention.clock.has_learned() {
                let site = Arc::clone(&self.site);
                aside("the clock", move || {
                    if let Err(error) = site.retention.clock.learn() {
                        log::warn!("the storage cannot be reached: {error}");
                    }
                });
            }
            let now = self.now();
            if self.leads() && self.site.retention.clock.is_to_be_kept(now) {
                let clock = Arc::clone(&self.site.retention.clock);
                aside("the clock", move || clock.keep(now));
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Reads what the leader's restores leave unfinished, and which second copies are to go with what it has evicted.
    fn follow_notes(&self) {
        let (site, second) = (Arc::clone(&self.site), self.vaults.second.clone());
        let leadership = self.leadership.clone();
        aside("notes", move || {
            if let Some(Err(error)) = second.map(|second| second.store.follow_evictions()) {
                log::warn!("what the leader has evicted is not known: {error}");
            }
            if let Err(error) = site.reload_notes_while(|| !may_work(leadership.as_ref())) {
                log::warn!("what restores left unfinished is not known: {error}");
            }
        });
    }
}
