//! What was asked for: what is queued, under which id, and what is refused.

mod checks;
mod choose;
mod ids;
mod last_checks;
mod request;
mod share;

use std::sync::{Arc, Mutex};

use job_queue::{Clock, Job, JobStore, NewJob};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use vault_store::{Mode, StoreError, VaultId};
use zk_snapshot::restore::Policy;
use zk_snapshot::tree::reserved::is_reserved;

use crate::kind::{JobKind, LANE};
use crate::site::Site;
use crate::vaults::Vaults;
use crate::{EngineError, InvalidRequest};

pub(crate) use self::checks::{RestoreTestPayload, VerifyPayload, verification};
pub use self::checks::{RestoreTestPlace, RestoreTestRequest, VerifyRequest};
pub(crate) use self::ids::Ids;
use self::last_checks::LastChecks;
pub use self::request::{BY, BackupRequest, Labels, RestoreRequest, RestoreSource, Strategy};
pub(crate) use self::request::{RestorePayload, roots_of};
pub use self::share::{Share, ShareError};

/// A check that was due longer ago than this when another process led was that one's.
const LATE: time::Duration = time::Duration::MINUTE;
/// Zxids of epochs from 2^31 are negative. The ensemble is to have some left.
const GREATEST_EPOCH: u32 = 2_000_000_000;

/// The queue, as requests come to it.
pub(crate) struct Requests {
    pub(crate) jobs: Arc<dyn JobStore>,
    clock: Clock,
    max_queued: usize,
    /// Whether a restore may be asked for without naming root znodes.
    full_restore: bool,
    ids: Arc<Ids>,
    last_checks: Mutex<LastChecks>,
}

impl Requests {
    pub(crate) fn new(
        jobs: Arc<dyn JobStore>,
        ids: Arc<Ids>,
        clock: Clock,
        max_queued: usize,
        full_restore: bool,
    ) -> Self {
        Self {
            jobs,
            clock,
            max_queued,
            full_restore,
            ids,
            last_checks: Mutex::default(),
        }
    }

    fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }

    /// Others have led, and queued, meanwhile. What they asked for by schedule is not asked for again.
    pub(crate) fn take_over(&self, vaults: &Vaults, site: &Site) -> Result<(), EngineError> {
        let last = self.ids.look(vaults)?;
        if let (Some(schedule), Some(last)) = (&site.schedule, &last) {
            schedule.serve_from(last.time());
        }
        for schedule in [&site.checks.verify, &site.checks.test].into_iter().flatten() {
            schedule.serve_from(self.now() - LATE);
        }
        Ok(())
    }

    /// The job that is a backup's, as long as it waits or is being done.
    pub(crate) fn pending(&self, id: &VaultId) -> Result<Option<Job>, EngineError> {
        let job = self.jobs.get(id.as_str())?;
        Ok(job.filter(|job| !job.state.is_final()))
    }

    /// What `look` finds of a backup; where it finds none, [`EngineError::InUse`] as long as its job waits or is being done. Blocks.
    pub(crate) fn finished<T>(
        &self,
        id: &VaultId,
        look: impl Fn() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match look() {
            Err(EngineError::BackupNotFound(_)) if self.pending(id)?.is_some() => {
                Err(EngineError::InUse(id.to_string()))
            }
            // The job may have ended in between, and what it has stored is there now.
            Err(EngineError::BackupNotFound(_)) => look(),
            found => found,
        }
    }

    /// Queues a backup, unless it cannot be had.
    pub(crate) fn backup(
        &self,
        vaults: &Vaults,
        site: &Site,
        request: &BackupRequest,
        labels: &Labels,
    ) -> Result<VaultId, EngineError> {
        let request = &BackupRequest {
            roots: roots_of(&request.roots),
            ..request.clone()
        };
        vaults.check_storage(request.storage.as_deref())?;
        if request.mode == Mode::Transactional {
            if !request.roots.is_empty() {
                return Err(InvalidRequest::RootsOfTransactional.into());
            }
            site.refuse_chroot("a transactional backup is")?;
        }
        self.enqueue_backup(vaults, payload(request, labels)?, false)
    }

    /// Queues a scheduled backup if one is due and none waits.
    pub(crate) fn backup_if_due(&self, vaults: &Vaults, site: &Site) -> Result<bool, EngineError> {
        let Some(schedule) = &site.schedule else {
            return Ok(false);
        };
        let waits = self.jobs.counts()?.queued_by_schedule > 0;
        if !schedule.is_due(self.now(), waits) {
            return Ok(false);
        }
        let queued = payload(&BackupRequest::default(), &Labels::new())
            .and_then(|payload| self.enqueue_backup(vaults, payload, true));
        if queued.is_err() {
            schedule.miss();
        }
        queued.map(|_| true)
    }

    /// Queues a backup under the next free id: the present second, or the one after the last.
    fn enqueue_backup(
        &self,
        vaults: &Vaults,
        payload: Value,
        scheduled: bool,
    ) -> Result<VaultId, EngineError> {
        let now = self.now();
        self.ids.of_job(vaults, now, |id| {
            let job = NewJob::new(id.as_str(), JobKind::Backup.name())
                .in_lane(LANE)
                .with_payload(payload)
                .by_schedule(scheduled);
            self.enqueue(vaults, job, now)
        })
    }

    /// Whether a restore may be asked for that names no root znodes, if `full` says that none are named.
    pub(crate) fn check_full(&self, full: bool) -> Result<(), EngineError> {
        match full && !self.full_restore {
            true => Err(EngineError::FullRestoreOff),
            false => Ok(()),
        }
    }

    /// Queues a restore, unless it cannot be carried out, and returns the id of its job.
    pub(crate) fn restore(
        &self,
        vaults: &Arc<Vaults>,
        site: &Site,
        request: &RestoreRequest,
        labels: &Labels,
    ) -> Result<String, EngineError> {
        let request = &RestoreRequest {
            roots: roots_of(&request.roots),
            ..request.clone()
        };
        vaults.check_storage(request.storage.as_deref())?;
        let id = choose::vault(vaults, site, request)?;
        self.check_full(request.roots.is_empty())?;
        check_renames(request)?;
        check_strategy(vaults, &id, request)?;
        let payload = payload(&RestorePayload::of(request), labels)?;
        let task = uuid::Uuid::new_v4().to_string();
        let job = NewJob::new(&task, JobKind::Restore.name())
            .in_lane(LANE)
            .with_payload(payload);
        self.enqueue_needing(vaults, &id, job)?;
        Ok(task)
    }

    /// Queues a job that needs a vault, which is not removed in between.
    fn enqueue_needing(&self, vaults: &Arc<Vaults>, id: &VaultId, job: NewJob) -> Result<(), EngineError> {
        let job = job.needing(id.as_str());
        let _held = vaults.hold(id);
        if let Err(error @ StoreError::NotFound(_)) = vaults.store.manifest(id) {
            return Err(error.into());
        }
        self.enqueue(vaults, job, self.now())
    }

    /// Queues a job, unless it would be lost.
    fn enqueue(&self, vaults: &Vaults, job: NewJob, now: OffsetDateTime) -> Result<(), EngineError> {
        vaults.check_place()?;
        self.jobs.enqueue(job, now, self.max_queued)?;
        Ok(())
    }
}

