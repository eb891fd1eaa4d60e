//! The ids that backups are given, each once.

use std::sync::{Arc, Mutex};

use job_queue::JobStore;
use time::OffsetDateTime;
use vault_store::VaultId;

use crate::EngineError;
use crate::kind::JobKind;
use crate::lock::lock;
use crate::vaults::Vaults;

/// Gives ids out: the present second, or the one after the last.
pub(crate) struct Ids {
    jobs: Arc<dyn JobStore>,
    given: Mutex<Given>,
}

#[derive(Default)]
struct Given {
    /// The newest that a job or a vault has; `None` where these are to be asked.
    known: Option<VaultId>,
    /// The newest of a backup that is no job of its own: until it is stored, nobody else knows it.
    apart: Option<VaultId>,
}

impl Ids {
    pub(crate) fn new(jobs: Arc<dyn JobStore>) -> Self {
        Self {
            jobs,
            given: Mutex::default(),
        }
    }

    /// Asks the stores for the newest one: others may have given some out meanwhile. Blocks.
    pub(super) fn look(&self, vaults: &Vaults) -> Result<Option<VaultId>, EngineError> {
        let mut given = lock(&self.given);
        given.known = self.newest(vaults)?;
        Ok(given.known.clone())
    }

    /// The next id, for the job that `queue` queues. Blocks.
    pub(super) fn of_job(
        &self,
        vaults: &Vaults,
        now: OffsetDateTime,
        queue: impl FnOnce(&VaultId) -> Result<(), EngineError>,
    ) -> Result<VaultId, EngineError> {
        let mut given = lock(&self.given);
        let id = self.next(&mut given, vaults, now)?;
        // After an error it may be queued all the same: the next request asks the stores again, and is not
        // refused for an id that is taken.
        given.known = None;
        queue(&id)?;
        given.known = Some(id.clone());
        Ok(id)
    }

    /// The next id, for a backup that another job takes. Blocks.
    pub(crate) fn apart(&self, vaults: &Vaults, now: OffsetDateTime) -> Result<VaultId, EngineError> {
        let mut given = lock(&self.given);
        let id = self.next(&mut given, vaults, now)?;
        given.apart = Some(id.clone());
        Ok(id)
    }

    fn next(&self, given: &mut Given, vaults: &Vaults, now: OffsetDateTime) -> Result<VaultId, EngineError> {
        if given.known.is_none() {
            given.known = self.newest(vaults)?;
        }
        let last = given.known.as_ref().max(given.apart.as_ref());
        let id = VaultId::from_time(now).max(last.and_then(VaultId::next));
        id.ok_or_else(|| EngineError::Storage("the clock shows no usable time".into()))
    }

    fn newest(&self, vaults: &Vaults) -> Result<Option<VaultId>, EngineError> {
        let queued = self.jobs.greatest_id(JobKind::Backup.name())?;
        let queued = queued.and_then(|id| id.parse().ok());
        Ok(vaults.ids_given()?.pop().max(queued))
    }
}
