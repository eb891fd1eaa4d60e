use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eviction_policy::EvictionPolicy;
use health_metrics::{Metrics, ProcessProbe, StorageProbe};
use job_queue::{Clock, JobStore, NewJob, Ticker};
use time::OffsetDateTime;
use vault_store::{VaultId, VaultStore};

use crate::browse::Catalogs;
use crate::kind::{JobKind, LANE};
use crate::probed::Probed;
use crate::unfinished::UnfinishedZnodes;
use crate::watch::ClockWatch;
use crate::{BackupRequest, EngineError, Ensemble, Recovery, StateSource};

/// What the engine is made of.
pub(crate) struct Parts {
    pub(crate) ensemble: Arc<dyn Ensemble>,
    pub(crate) states: Vec<Arc<dyn StateSource>>,
    pub(crate) vaults: Arc<dyn VaultStore>,
    pub(crate) jobs: Arc<dyn JobStore>,
    pub(crate) full_policy: Arc<dyn EvictionPolicy>,
    pub(crate) granular_policy: Arc<dyn EvictionPolicy>,
    pub(crate) storage_probe: Arc<dyn StorageProbe>,
    pub(crate) process_probe: Arc<dyn ProcessProbe>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) max_queued: usize,
    pub(crate) full_restore: bool,
    pub(crate) consistency_rounds: u32,
    pub(crate) sequence_limit: u64,
    pub(crate) recovery: Option<Recovery>,
    /// What restores have begun and not finished.
    pub(crate) unfinished: Arc<UnfinishedZnodes>,
    pub(crate) watch: ClockWatch,
    pub(crate) cron: Option<String>,
    pub(crate) ticker: Mutex<Option<Ticker>>,
    /// The newest backup id that was given out.
    pub(crate) last_id: Mutex<Option<VaultId>>,
    /// Vaults that are being read, and how often.
    pub(crate) in_use: Mutex<HashMap<VaultId, usize>>,
    pub(crate) catalogs: Catalogs,
    pub(crate) running: Mutex<Option<(String, Arc<Progress>)>>,
    pub(crate) probed: Arc<Probed>,
}

/// How far the running job is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) znodes: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) phase: Mutex<&'static str>,
}

impl Progress {
    pub(crate) fn phase(&self, phase: &'static str) {
        *lock(&self.phase) = phase;
    }

    pub(crate) fn restart(&self) {
        self.znodes.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.add_many(1, bytes);
    }

    pub(crate) fn add_many(&self, znodes: u64, bytes: usize) {
        self.znodes.fetch_add(znodes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Parts {
    pub(crate) fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }

    /// Queues a backup under the next free id: the present second, or the one after the last.
    pub(crate) fn enqueue_backup(
        &self,
        request: &BackupRequest,
        scheduled: bool,
    ) -> Result<VaultId, EngineError> {
        let payload =
            serde_json::to_value(request).map_err(|error| EngineError::Internal(error.to_string()))?;
        let mut last = lock(&self.last_id);
        if last.is_none() {
            let queued = self
                .jobs
                .greatest_id(JobKind::Backup.name())?
                .and_then(|id| id.parse().ok());
            *last = self.vaults.ids()?.pop().max(queued);
        }
        let now = VaultId::from_time(self.now());
        let id = now.max(last.as_ref().and_then(VaultId::next));
        let id = id.ok_or_else(|| EngineError::Storage("the clock shows no usable time".to_owned()))?;
        let job = NewJob::new(id.as_str(), JobKind::Backup.name())
            .in_lane(LANE)
            .with_payload(payload)
            .by_schedule(scheduled);
        // After an error it may be queued all the same: the next request asks the stores again, and is not
        // refused for an id that is taken.
        *last = None;
        self.jobs.enqueue(job, self.now(), self.max_queued)?;
        *last = Some(id.clone());
        Ok(id)
    }

    /// Keeps a vault from being removed until the guard is dropped.
    pub(crate) fn hold(self: &Arc<Self>, id: &VaultId) -> Held {
        *lock(&self.in_use).entry(id.clone()).or_default() += 1;
        Held {
            parts: Arc::clone(self),
            id: id.clone(),
        }
    }

    /// An error for a vault that is being read, or that a restore waits for.
    pub(crate) fn is_free(&self, id: &VaultId, in_use: &HashMap<VaultId, usize>) -> Result<(), EngineError> {
        match in_use.contains_key(id) || self.jobs.is_needed(id.as_str())? {
            true => Err(EngineError::InUse(id.to_string())),
            false => Ok(()),
        }
    }

    /// Removes a vault, unless it is being read, or a restore of it waits.
    pub(crate) fn remove(&self, id: &VaultId) -> Result<(), EngineError> {
        // Held while removing, so that nobody begins to read it meanwhile.
        let in_use = lock(&self.in_use);
        self.is_free(id, &in_use)?;
        self.vaults.remove(id)?;
        self.catalogs.forget(id);
        drop(in_use);
        self.metrics.evicted(1);
        Ok(())
    }
}

/// A vault that may not be removed.
pub(crate) struct Held {
    parts: Arc<Parts>,
    id: VaultId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut in_use = lock(&self.parts.in_use);
        if let Some(count) = in_use.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                in_use.remove(&self.id);
            }
        }
    }
}
