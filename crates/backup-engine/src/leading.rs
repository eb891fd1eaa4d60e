//! An engine that works while it leads.

use std::sync::Arc;
use std::time::Duration;

use job_queue::{INTERRUPTED, Outcome, QueueError};
use time::PrimitiveDateTime;
use tokio::sync::watch;

use crate::EngineError;
use crate::blocking::blocking;
use crate::engine::Engine;
use crate::leadership::{Leadership, Role};
use crate::work::count_failed;

/// After a failure to take over it is tried again so soon.
const AGAIN: Duration = Duration::from_secs(1);
/// So often one after another; then others may do better.
const PATIENCE: u32 = 3;
/// Work that is begun just when the lead is lost is told to stop so soon.
const TOLD_EVERY: Duration = Duration::from_millis(100);

impl Engine {
    /// Does jobs and serves the schedules whenever it leads, until `shutdown` is ready.
    pub(crate) async fn work_while_leading(
        &self,
        leadership: &Arc<dyn Leadership>,
        shutdown: impl Future<Output = ()> + Clone,
    ) {
        let mut failed = 0;
        loop {
            let term = tokio::select! {
                biased;
                () = shutdown.clone() => break,
                term = leads(leadership.role()) => term,
            };
            if let Err(error) = self.take_over(leadership, term).await {
                if matches!(error, EngineError::NotLeading(_)) {
                    log::warn!("the lead was lost while it was taken over: {error}");
                    failed = 0;
                } else {
                    log::error!("this server leads and cannot begin: {error}");
                    failed += 1;
                }
                if failed >= PATIENCE {
                    failed = 0;
                    leadership.release().await;
                }
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            failed = 0;
            let until = async {
                let is_over = |role: &Role| *role != Role::Leader { term };
                tokio::select! {
                    () = shutdown.clone() => {}
                    () = becomes(leadership.role(), is_over) => {}
                }
            };
            let lost = async {
                let is_lost = |role: &Role| !matches!(role, Role::Leaving) && *role != Role::Leader { term };
                becomes(leadership.role(), is_lost).await;
                loop {
                    self.runner.give_up();
                    self.checker.give_up();
                    tokio::time::sleep(TOLD_EVERY).await;
                }
            };
            tokio::select! {
                () = self.work(until) => {}
                () = lost => {}
            }
            // Where it leads anew by now, that has only begun.
            let leads_anew = |role: &Role| matches!(role, Role::Leader { term: now } if *now != term);
            if !leads_anew(&leadership.role().borrow()) {
                leadership.release().await;
            }
        }
        leadership.release().await;
    }

    /// Whoever led before does nothing any more, and what this process knows may be of long ago: what was being done is failed as
    /// interrupted, and what is kept in memory is read anew.
    async fn take_over(&self, leadership: &Arc<dyn Leadership>, term: u64) -> Result<(), EngineError> {
        let (vaults, site, requests) = self.rooms();
        let leadership = Arc::clone(leadership);
        let engine = self.clone();
        blocking(move || {
            engine.cut_off_all(&*leadership, term)?;
            vaults.forget_all();
            vaults.wake_second();
            site.reload_notes()?;
            if let Err(error) = site.retention.policies.forget_overruled() {
                log::warn!("whether policies were overruled is not known: {error}");
            }
            requests.take_over(&vaults, &site)
        })
        .await
    }

    /// Fails what is being done, whoever does it, as interrupted. Blocks.
    fn cut_off_all(&self, leadership: &dyn Leadership, term: u64) -> Result<(), EngineError> {
        let (_, _, requests) = self.rooms();
        let whenever = PrimitiveDateTime::MAX.assume_utc();
        let cut = requests.jobs.cut_off(&self.worker, Some(whenever))?;
        for id in self.ends.ids() {
            requests.jobs.get(&id)?; // what was noted after all, such as by an attempt before this one, is forgotten
        }
        if cut.is_empty() {
            return Ok(());
        }
        // This process may have stood still: then another one leads by now, and does these. While this one leads nobody else begins any.
        let leads = leadership.may_go_on();
        leads.map_err(|why| EngineError::NotLeading(why.to_string()))?;
        self.owed.owe(cut.iter().map(|job| job.id.clone()))?;
        for job in cut {
            // Each by its id: what another one that leads has begun since is not among them.
            let interrupted = Outcome::failure(INTERRUPTED);
            match requests.jobs.finish(&job.id, interrupted, self.now()) {
                // It has ended by itself.
                Err(QueueError::Illegal { .. } | QueueError::NotFound(_)) => continue,
                failed => failed?,
            }
            count_failed(&job, &self.metrics);
            log::warn!(
                "job {} was interrupted: the leader of before term {term} began it",
                job.id
            );
        }
        Ok(())
    }

    /// Whether it works, or could if it ran.
    pub(crate) fn leads(&self) -> bool {
        may_work(self.leadership.as_ref())
    }
}

/// Whether an engine with this leadership works, or could if it ran.
pub(crate) fn may_work(leadership: Option<&Arc<dyn Leadership>>) -> bool {
    let role = leadership.map(|leadership| *leadership.role().borrow());
    role.is_none_or(|role| role != Role::Standby)
}

/// Waits until the role is that of the leader, and says in which term.
async fn leads(mut role: watch::Receiver<Role>) -> u64 {
    loop {
        if let Role::Leader { term } = *role.borrow_and_update() {
            return term;
        }
        if role.changed().await.is_err() {
            return std::future::pending().await; // nobody can say so any more
        }
    }
}

async fn becomes(mut role: watch::Receiver<Role>, is_so: impl Fn(&Role) -> bool) {
    // Whoever could have said otherwise is gone: then nobody leads.
    let _ = role.wait_for(is_so).await;
}
