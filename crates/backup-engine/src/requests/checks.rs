//! Checks of what is stored: verifications, and restores for a test.

use std::sync::Arc;

use job_queue::NewJob;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use vault_store::{Manifest, Outcome, StoreError, VaultId};

use super::{BY, Labels, Requests, Share, payload};
use crate::kind::{CHECKS, JobKind, LANE};
use crate::lock::lock;
use crate::site::{Scheduled, Site};
use crate::vaults::{Stored, Vaults};
use crate::{EngineError, InvalidRequest};

/// Who asks for what the schedules ask for.
const BY_SCHEDULE: &str = "schedule";

/// What to verify.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VerifyRequest {
    /// The backup with this id, or `latest`; `None` for all, those first that were not verified for longest.
    pub vault: Option<String>,
    /// Of all of them only so much, by bytes; at least one is verified.
    pub share: Share,
}

/// To where a backup is restored for a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestoreTestPlace {
    /// A tree in memory, in this process.
    Memory,
    /// The ensemble that is set for it ([`RestoreTests::ensemble`](crate::RestoreTests)).
    Ensemble,
}

/// What to restore for a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreTestRequest {
    /// The backup with this id, or `latest`.
    pub vault: String,
    /// To where; `None` for the ensemble, if one is set, else memory.
    pub place: Option<RestoreTestPlace>,
    /// Who asks, for the record.
    pub by: String,
}

impl RestoreTestRequest {
    /// The backup `vault`, to where tests are made if nothing else is said, for `by`.
    #[must_use]
    pub fn of(vault: impl Into<String>, by: impl Into<String>) -> Self {
        Self {
            vault: vault.into(),
            place: None,
            by: by.into(),
        }
    }
}

/// What a verification's job keeps of its request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VerifyPayload {
    pub(crate) share: Share,
}

/// What a test's job keeps of its request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RestoreTestPayload {
    pub(crate) place: RestoreTestPlace,
    pub(crate) by: String,
}

impl Requests {
    /// Queues a verification, and returns the id of its job.
    pub(crate) fn verify(
        &self,
        vaults: &Arc<Vaults>,
        request: &VerifyRequest,
        labels: &Labels,
    ) -> Result<String, EngineError> {
        let job = verification(request.share, labels)?;
        let task = job.id.clone();
        match &request.vault {
            Some(id) => self.enqueue_needing(vaults, &vaults.named(id)?, job)?,
            None => self.enqueue(vaults, job, self.now())?,
        }
        Ok(task)
    }

    /// Queues a restore for a test, unless it cannot be carried out, and returns the id of its job.
    pub(crate) fn restore_test(
        &self,
        vaults: &Arc<Vaults>,
        site: &Site,
        request: &RestoreTestRequest,
        labels: &Labels,
    ) -> Result<String, EngineError> {
        let id = vaults.named(&request.vault)?;
        let tests = &site.checks.tests;
        let place = match (request.place, &tests.ensemble) {
            (Some(RestoreTestPlace::Ensemble), None) => return Err(InvalidRequest::NoTestEnsemble.into()),
            (Some(place), _) => place,
            (None, Some(_)) => RestoreTestPlace::Ensemble,
            (None, None) => RestoreTestPlace::Memory,
        };
        // One whose manifest cannot be read fails as a job, which says so.
        match vaults.store.manifest(&id) {
            Err(error @ StoreError::NotFound(_)) => return Err(error.into()),
            Ok(Manifest {
                outcome: Outcome::Failed { reason: why },
                ..
            }) => return Err(InvalidRequest::HoldsNothing { id, why }.into()),
            Ok(manifest) => {
                manifest.require_open()?;
                if place == RestoreTestPlace::Memory {
                    tests.check_memory(&manifest)?;
                }
            }
            Err(_) => {}
        }
        // In the ensemble that is backed up it must not run together with a backup, or a restore.
        let is_live = tests.ensemble.as_ref().is_some_and(|ensemble| ensemble.is_live);
        let lane = match place {
            RestoreTestPlace::Ensemble if is_live => LANE,
            RestoreTestPlace::Ensemble | RestoreTestPlace::Memory => CHECKS,
        };
        let payload = payload(
            &RestoreTestPayload {
                place,
                by: request.by.clone(),
            },
            labels,
        )?;
        let task = uuid::Uuid::new_v4().to_string();
        let job = NewJob::new(&task, JobKind::RestoreTest.name())
            .in_lane(lane)
            .with_payload(payload);
        self.enqueue_needing(vaults, &id, job)?;
        Ok(task)
    }

