//! What an engine does beside jobs: it learns what a storage did not tell before, and has swept what was left.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[cfg(feature = "object-store")]
use time::OffsetDateTime;

use crate::engine::Engine;

/// How often a remote storage is asked without anybody asking.
const EVERY: Duration = Duration::from_secs(20);
/// How often what was never committed is swept.
#[cfg(feature = "object-store")]
const SWEPT_EVERY: time::Duration = time::Duration::DAY;

impl Engine {
    /// Never ends. Threads that wait for the storage are waited for by nobody.
    pub(crate) async fn upkeep(&self) {
        #[cfg(feature = "object-store")]
        let mut swept: Option<OffsetDateTime> = None;
        loop {
            self.vaults.refresh();
            if !self.leads() {
                self.follow_notes();
            }
            if !self.site.retention.clock.has_learned() {
                let site = Arc::clone(&self.site);
                thread::spawn(move || {
                    if let Err(error) = site.retention.clock.learn() {
                        log::warn!("the storage cannot be reached: {error}");
                    }
                });
            }
            #[cfg(feature = "object-store")]
            if self.leads() && swept.is_none_or(|swept| self.now() - swept >= SWEPT_EVERY) && self.sweep() {
                swept = Some(self.now());
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Reads what the leader's restores leave unfinished.
    fn follow_notes(&self) {
        let site = Arc::clone(&self.site);
        thread::spawn(move || {
            if let Err(error) = site.unfinished.reload() {
                log::warn!("what restores left unfinished is not known: {error}");
            }
        });
    }

    /// Has swept what belongs to no vault, and says whether that was begun: not while the clock cannot be relied on to say how old it is.
    #[cfg(feature = "object-store")]
    fn sweep(&self) -> bool {
        let now = self.now();
        let Some(objects) = self.objects.clone() else {
            return true;
        };
        if self.site.retention.clock.moved(now).is_some() {
            return false;
        }
        thread::spawn(move || match objects.sweep(now) {
            Ok(swept) => {
                for name in swept {
                    log::warn!("swept what was never finished: {name}");
                }
            }
            Err(error) => log::warn!("what was never finished is swept later: {error}"),
        });
        true
    }
}
