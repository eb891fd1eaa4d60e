//! The work of jobs.

mod backup;
mod compare_live;
mod context;
mod counting;
mod failure;
mod hooks;
mod job_log;
mod permit;
mod progress;
mod restore;
mod restore_test;
mod result;
mod stop;
mod telling;
mod verify;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt as _;
use health_metrics::Metrics;
use job_queue::{Clock, Job, JobHandler, JobState, JobStore, Outcome, QueueError, StopReason};
use tokio::sync::watch;
use tokio::time::timeout;
use zk_snapshot::restore::Permit;

use self::context::JobContext;
use self::counting::is_real_restore;
use self::failure::{Failure, caught, panicked};
use self::hooks::Ended;
use self::job_log::JobLog;
use self::stop::CheckStop;
use crate::blocking::blocking;
use crate::kind::{self, JobKind};
use crate::leadership::{Leadership, Role};
use crate::lock::lock;
use crate::owed::Owed;
use crate::plain::plain;
use crate::requests::{Ids, Labels, verification};
use crate::site::Site;
use crate::vaults::Vaults;
use crate::{EngineError, Share};

pub(crate) use self::compare_live::with_live;
pub(crate) use self::counting::count_failed;
pub use self::hooks::{Hook, HookVariables, Hooks};
pub use self::job_log::LOG_OF_JOBS;
pub use self::progress::ProgressInfo;
pub(crate) use self::progress::Running;
pub use self::result::{
    DamagedCopy, DamagedVault, JobResult, PlacedFiles, RestoreResult, RestoreTestResult, RestoredFiles,
    RestoredFrom, VerifyResult,
};

/// How often it is looked whether a server that does not lead leads again, before it begins a job that it has claimed.
const LEAD_AGAIN: Duration = Duration::from_millis(100);

/// Finished jobs that are remembered.
const REMEMBERED: usize = 10_000;
/// Older ones are forgotten after every backup that was stored, and once in so many jobs of any kind, the first one included.
const FORGETS_EVERY: usize = 100;
/// So long the hook after a job may go on once the engine is to end.
const HOOK_AT_THE_END: Duration = Duration::from_secs(5);

/// Does the jobs of one site.
pub(crate) struct Worker {
    pub(crate) vaults: Arc<Vaults>,
    pub(crate) site: Arc<Site>,
    pub(crate) jobs: Arc<dyn JobStore>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) running: Arc<Running>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    /// Whether restores may write.
    pub(crate) permit: Arc<dyn Permit>,
    pub(crate) leadership: Option<Arc<dyn Leadership>>,
    pub(crate) failed_in_a_row: Arc<AtomicU32>,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) owed: Arc<Owed>,
    /// How many jobs were done.
    pub(crate) done: AtomicUsize,
    /// Jobs that were counted as cut off.
    pub(crate) cut_off: Mutex<BTreeSet<String>>,
    /// Whether the engine is to end: what can be done again later is not finished then.
    pub(crate) ending: watch::Receiver<bool>,
}