/// What a job keeps: its request, and what it is called by whoever asks for it.
#[derive(Serialize)]
struct Payload<'a, R> {
    #[serde(flatten)]
    request: &'a R,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: &'a Labels,
}

fn payload(request: &impl Serialize, labels: &Labels) -> Result<Value, EngineError> {
    let payload = serde_json::to_value(Payload { request, labels });
    payload.map_err(|error| EngineError::Internal(error.into()))
}

fn check_renames(request: &RestoreRequest) -> Result<(), InvalidRequest> {
    for (from, to) in &request.renames {
        if from.is_root() || to.is_root() {
            return Err(InvalidRequest::RenamesRoot);
        }
        if is_reserved(to) {
            let (from, to) = (from.clone(), to.clone());
            return Err(InvalidRequest::RenamesIntoServers { from, to });
        }
        if !request.roots.is_empty() && !request.roots.iter().any(|root| from.is_within(root)) {
            return Err(InvalidRequest::RenamesUnwanted(from.clone()));
        }
    }
    Ok(())
}

fn check_strategy(vaults: &Vaults, id: &VaultId, request: &RestoreRequest) -> Result<(), EngineError> {
    if request.strategy == Strategy::Online {
        return match request.raise_epoch {
            Some(_) => Err(InvalidRequest::EpochOnline.into()),
            None => Ok(()),
        };
    }
    if !request.roots.is_empty() || !request.renames.is_empty() || request.policy != Policy::Replace {
        return Err(InvalidRequest::ChoosesByFiles.into());
    }
    let manifest = vaults.store.manifest(id)?;
    if manifest.mode != Mode::Transactional {
        return Err(InvalidRequest::NotTransactional(id.clone()).into());
    }
    if manifest.predecessor.is_some() {
        return Err(InvalidRequest::FilesOfPredecessor(id.clone()).into());
    }
    match request.raise_epoch {
        Some(epoch) if epoch > GREATEST_EPOCH => Err(InvalidRequest::EpochTooGreat(GREATEST_EPOCH).into()),
        _ => Ok(()),
    }
}