    /// Queues the checks that are due and do not wait, and says whether there are any.
    pub(crate) fn checks_if_due(&self, vaults: &Arc<Vaults>, site: &Site) -> Result<bool, EngineError> {
        let mut last = lock(&self.last_checks);
        let labels = Labels::from([(BY.to_owned(), BY_SCHEDULE.to_owned())]);
        let verify = self.if_due(site.checks.verify.as_ref(), &mut last.verify, || {
            let share = site.checks.share;
            self.verify(vaults, &VerifyRequest { vault: None, share }, &labels)
                .map(Some)
        })?;
        let test = self.if_due(site.checks.test.as_ref(), &mut last.test, || {
            let Some(vault) = to_test(vaults, site, self.now())? else {
                log::warn!("there is no valid full backup that can be restored for a test");
                return Ok(None);
            };
            let request = RestoreTestRequest {
                vault: vault.to_string(),
                place: None,
                by: BY_SCHEDULE.to_owned(),
            };
            self.restore_test(vaults, site, &request, &labels).map(Some)
        })?;
        Ok(verify || test)
    }

    fn if_due(
        &self,
        schedule: Option<&Scheduled>,
        last: &mut Option<String>,
        queue: impl FnOnce() -> Result<Option<String>, EngineError>,
    ) -> Result<bool, EngineError> {
        let Some(schedule) = schedule else {
            return Ok(false);
        };
        let waits = match last {
            Some(id) => self.jobs.get(id)?.is_some_and(|job| !job.state.is_final()),
            None => false,
        };
        if !schedule.is_due(self.now(), waits) {
            return Ok(false);
        }
        match queue() {
            Ok(Some(id)) => {
                *last = Some(id);
                Ok(true)
            }
            Ok(None) => {
                schedule.miss();
                Ok(false)
            }
            Err(error) => {
                schedule.miss();
                Err(error)
            }
        }
    }
}

/// A verification to be queued; of the vault that it is made to need, if it is.
pub(crate) fn verification(share: Share, labels: &Labels) -> Result<NewJob, EngineError> {
    let task = uuid::Uuid::new_v4().to_string();
    let job = NewJob::new(&task, JobKind::Verify.name()).in_lane(CHECKS);
    Ok(job.with_payload(payload(&VerifyPayload { share }, labels)?))
}

/// Of the valid full backups that can be restored for a test the newest; where that was, with whatever outcome, the one that was not for longest.
fn to_test(vaults: &Vaults, site: &Site, now: OffsetDateTime) -> Result<Option<VaultId>, EngineError> {
    let tests = &site.checks.tests;
    let can_be = |manifest: &Manifest| {
        // What does not tell its size may be too large each time.
        let fits_memory = || manifest.contents.is_some() && tests.check_memory(manifest).is_ok();
        let fits = || tests.ensemble.is_some() || fits_memory();
        !manifest.is_granular() && manifest.sealed.is_none() && fits()
    };
    let mut all = vaults.all()?;
    all.retain(|stored| stored.is_valid() && stored.manifest.as_ref().is_ok_and(can_be));
    let last = |stored: &Stored| stored.tried_by(now);
    let newest = all.last().filter(|newest| last(newest).is_none());
    // The newest of those that are alike.
    let chosen = newest.or_else(|| all.iter().rev().min_by_key(|stored| last(stored)));
    Ok(chosen.map(|stored| stored.id.clone()))
}