#[async_trait]
impl JobHandler for Worker {
    async fn run(&self, job: Job, called_off: job_queue::Stop) -> Outcome {
        let Some(kind) = JobKind::from_name(&job.kind) else {
            return Outcome::failure(format!("there is no kind of job {:?}", plain(&job.kind)));
        };
        let Ok(term) = self.term(&called_off).await else {
            return Outcome::failure("this server leads no more");
        };
        let stop = Arc::new(CheckStop::new(called_off.clone(), self.ending.clone()));
        let begun = Instant::now();
        let context = Arc::new(JobContext {
            log: JobLog::new(&job.id, Arc::clone(&self.clock)),
            progress: self.running.begin(&job.id),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock),
            job,
            stop: called_off,
            engine_permit: Arc::clone(&self.permit),
            term,
            hooks: Arc::clone(&self.hooks),
            ended: Mutex::default(),
        });
        context.log.tell(&telling::begun(&context.job));
        let id = context.job.id.clone();
        self.note_news(&context, move |owed| owed.owe([id])).await;
        let done = caught(self.work(kind, &context, &stop)).await;
        self.running.end(&context.job.id);
        let size = self.stored(&context, &done).await;
        context.log.tell(&telling::ended(&done, begun.elapsed(), size));
        // One that lacks something was stored all the same, and tells what is in it.
        let stored = done
            .as_ref()
            .map_or_else(|failure| !matches!(failure.result, JobResult::Nothing), |_| true);
        let is_stored_backup = kind == JobKind::Backup && stored;
        if is_stored_backup {
            self.failed_in_a_row.store(0, Ordering::Relaxed);
            self.after_backup(&context).await;
        } else if kind == JobKind::Backup && context.stop.reason().is_none() {
            self.failed_in_a_row.fetch_add(1, Ordering::Relaxed);
        }
        let nth = self.done.fetch_add(1, Ordering::Relaxed);
        if is_stored_backup || nth.is_multiple_of(FORGETS_EVERY) {
            self.forget_old_jobs(&context).await;
        }
        let outcome = match done {
            Ok(result) => Outcome::success(result.stored()),
            Err(Failure { cause, result }) => {
                let why = cause.to_string();
                let outcome = match context.stop.reason() {
                    None => Outcome::failure(why),
                    // It was called off too late.
                    Some(_) if is_stored_backup => Outcome::failure(why),
                    Some(_) => Outcome::canceled().with_message(why),
                };
                outcome
                    .with_log_tail(context.log.tail())
                    .with_result(result.stored())
            }
        };
        self.note_news(&context, Owed::note).await;
        let outcome = self.after(&context, outcome).await;
        context.count_backup();
        self.metrics
            .job_ended(kind.name(), ending(outcome.state), begun.elapsed());
        outcome
    }

    async fn cut_off(&self, jobs: &[Job]) -> Result<(), QueueError> {
        let (owed, site) = (Arc::clone(&self.owed), Arc::clone(&self.site));
        let ids: Vec<_> = jobs.iter().map(|job| job.id.clone()).collect();
        let restores = jobs.iter().filter(|job| JobKind::of(job) == JobKind::Restore);
        let cut: Vec<_> = restores.map(|job| job.id.clone()).collect();
        let noting = blocking(move || {
            site.unfinished.cut_off(&ids);
            Ok(owed.owe(ids).and_then(|()| site.interrupted.cut_off(&cut)))
        });
        noting
            .await
            .unwrap_or_else(|error| Err(QueueError::storage(error)))?;
        // It is called again for those that could not be failed then.
        let mut counted = lock(&self.cut_off);
        for job in jobs {
            if counted.insert(job.id.clone()) {
                count_failed(job, &self.metrics);
            }
        }
        Ok(())
    }
}

/// How a job ended, as metrics call it.
fn ending(state: JobState) -> &'static str {
    match state {
        JobState::Successful => "successful",
        JobState::Canceled => "canceled",
        JobState::Failed | JobState::Queued | JobState::Processing => "failed",
    }
}

impl Worker {
    async fn work(
        &self,
        kind: JobKind,
        context: &Arc<JobContext>,
        stop: &Arc<CheckStop>,
    ) -> Result<JobResult, Failure> {
        let vaults = Arc::clone(&self.vaults);
        let placed = blocking(move || Ok::<_, EngineError>(vaults.check_place()?)).await;
        if let Err(error) = placed {
            context.log.error(&error.to_string());
            count_failed(&context.job, &self.metrics);
            return Err(error.into());
        }
        match kind {
            JobKind::Backup => backup::run(&self.vaults, &self.site, context).await,
            JobKind::Restore => {
                let done = restore::run(&self.vaults, &self.site, &self.ids, context);
                let done = AssertUnwindSafe(done).catch_unwind().await;
                if done.is_err() {
                    self.left_by_panic(context).await;
                }
                let done = done.unwrap_or_else(|panic| Err(panicked(&*panic).into()));
                let is_counted = match context.stop.reason() {
                    None => true,
                    Some(StopReason::Canceled) => done.is_ok(),
                    // By whoever recovers it.
                    Some(StopReason::Lost) => false,
                };
                if is_counted && is_real_restore(&context.job) {
                    self.metrics.restore_ended(done.is_err());
                }
                done
            }
            JobKind::Verify => verify::run(&self.vaults, context, stop).await,
            JobKind::RestoreTest => {
                restore_test::run(&self.vaults, &self.site, &self.jobs, context, stop).await
            }
        }
    }

    /// A restore that panicked is as one that was cut off.
    async fn left_by_panic(&self, context: &JobContext) {
        if context.stop.reason() == Some(StopReason::Lost) {
            return; // it is somebody else's to end
        }
        let (site, id) = (Arc::clone(&self.site), context.job.id.clone());
        let known = blocking(move || Ok(site.interrupted.cut_off(&[id])?)).await;
        if let Err(error) = known {
            let why = format!("that it was interrupted is not known before the next start: {error}");
            context.log.error(&why);
        }
    }

