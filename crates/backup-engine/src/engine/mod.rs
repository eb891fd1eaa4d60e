//! The engine, as it is used.

mod contents;
mod exchange;
mod jobs;
mod retention;

use std::sync::Arc;
#[cfg(feature = "object-store")]
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use health_metrics::{Health, Metrics};
use job_queue::{Clock, Runner};
use time::OffsetDateTime;
use tokio::sync::watch;
use vault_store::FsStore;
#[cfg(feature = "object-store")]
use vault_store::ObjectVaults;

use crate::blocking::blocking;
use crate::ends::KnownEnds;
use crate::error::EngineError;
use crate::health::{self, Asked, Probes};
use crate::leadership::Leadership;
use crate::owed::Owed;
use crate::requests::{BackupRequest, Labels, Requests, RestoreRequest, RestoreTestRequest, VerifyRequest};
use crate::site::Site;
use crate::vaults::Vaults;
use crate::work::Running;

/// Backs up, restores, evicts and tells of it. Clones share everything.
///
/// Requests are queued durably and done one after another by [`run`](Self::run) (or [`step`](Self::step)), so a
/// backup and a restore never overlap; checks of what is stored are done one after another beside them. Everything that blocks is done on tokio's blocking threads.
#[derive(Clone)]
pub struct Engine {
    pub(crate) vaults: Arc<Vaults>,
    #[cfg(feature = "object-store")]
    pub(crate) objects: Option<ObjectVaults>,
    /// The object stores that vaults are kept in besides, by name.
    #[cfg(feature = "object-store")]
    pub(crate) further_objects: Arc<[(String, ObjectVaults)]>,
    #[cfg(feature = "object-store")]
    pub(crate) second_objects: Option<ObjectVaults>,
    /// Held while buckets are swept.
    #[cfg(feature = "object-store")]
    pub(crate) sweeping: Arc<Mutex<()>>,
    /// Its lock is held as long as there is an engine.
    pub(crate) _local_state: Option<Arc<FsStore>>,
    pub(crate) site: Arc<Site>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) probes: Arc<Probes>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) running: Arc<Running>,
    pub(crate) owed: Arc<Owed>,
    /// What is not noted yet of jobs.
    pub(crate) ends: Arc<KnownEnds>,
    pub(crate) clock: Clock,
    pub(crate) runner: Arc<Runner>,
    /// Does the checks.
    pub(crate) checker: Arc<Runner>,
    pub(crate) ending: Arc<watch::Sender<bool>>,
    /// `None` where it works always.
    pub(crate) leadership: Option<Arc<dyn Leadership>>,
    /// By which name it claims jobs.
    pub(crate) worker: Arc<str>,
    /// Backups that failed one after another.
    pub(crate) failed_in_a_row: Arc<AtomicU32>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("ensemble", &self.site.ensemble.name())
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }

    /// What the storages are called that backups can be kept in, the default one first; none where there is only one.
    #[must_use]
    pub fn storages(&self) -> Vec<String> {
        self.vaults.storages()
    }

    /// Queues a backup and returns its id, which is also the id of its job.
    ///
    /// # Errors
    /// [`EngineError::Invalid`], [`EngineError::QueueFull`], [`EngineError::Storage`]: nothing is queued then.
    pub async fn backup(&self, request: BackupRequest) -> Result<String, EngineError> {
        self.backup_labelled(request, Labels::new()).await
    }

    /// The same, with what the job is called by whoever asks for it.
    ///
    /// # Errors
    /// As [`backup`](Self::backup).
    pub async fn backup_labelled(
        &self,
        request: BackupRequest,
        labels: Labels,
    ) -> Result<String, EngineError> {
        let (vaults, site, requests) = self.rooms();
        let id = blocking(move || requests.backup(&vaults, &site, &request, &labels)).await?;
        self.runner.waker().wake();
        Ok(id.to_string())
    }

    /// Queues a restore and returns the id of its job.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::FullRestoreOff`]; [`EngineError::Invalid`]; [`EngineError::QueueFull`]; [`EngineError::Storage`].
    pub async fn restore(&self, request: RestoreRequest) -> Result<String, EngineError> {
        self.restore_labelled(request, Labels::new()).await
    }

    /// The same, with what the job is called by whoever asks for it.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub async fn restore_labelled(
        &self,
        request: RestoreRequest,
        labels: Labels,
    ) -> Result<String, EngineError> {
        let (vaults, site, requests) = self.rooms();
        let id = blocking(move || requests.restore(&vaults, &site, &request, &labels)).await?;
        self.runner.waker().wake();
        Ok(id)
    }

    /// Queues a verification and returns the id of its job, which reads backups from beginning to end, decodes all that is in them, and
    /// fails where something is not as it was written. What it found is told of each backup from then on.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`], [`EngineError::QueueFull`], [`EngineError::Storage`].
    pub async fn verify(&self, request: VerifyRequest) -> Result<String, EngineError> {
        self.verify_labelled(request, Labels::new()).await
    }

    /// [`verify`](Self::verify), whose job is told with `labels`.
    ///
    /// # Errors
    /// Those of [`verify`](Self::verify).
    pub async fn verify_labelled(
        &self,
        request: VerifyRequest,
        labels: Labels,
    ) -> Result<String, EngineError> {
        let (vaults, _, requests) = self.rooms();
        let id = blocking(move || requests.verify(&vaults, &request, &labels)).await?;
        self.wake();
        Ok(id)
    }

    /// Queues a restore for a test and returns the id of its job: the backup is restored to memory or an ensemble of its own, read anew, and
    /// compared znode by znode. A difference makes the job fail.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::Invalid`] where it is too large for memory, or there is no such place;
    /// [`EngineError::QueueFull`]; [`EngineError::Storage`].
    pub async fn restore_test(&self, request: RestoreTestRequest) -> Result<String, EngineError> {
        self.restore_test_labelled(request, Labels::new()).await
    }

    /// [`restore_test`](Self::restore_test), whose job is told with `labels`.
    ///
    /// # Errors
    /// Those of [`restore_test`](Self::restore_test).
    pub async fn restore_test_labelled(
        &self,
        request: RestoreTestRequest,
        labels: Labels,
    ) -> Result<String, EngineError> {
        let (vaults, site, requests) = self.rooms();
        let id = blocking(move || requests.restore_test(&vaults, &site, &request, &labels)).await?;
        self.wake();
        Ok(id)
    }

    /// How everything is. Asks ZooKeeper, and waits for it a quarter of a second at most: what it said last comes with
    /// its age.
    pub async fn health(&self) -> Health {
        let zookeeper = self.site.probed.health(&self.site.ensemble).await;
        let (vaults, site, requests) = self.rooms();
        let asked = Asked {
            probes: Arc::clone(&self.probes),
            vaults,
            site,
            requests,
            owed: Arc::clone(&self.owed),
            leadership: self.leadership.clone(),
            // Who does not lead any more has nothing to note.
            unnoted: match self.leads() {
                true => self.ends.unnoted(),
                false => Vec::new(),
            },
            now: self.now(),
            zookeeper,
        };
        let report = blocking(move || Ok(health::report(asked))).await;
        report.unwrap_or_else(|error| health::unknown(&error.to_string()))
    }

    /// Counters and [`health`](Self::health) as Prometheus text.
    ///
    /// # Errors
    /// [`EngineError::Internal`], never in practice.
    pub async fn metrics(&self) -> Result<String, EngineError> {
        self.render(&self.health().await)
    }

    /// Counters and this report as Prometheus text: whoever embeds the engine may have problems of its own to add.
    ///
    /// # Errors
    /// [`EngineError::Internal`], never in practice.
    pub fn render(&self, health: &Health) -> Result<String, EngineError> {
        self.metrics
            .render(health)
            .map_err(|error| EngineError::Internal(error.into()))
    }

    /// Whichever of the two has something to do now.
    pub(crate) fn wake(&self) {
        self.runner.waker().wake();
        self.checker.waker().wake();
    }

    pub(crate) fn rooms(&self) -> (Arc<Vaults>, Arc<Site>, Arc<Requests>) {
        (
            Arc::clone(&self.vaults),
            Arc::clone(&self.site),
            Arc::clone(&self.requests),
        )
    }
}
