//! What is evicted, by whom and by which policies, and what is pinned.

use std::sync::Arc;

use eviction_policy::{Action, Decision};

use super::Engine;
use crate::blocking::blocking;
use crate::error::{EngineError, parse_id};
use crate::info::BackupInfo;
use crate::site::{Policies, PolicyChange, PolicyOutcome};
use crate::vaults::Stored;

impl Engine {
    /// Removes one backup, pinned or not.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::InUse`] while it is written, waits to be, or is being
    /// restored; [`EngineError::Retained`]; [`EngineError::Storage`].
    pub async fn evict_one(&self, id: &str) -> Result<(), EngineError> {
        let id = parse_id(id)?;
        let (vaults, _, requests) = self.rooms();
        let metrics = Arc::clone(&self.metrics);
        blocking(move || {
            requests.finished(&id, || vaults.remove(&id))?;
            metrics.evicted(1);
            Ok(())
        })
        .await
    }

    /// What [`evict_one`](Self::evict_one) would do.
    ///
    /// # Errors
    /// As [`evict_one`](Self::evict_one).
    pub async fn would_evict_one(&self, id: &str) -> Result<Decision, EngineError> {
        let id = parse_id(id)?;
        let (vaults, _, requests) = self.rooms();
        blocking(move || {
            requests.finished(&id, || match vaults.contains(&id)? {
                true => vaults.check_free(&id),
                false => Err(EngineError::BackupNotFound(id.to_string())),
            })?;
            Ok(Decision {
                id: id.to_string(),
                action: Action::Evict,
                reason: "it is named".to_owned(),
            })
        })
        .await
    }

    /// Applies the eviction policies, or only tells what they say, oldest first and full backups first.
    ///
    /// # Errors
    /// [`EngineError::Storage`] naming what could not be removed; the rest was.
    pub async fn evict(&self, dry_run: bool) -> Result<Vec<Decision>, EngineError> {
        self.apply_policies(dry_run, false).await
    }

    /// The same, where the clock has moved and is right now: from here on it is relied on again.
    ///
    /// # Errors
    /// As [`evict`](Self::evict).
    pub async fn evict_trusting_clock(&self, dry_run: bool) -> Result<Vec<Decision>, EngineError> {
        self.apply_policies(dry_run, true).await
    }

    async fn apply_policies(&self, dry_run: bool, trust_clock: bool) -> Result<Vec<Decision>, EngineError> {
        let (vaults, site, _) = self.rooms();
        let (metrics, now) = (Arc::clone(&self.metrics), self.now());
        blocking(move || site.retention.run(&vaults, &metrics, now, (dry_run, trust_clock))).await
    }

    /// The policies by which backups are evicted, and where they come from.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn policies(&self) -> Result<Policies, EngineError> {
        let site = Arc::clone(&self.site);
        blocking(move || Ok(site.retention.policies.current()?)).await
    }

    /// Forgets what [`set_policies`](Self::set_policies) has set in place of settings that are others now, so that it does not count again
    /// where they come back. To be called at the start by whoever knows that this engine has the settings.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn forget_overruled_policies(&self) -> Result<(), EngineError> {
        let site = Arc::clone(&self.site);
        blocking(move || Ok(site.retention.policies.forget_overruled()?)).await
    }

    /// Changes the policies, or with `dry_run` only tells what the new ones say of the backups that there are. The storage keeps them:
    /// they count until the settings in whose place they are become others. Nothing is evicted before the next pass.
    ///
    /// # Errors
    /// [`EngineError::Storage`]: what counted before does, or the new ones do.
    pub async fn set_policies(
        &self,
        change: PolicyChange,
        dry_run: bool,
    ) -> Result<PolicyOutcome, EngineError> {
        let (vaults, site, _) = self.rooms();
        let now = self.now();
        blocking(move || site.retention.change(&vaults, change, dry_run, now)).await
    }

    /// Pins a finished backup, so that no policy evicts it, or takes its pin away. Returns what is known of it then.
    /// `latest` is not taken: another one may have come since it was looked at.
    ///
    /// # Errors
    /// [`EngineError::BackupNotFound`]; [`EngineError::InUse`] while it waits or is written; [`EngineError::Storage`].
    pub async fn pin(&self, id: &str, pinned: bool) -> Result<BackupInfo, EngineError> {
        let id = parse_id(id)?;
        let (vaults, _, requests) = self.rooms();
        blocking(move || {
            requests.finished(&id, || vaults.pin(&id, pinned))?;
            Ok(BackupInfo::of(&vaults, Stored::read(&*vaults.store, &id)?))
        })
        .await
    }
}
