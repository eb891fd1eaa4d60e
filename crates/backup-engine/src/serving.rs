//! Jobs are done, and schedules served.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::watch;

use crate::blocking::blocking;
use crate::engine::Engine;
use crate::error::EngineError;

/// The longest that the schedule sleeps without looking at the clock, which may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);

/// So many backups may fail one after another before somebody else is to lead.
const PATIENCE: u32 = 3;

/// Has jobs given up that are being done when nobody waits for them any more.
struct Doing<'a> {
    engine: &'a Engine,
    has_ended: bool,
}

impl Drop for Doing<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.engine.runner.give_up();
            self.engine.checker.give_up();
        }
    }
}

impl Engine {
    /// Does the next job, if there is one, and says whether there was.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn step(&self) -> Result<bool, EngineError> {
        Ok(self.runner.step().await? || self.checker.step().await?)
    }

    /// Does jobs and serves the schedules until `shutdown` is ready; a backup or restore that has begun is finished first, and a check is ended.
    ///
    /// With a [leadership](crate::EngineBuilder::leadership) it does so while it leads, and gives the lead away at the end.
    ///
    /// Where the future is dropped before, jobs that are being done are given up: each goes on by itself to where it next looks whether it may, which a restore does
    /// before each request that writes, and a backup before it is committed, and ends there. Until then it has the storage, which nobody else can open. How it ended
    /// is not noted: it is failed as interrupted when this engine runs next, or another is built over the same jobs.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let shutdown = shutdown.shared();
        let work = async {
            match &self.leadership {
                None => self.work(shutdown).await,
                Some(leadership) => self.work_while_leading(leadership, shutdown).await,
            }
        };
        tokio::select! {
            () = work => {}
            () = self.upkeep() => {}
            () = self.keep_copying() => {}
            () = self.sweep_if_any() => {}
        }
    }

    /// Never ends.
    async fn sweep_if_any(&self) {
        #[cfg(feature = "object-store")]
        self.keep_sweeping().await;
        #[cfg(not(feature = "object-store"))]
        std::future::pending::<()>().await;
    }

    /// Does jobs and serves the schedules.
    pub(crate) async fn work(&self, shutdown: impl Future<Output = ()>) {
        self.ending.send_replace(false);
        let shutdown = async {
            shutdown.await;
            self.ending.send_replace(true);
        };
        let shutdown = shutdown.shared();
        // Also while both lanes are busy, and neither asks: a check is told at once.
        let told = async {
            shutdown.clone().await;
            std::future::pending::<()>().await;
        };
        // Before the first job can end, which is told from then on.
        let ended = self.runner.ended();
        let mut doing = Doing {
            engine: self,
            has_ended: false,
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(self.runner.run(shutdown.clone()), self.checker.run(shutdown.clone())) } => {}
            () = told => {}
            () = self.serve_schedules() => {}
            () = self.follow_backups(ended) => {}
        }
        doing.has_ended = true;
    }

    /// Queues what is due. It never ends.
    async fn serve_schedules(&self) {
        let mut pause = Duration::ZERO;
        loop {
            let now = self.now();
            let checks = &self.site.checks;
            let schedules = [&self.site.schedule, &checks.verify, &checks.test];
            let schedules = schedules.into_iter().flatten();
            let next = schedules.filter_map(|schedule| schedule.next()).min();
            let wait = next.map_or(LONGEST_SLEEP, |next| {
                Duration::try_from(next - now)
                    .unwrap_or_default()
                    .min(LONGEST_SLEEP)
                    .max(Duration::from_millis(10))
            });
            // What is due and cannot be queued is due still.
            tokio::time::sleep(wait.max(pause)).await;
            pause = match self.queue_what_is_due().await {
                true => Duration::ZERO,
                false => (pause * 2).clamp(Duration::from_secs(1), Duration::from_mins(1)),
            };
        }
    }

    /// Whether all of it could be queued.
    async fn queue_what_is_due(&self) -> bool {
        // A process that stood still finds what came due meanwhile before it is told that another one leads, and has made it.
        let leads = self.leadership.as_ref().map(|leadership| leadership.may_go_on());
        if leads.is_some_and(|leads| leads.is_err()) {
            return false;
        }
        let (vaults, site, requests) = self.rooms();
        let backup = blocking(move || requests.backup_if_due(&vaults, &site)).await;
        let backup = self.is_queued(backup, "the scheduled backup");
        let (vaults, site, requests) = self.rooms();
        let checks = blocking(move || requests.checks_if_due(&vaults, &site)).await;
        self.is_queued(checks, "a scheduled check") && backup
    }

    fn is_queued(&self, if_due: Result<bool, EngineError>, what: &str) -> bool {
        match if_due {
            Ok(true) => self.wake(),
            Ok(false) => {}
            Err(error) => {
                log::error!("{what} was not queued: {error}");
                return false;
            }
        }
        true
    }

    /// A backup may have left something to be checked, and one that failed too often leaves the lead to others.
    async fn follow_backups(&self, mut ended: watch::Receiver<u64>) {
        while ended.changed().await.is_ok() {
            self.checker.waker().wake();
            let Some(leadership) = &self.leadership else {
                continue;
            };
            if self.failed_in_a_row.load(Ordering::Relaxed) >= PATIENCE {
                self.failed_in_a_row.store(0, Ordering::Relaxed);
                log::error!("{PATIENCE} backups failed one after another: somebody else may do better");
                leadership.step_down();
            }
        }
    }
}