    /// Runs the hook after it. Its failure is not the job's, which tells of it all the same. A job that is somebody else's to end has none.
    async fn after(&self, context: &JobContext, mut outcome: Outcome) -> Outcome {
        let ended = Ended {
            state: outcome.state,
            message: outcome.message.as_deref().unwrap_or_default(),
        };
        let done = tokio::select! {
            biased;
            () = context.stop.lost() => return outcome,
            done = context.hooks.after(&context.job, ended, self.ends_soon()) => done,
        };
        if let Err(why) = done {
            context.log.error(&why);
            outcome.message = Some(match outcome.message {
                None => why,
                Some(message) => format!("{message}; {why}"),
            });
        }
        outcome
    }

    /// Ends a while after the engine is to end: what came of the job is stored only once its hook has ended, and the process may not wait for that.
    async fn ends_soon(&self) {
        let mut ending = self.ending.clone();
        if ending.wait_for(|ending| *ending).await.is_err() {
            std::future::pending::<()>().await; // nobody can say so any more
        }
        tokio::time::sleep(HOOK_AT_THE_END).await;
    }

    /// Bytes of the backup that a job has stored, where that is known.
    async fn stored(&self, context: &JobContext, done: &Result<JobResult, Failure>) -> Option<u64> {
        let result = match done {
            Ok(result) => result,
            Err(failure) => &failure.result,
        };
        if !matches!(result, JobResult::Backup(_)) {
            return None;
        }
        let (vaults, id) = (Arc::clone(&self.vaults), kind::vault(&context.job).parse().ok()?);
        blocking(move || Ok(vaults.store.size(&id)?)).await.ok()
    }

    /// That in which the engine leads, where there are several, also while it is about to give the lead away.
    ///
    /// # Errors
    /// The job was claimed in the last moment of a lead, and is lost now: whoever leads next ends it, as all that was being done.
    async fn term(&self, called_off: &job_queue::Stop) -> Result<Option<u64>, StopReason> {
        let Some(leadership) = &self.leadership else {
            return Ok(None);
        };
        loop {
            if let Role::Leader { term } = *leadership.role().borrow() {
                return Ok(Some(term));
            }
            let now = leadership.report();
            if now.leads {
                return Ok(Some(now.term));
            }
            // A lease that has just run out may have been prolonged all the same.
            if timeout(LEAD_AGAIN, called_off.lost()).await.is_ok() {
                return Err(StopReason::Lost);
            }
        }
    }

    /// Notes that its end will be told. Where that fails the job is done all the same.
    async fn note_news(
        &self,
        context: &JobContext,
        note: impl FnOnce(&Owed) -> Result<(), QueueError> + Send + 'static,
    ) {
        let owed = Arc::clone(&self.owed);
        if let Err(error) = blocking(move || Ok(note(&owed)?)).await {
            let why = format!("the end of this job may not be told elsewhere: {error}");
            context.log.error(&why);
        }
    }

    /// The verification, where one is to follow, and the eviction pass that follows every backup that was stored. Their failure is not the backup's.
    async fn after_backup(&self, context: &JobContext) {
        let (vaults, site) = (Arc::clone(&self.vaults), Arc::clone(&self.site));
        let (metrics, now) = (Arc::clone(&self.metrics), context.now());
        if site.checks.verify_new {
            let (jobs, vault) = (Arc::clone(&self.jobs), kind::vault(&context.job).to_owned());
            let queued = blocking(move || {
                // Whatever waits already: there is one for each backup.
                let job = verification(Share::ALL, &Labels::new())?.needing(vault);
                Ok(jobs.enqueue(job, now, usize::MAX)?)
            });
            if let Err(error) = queued.await {
                let why = format!("the verification of this backup was not queued: {error}");
                context.log.error(&why);
            }
        }
        let pass = blocking(move || site.retention.run(&vaults, &metrics, now, (false, false)));
        if let Err(error) = pass.await {
            context.log.error(&format!("eviction failed: {error}"));
        }
    }

    async fn forget_old_jobs(&self, context: &JobContext) {
        let jobs = Arc::clone(&self.jobs);
        let pruned = blocking(move || Ok(jobs.prune(REMEMBERED)?)).await;
        if let Err(error) = pruned {
            context
                .log
                .error(&format!("old jobs are still remembered: {error}"));
        }
    }
}
