//! From a builder to an engine that can begin.

use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eviction_policy::{EvictionPolicy, RulePolicy};
use health_metrics::Metrics;
use job_queue::{INTERRUPTED, JobStore, Outcome, Runner, Schedule};
use time::OffsetDateTime;
use tokio::sync::watch;
use vault_store::PredecessorStore;

use super::EngineBuilder;
use crate::blocking::within;
use crate::ends::KnownEnds;
use crate::engine::Engine;
use crate::ensemble::Probed;
use crate::error::EngineError;
use crate::health::Probes;
use crate::kind::{CHECKS, LANE};
use crate::owed::Owed;
use crate::requests::{Ids, Requests};
use crate::site::{
    Checks, ClockWatch, History, InterruptedRestores, PolicyBook, Retention, Scheduled, Site,
    UnfinishedZnodes,
};
use crate::vaults::{AroundVaults, CountedVaults, Parts, SecondCopy, Vaults};
use crate::work::{Running, Worker, count_failed};

/// So long a storage has to tell what it knows; after that the engine begins without.
pub(super) const FIRST_CONTACT: Duration = Duration::from_secs(5);

impl EngineBuilder {
    /// Builds the engine. Jobs that a crash interrupted are failed, which is told at once and noted once it can be; with a [`leadership`](Self::leadership), once it leads, and no jobs are needed
    /// before. Where the vaults cannot be reached just now it goes on without them: health tells, and nothing is evicted by policies until they are.
    ///
    /// # Errors
    /// [`EngineError::Storage`]; [`EngineError::Invalid`] for [further](Self::further_vaults) storages that are not told apart by their names.
    pub fn build(mut self) -> Result<Engine, EngineError> {
        let now = (self.clock)();
        let ends = self.know_ends();
        let metrics = Metrics::new().map_err(|error| EngineError::Internal(error.into()))?;
        let (metrics, running) = (Arc::new(metrics), Arc::<Running>::default());
        let place = self.directory.clone().or_else(|| self.local_state.clone());
        let around = self.around_vaults.take();
        let storages = self.name_storages()?;
        let second = self.layer(around.as_ref(), &metrics, now);
        // What does checks has a name of its own: a claim of one must not be taken for the other's.
        let checker = format!("{}-checks", self.worker);
        let (jobs, earlier) = (Arc::clone(&self.jobs), self.noted_earlier.as_deref());
        let unfinished = UnfinishedZnodes::unread(jobs, earlier, self.notes_lost)?;
        let owed = Arc::new(Owed::new(Arc::clone(&self.jobs), self.keeps_news));
        let all_noted = self.recover(&checker, &owed, &ends, &metrics, now)?;
        let clock_watch = self.watch_clock(now)?;
        let vaults = Arc::new(Vaults::new(Parts {
            store: Arc::clone(&self.vaults),
            jobs: Arc::clone(&self.jobs),
            is_remote: self.is_remote,
            leadership: self.leadership.clone(),
            place,
            around,
            storages,
            second,
        }));
        let site = Arc::new(self.site(clock_watch, unfinished, now)?);
        if self.leadership.is_none() {
            site.reload_notes()?;
        }
        let ending = watch::Sender::new(false);
        let failed_in_a_row = Arc::<AtomicU32>::default();
        let ids = Arc::new(Ids::new(Arc::clone(&self.jobs)));
        let worker = Arc::new(Worker {
            ids: Arc::clone(&ids),
            vaults: Arc::clone(&vaults),
            site: Arc::clone(&site),
            jobs: Arc::clone(&self.jobs),
            running: Arc::clone(&running),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&self.clock),
            permit: Arc::clone(&self.permit),
            leadership: self.leadership.clone(),
            failed_in_a_row: Arc::clone(&failed_in_a_row),
            hooks: Arc::new(std::mem::take(&mut self.hooks)),
            owed: Arc::clone(&owed),
            done: AtomicUsize::new(0),
            cut_off: Mutex::default(),
            ending: ending.subscribe(),
        });
        let runner = self.runner(&worker, (&self.worker, &checker), LANE, all_noted);
        let checker = self.runner(&worker, (&checker, &self.worker), CHECKS, all_noted);
        Ok(Engine {
            vaults,
            #[cfg(feature = "object-store")]
            objects: self.objects,
            #[cfg(feature = "object-store")]
            further_objects: self.further_objects.into(),
            #[cfg(feature = "object-store")]
            second_objects: self.second_objects,
            #[cfg(feature = "object-store")]
            sweeping: Arc::default(),
            _local_state: self.local_state,
            site,
            requests: Arc::new(Requests::new(
                self.jobs,
                ids,
                Arc::clone(&self.clock),
                self.max_queued,
                self.full_restore,
            )),
            probes: Arc::new(Probes {
                storage: self.storage_probe,
                process: self.process_probe,
                place: self.place,
            }),
            metrics,
            running,
            owed,
            ends,
            clock: self.clock,
            runner,
            checker,
            ending: Arc::new(ending),
            leadership: self.leadership,
            worker: self.worker.into(),
            failed_in_a_row,
        })
    }

    /// Puts around the jobs what knows how they have ended.
    fn know_ends(&mut self) -> Arc<KnownEnds> {
        let ends = Arc::new(KnownEnds::new(Arc::clone(&self.jobs)));
        self.jobs = Arc::clone(&ends) as Arc<dyn JobStore>;
        ends
    }

    /// Puts around the vaults what counts, copies and seals them, and what shows the predecessor's beside them.
    fn layer(
        &mut self,
        around: Option<&AroundVaults>,
        metrics: &Arc<Metrics>,
        now: OffsetDateTime,
    ) -> Option<Arc<SecondCopy>> {
        self.vaults = Arc::new(CountedVaults::new(Arc::clone(&self.vaults), metrics));
        let second = self.mirror(around, now);
        if let Some(around) = around {
            self.vaults = around(Arc::clone(&self.vaults));
        }
        if let Some(place) = self.directory.take() {
            self.vaults = Arc::new(PredecessorStore::new(Arc::clone(&self.vaults), place));
        }
        second
    }

    /// Fails what this engine was doing when it ended, and says whether all of that could be noted: on a full disk it cannot be, and is noted later.
    fn recover(
        &self,
        checker: &str,
        owed: &Owed,
        ends: &KnownEnds,
        metrics: &Metrics,
        now: OffsetDateTime,
    ) -> Result<bool, EngineError> {
        let mut all_noted = true;
        // Of several, the one that leads does that when it begins to.
        if self.leadership.is_some() {
            return Ok(all_noted);
        }
        for worker in [&*self.worker, checker] {
            let cut = self.jobs.cut_off(worker, None)?;
            if let Err(error) = owed.recover(worker, None, now) {
                all_noted = false;
                log::error!("what was interrupted cannot be noted: {error}");
                ends.assume(&cut, &Outcome::failure(INTERRUPTED), now, &error);
            }
            for job in cut {
                count_failed(&job, metrics);
                log::warn!("job {} was interrupted", job.id);
            }
        }
        Ok(all_noted)
    }

    /// What tells whether the clock can be relied on, with what the storage knows of it.
    fn watch_clock(&self, now: OffsetDateTime) -> Result<Arc<ClockWatch>, EngineError> {
        let uptime = Arc::clone(&self.uptime);
        let watch = Arc::new(ClockWatch::new(uptime, Arc::clone(&self.vaults), now));
        let learning = Arc::clone(&watch);
        match within(FIRST_CONTACT, move || learning.learn()) {
            Ok(Err(error)) if !error.may_pass() => return Err(error.into()),
            Ok(Err(error)) => log::warn!("the storage cannot be reached: {error}"),
            Ok(Ok(())) => {}
            Err(untold) => log::warn!("the storage has told nothing yet: {untold}"),
        }
        if let Some(why) = watch.moved(now) {
            log::warn!("no policy evicts anything: {why}");
        }
        Ok(watch)
    }

    fn site(
        &self,
        clock: Arc<ClockWatch>,
        unfinished: UnfinishedZnodes,
        now: OffsetDateTime,
    ) -> Result<Site, EngineError> {
        let scheduled = |schedule: &Option<Schedule>| {
            let schedule = schedule.clone();
            schedule.map(|schedule| Scheduled::new(schedule, now))
        };
        let files = self.recovery.as_ref().map(|recovery| recovery.directory.clone());
        Ok(Site {
            ensemble: Arc::clone(&self.ensemble),
            names: self.names.clone(),
            probed: Arc::<Probed>::default(),
            states: self.states.clone(),
            consistency_rounds: self.consistency_rounds,
            sequence_limit: self.sequence_limit,
            schedule: scheduled(&self.schedule),
            checks: Checks {
                verify: scheduled(&self.verify_schedule),
                verify_new: self.verify_new,
                share: self.verify_share,
                test: scheduled(&self.test_schedule),
                tests: self.tests.clone(),
            },
            retention: Retention::new(
                PolicyBook::new(
                    Arc::clone(&self.vaults),
                    policy(self.full_policy.as_ref(), "1d/1d,7d/7d,1m/delete")?,
                    policy(self.granular_policy.as_ref(), "7d/delete")?,
                ),
                clock,
            ),
            history: History::new(Arc::clone(&self.vaults), files),
            recovery: self.recovery.clone(),
            unfinished: Arc::new(unfinished),
            interrupted: InterruptedRestores::new(Arc::clone(&self.jobs)),
            reading: Mutex::default(),
        })
    }

    /// What claims the jobs of `lane` under `name`, beside the `other` one, and has them done by `worker`, once all is noted that was interrupted.
    fn runner(
        &self,
        worker: &Arc<Worker>,
        (name, other): (&str, &str),
        lane: &str,
        all_noted: bool,
    ) -> Arc<Runner> {
        let (jobs, clock) = (Arc::clone(&self.jobs), Arc::clone(&self.clock));
        let worker = Arc::clone(worker);
        let runner = Runner::new(jobs, worker, clock, name, lane).beside([other.to_owned()]);
        let runner = if all_noted { runner } else { runner.recovering() };
        Arc::new(match self.renewal {
            Some((every, lapse)) => runner.renewing(every, Some(lapse)),
            None => runner,
        })
    }
}

/// The policy that was given, or the one of `rules`.
fn policy(
    given: Option<&Arc<dyn EvictionPolicy>>,
    rules: &str,
) -> Result<Arc<dyn EvictionPolicy>, EngineError> {
    if let Some(given) = given {
        return Ok(Arc::clone(given));
    }
    let policy: RulePolicy = rules
        .parse()
        .map_err(|error| EngineError::Internal(Box::new(error)))?;
    Ok(Arc::new(policy))
}
