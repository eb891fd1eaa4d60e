//! A simulated process: a worker that claims jobs and does them, or a client that asks for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::ObjectStore;
use serde_json::json;
use time::OffsetDateTime;
use tokio::time::sleep;

use super::super::Seeded;
use super::reached::Reached;
use super::world::World;
use crate::object::document::Random;
use crate::object::{Shared, whole_millis};
use crate::{Job, JobState, MAIN_LANE, NewJob, Note, Outcome, QueueError};

pub(super) const JOBS: usize = 30;
const PATIENCE: Duration = Duration::from_secs(20);
/// A claim that was not renewed for so long is recovered by others.
const LAPSE: Duration = Duration::from_secs(60);

/// One process.
pub(super) struct Process {
    world: Arc<World>,
    pub(super) shared: Shared,
    name: String,
    /// Thousandths of the world's time.
    rate: u32,
    off_by: Duration,
}

impl Process {
    pub(super) fn new(world: &Arc<World>, name: String) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(Reached(Arc::clone(world)));
        let (seed, rate, off_by) =
            world.draw(|seed| (seed.next(), seed.between(950, 1_050), seed.below(2_000)));
        let numbers = Mutex::new(Seeded(seed));
        let random: Random = Arc::new(move || {
            let mut numbers = numbers.lock().unwrap();
            u128::from(numbers.next()) << 64 | u128::from(numbers.next())
        });
        Self {
            world: Arc::clone(world),
            shared: Shared::new(&store, "p", PATIENCE, 2_000, &random),
            name,
            rate: u32::try_from(rate).unwrap(),
            off_by: Duration::from_millis(off_by),
        }
    }

    fn now(&self) -> OffsetDateTime {
        let passed = self.world.begun.elapsed() * self.rate / 1_000 + self.off_by;
        whole_millis(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + passed)
    }

    async fn pause(&self, least: u64, most: u64) {
        sleep(Duration::from_millis(
            self.world.draw(|seed| seed.between(least, most)),
        ))
        .await;
    }

    pub(super) async fn work(&self) {
        loop {
            let now = self.now();
            let cut = self.shared.recover(&self.name, Some(now - LAPSE), now).await;
            let Ok(cut) = cut else {
                self.pause(500, 2_000).await;
                continue;
            };
            self.world.facts(|facts| facts.cut += cut.len());
            match self.shared.claim(&self.name, MAIN_LANE, self.now()).await {
                Ok(Some(job)) => self.do_job(&job).await,
                Ok(None) | Err(_) => self.pause(2_000, 8_000).await,
            }
        }
    }

    async fn do_job(&self, job: &Job) {
        if !self.world.facts(|facts| facts.claimed.insert(job.id.clone())) {
            self.world.wrong(format!("{} was claimed twice", job.id));
        }
        let note = Note::new(&*job.id, "key", "v".repeat(200));
        if self.shared.chunks.put(&self.shared.notes, &[note]).await.is_ok() {
            self.world.facts(|facts| facts.noted.insert(job.id.clone()));
        }
        let rounds = self.world.draw(|seed| seed.below(4));
        for _ in 0..rounds {
            self.pause(5_000, 10_000).await;
            if self.world.is_trouble(5) {
                self.pause(60_000, 150_000).await; // stopped as a whole
            }
            match self.shared.renew(&job.id, &self.name, self.now()).await {
                Err(QueueError::NotHeld { .. }) => return,
                Ok(_) | Err(QueueError::Storage(_)) => {}
                Err(other) => self.world.wrong(format!("{}: {other}", job.id)),
            }
        }
        let done = || Outcome::success(json!("x".repeat(200)));
        for attempt in 0.. {
            match self.shared.finish(&job.id, done(), self.now()).await {
                Ok(()) => {
                    self.world.facts(|facts| facts.finished.insert(job.id.clone()));
                    return;
                }
                Err(QueueError::Storage(_)) => self.pause(500, 2_000).await,
                // It was given up for lost, or ended by an earlier attempt.
                Err(QueueError::Illegal { from, .. })
                    if from == JobState::Failed || (attempt > 0 && from == JobState::Successful) =>
                {
                    return;
                }
                Err(other) => return self.world.wrong(format!("{}: {other}", job.id)),
            }
        }
    }

    pub(super) async fn ask(&self) {
        for number in 0..JOBS {
            let id = format!("{number:03}");
            for attempt in 0.. {
                match self
                    .shared
                    .enqueue(NewJob::new(&*id, "kind"), self.now(), JOBS)
                    .await
                {
                    Ok(_) => {}
                    Err(QueueError::Duplicate(_)) if attempt > 0 => {}
                    Err(QueueError::Storage(_)) => continue,
                    Err(other) => self.world.wrong(format!("{id}: {other}")),
                }
                self.world.facts(|facts| facts.accepted.insert(id.clone()));
                break;
            }
            self.pause(100, 20_000).await;
        }
    }
}
