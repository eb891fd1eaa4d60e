//! What everybody in a run shares, and what must be true of every state that is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::memory::InMemory;
use serde_json::Value;
use tokio::time::Instant;

use super::super::Seeded;
use crate::JobState;

/// A rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// Whatever is there is overwritten.
    Unconditional,
    /// Whose answer is lost does not find what it wrote.
    NoTokens,
}

/// What everybody in a run shares.
pub(super) struct World {
    pub(super) seed: Mutex<Seeded>,
    pub(super) broken: Broken,
    pub(super) store: Arc<InMemory>,
    pub(super) facts: Mutex<Facts>,
    pub(super) begun: Instant,
}

#[derive(Default)]
pub(super) struct Facts {
    pub(super) is_calm: bool,
    pub(super) wrong: Option<String>,
    pub(super) accepted: BTreeSet<String>,
    pub(super) claimed: BTreeSet<String>,
    /// By whom its end was stored.
    pub(super) finished: BTreeSet<String>,
    pub(super) noted: BTreeSet<String>,
    /// State, worker and lane of each job, as it was written last.
    pub(super) jobs: BTreeMap<String, (JobState, Option<String>)>,
    /// Jobs that were cut off.
    pub(super) cut: usize,
}

impl World {
    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Seeded) -> T) -> T {
        draw(&mut self.seed.lock().unwrap())
    }

    pub(super) fn facts<T>(&self, with: impl FnOnce(&mut Facts) -> T) -> T {
        with(&mut self.facts.lock().unwrap())
    }

    pub(super) fn wrong(&self, why: String) {
        self.facts(|facts| {
            facts.wrong.get_or_insert(why);
        });
    }

    pub(super) fn is_trouble(&self, percent: u64) -> bool {
        !self.facts(|facts| facts.is_calm) && self.draw(|seed| seed.percent(percent))
    }

    pub(super) fn delay(&self) -> Duration {
        let late = self.is_trouble(3);
        Duration::from_millis(self.draw(|seed| match late {
            true => seed.between(1_000, 40_000),
            false => seed.between(1, 200),
        }))
    }

    /// What was written is a step from what was there before.
    pub(super) fn judge(&self, bytes: &[u8]) {
        let body: Value = serde_json::from_slice(bytes).unwrap();
        let told = body["value"]["table"]["jobs"].as_array().unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let job = |job: &Value| {
            let state = JobState::from_name(job["state"].as_str().unwrap()).unwrap();
            (text(&job["id"]).unwrap(), (state, text(&job["worker"])))
        };
        let jobs: BTreeMap<_, _> = told.iter().map(job).collect();
        let busy = jobs.values().filter(|(state, _)| *state == JobState::Processing);
        if busy.count() > 1 {
            self.wrong("two jobs of one lane are being done".to_owned());
        }
        let before = self.facts(|facts| std::mem::replace(&mut facts.jobs, jobs.clone()));
        for (id, (was, by)) in &before {
            match jobs.get(id) {
                None if was.is_final() => {}
                None => self.wrong(format!("{id} was {was}, and is lost")),
                Some((is, now_by)) => {
                    let stays = was == is && by == now_by;
                    if !stays && !(was.may_become(*is) && (by.is_none() || by == now_by)) {
                        self.wrong(format!("{id} was {was} by {by:?}, and is {is} by {now_by:?}"));
                    }
                }
            }
        }
    }
}
