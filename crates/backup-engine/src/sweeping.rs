//! When what was never committed is swept from buckets: at the start, and once a day.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::oneshot;
use vault_store::{ObjectVaults, StoreError};

use crate::EngineError;
use crate::engine::Engine;
use crate::lock::lock;

/// How often it is looked whether it is time.
const EVERY: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_hours(24);
/// After a failure it is tried again so soon, and each time later, up to an hour.
const AGAIN: Duration = Duration::from_mins(1);
const LATEST: Duration = Duration::from_hours(1);

/// When the next sweep is due.
#[derive(Default)]
struct Turn {
    due: Option<OffsetDateTime>,
    /// Sweeps that failed since the last that did not.
    failed: u32,
}

impl Turn {
    fn is_due(&self, now: OffsetDateTime) -> bool {
        self.due.is_none_or(|due| now >= due)
    }

    fn ended(&mut self, begun: OffsetDateTime, is_done: bool) {
        let wait = match is_done {
            true => DAY,
            false => (AGAIN * 2_u32.saturating_pow(self.failed)).min(LATEST),
        };
        self.failed = if is_done { 0 } else { (self.failed + 1).min(6) };
        self.due = Some(begun + wait);
    }
}

impl Engine {
    /// Never ends. Not while the clock cannot be relied on to say how old something is.
    pub(crate) async fn keep_sweeping(&self) {
        let further = self.further_objects.iter().map(|(_, objects)| objects);
        let objects = [&self.objects, &self.second_objects].into_iter().flatten();
        let objects: Vec<_> = objects.chain(further).cloned().collect();
        if objects.is_empty() {
            return std::future::pending().await;
        }
        let mut turn = Turn::default();
        loop {
            let now = self.now();
            if turn.is_due(now) && self.leads() && self.site.retention.clock.moved(now).is_none() {
                let done = self.sweep(objects.clone(), now).await;
                if let Err(error) = &done {
                    log::warn!("what was never finished is swept later: {error}");
                }
                turn.ended(now, done.is_ok());
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// On a thread of its own, which nobody waits for at the end of the program.
    async fn sweep(&self, objects: Vec<ObjectVaults>, now: OffsetDateTime) -> Result<(), EngineError> {
        let (tell, told) = oneshot::channel();
        let sweeping = Arc::clone(&self.sweeping);
        let begun = thread::Builder::new().name("sweep".to_owned()).spawn(move || {
            let _one_at_a_time = lock(&sweeping);
            let mut done = Ok(());
            for place in objects {
                done = done.and(sweep(&place, now));
            }
            // Whoever asked may have stopped waiting.
            let _ = tell.send(done);
        });
        begun.map_err(|error| StoreError::io("a thread that sweeps", error))?;
        let done = told.await.map_err(|error| EngineError::Internal(error.into()))?;
        Ok(done?)
    }
}

fn sweep(place: &ObjectVaults, now: OffsetDateTime) -> Result<(), StoreError> {
    for name in place.sweep(now)? {
        log::warn!("swept what was never finished: {name}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_tried_again_after_growing_pauses_and_what_is_done_a_day_later() {
        let mut now = OffsetDateTime::UNIX_EPOCH;
        let mut turn = Turn::default();
        for (is_done, minutes) in [
            (false, 1),
            (false, 2),
            (false, 4),
            (true, 1_440),
            (false, 1),
            (true, 1_440),
        ] {
            assert!(turn.is_due(now));
            turn.ended(now, is_done);
            now += Duration::from_mins(minutes) - Duration::from_secs(1);
            assert!(!turn.is_due(now), "{minutes}");
            now += Duration::from_secs(1);
        }
        for _ in 0..20 {
            turn.ended(now, false);
            now += LATEST;
            assert!(turn.is_due(now));
        }
    }
}
