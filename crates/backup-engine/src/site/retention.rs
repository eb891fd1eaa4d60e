//! Which backups are removed, and when.

use std::collections::BTreeMap;
use std::sync::Arc;

use eviction_policy::{Action, Backup, Decision, EvictionPolicy, Standing, plan};
use health_metrics::Metrics;
use time::OffsetDateTime;
use vault_store::Manifest;

use super::clock_watch::ClockWatch;
use crate::EngineError;
use crate::vaults::{Stored, Vaults};

/// The policies, and what tells whether ages can be relied on.
pub(crate) struct Retention {
    pub(crate) full: Arc<dyn EvictionPolicy>,
    pub(crate) granular: Arc<dyn EvictionPolicy>,
    pub(crate) clock: Arc<ClockWatch>,
}

impl Retention {
    /// Plans, and unless `dry_run` evicts. A backup that is in use stays, and all of them where the clock has moved and
    /// nobody says that it is right.
    pub(crate) fn run(
        &self,
        vaults: &Vaults,
        metrics: &Metrics,
        now: OffsetDateTime,
        (dry_run, trust_clock): (bool, bool),
    ) -> Result<Vec<Decision>, EngineError> {
        self.clock.learn()?;
        // A dry run may go by what is known, and so may one that removes nothing; what is removed, and what stays since it is the last
        // good one, may not.
        let mut all = vaults.all()?;
        let mut decisions = self.plan(&all, now);
        if !dry_run && doomed(&mut decisions).next().is_some() {
            all = vaults.all_anew()?;
            decisions = self.plan(&all, now);
        }
        let moved = if trust_clock { None } else { self.clock.moved(now) };
        if let Some(why) = &moved {
            for decision in doomed(&mut decisions) {
                decision.action = Action::Keep;
                decision.reason = format!("{why}; the policy says: {}", decision.reason);
            }
        }
        if dry_run {
            return Ok(decisions);
        }
        match moved {
            Some(why) => log::warn!("no policy evicts anything: {why}"),
            None if trust_clock => self.clock.trust(now),
            None => self.clock.keep(now),
        }
        let ids: BTreeMap<_, _> = all
            .iter()
            .map(|stored| (stored.id.to_string(), &stored.id))
            .collect();
        let mut failures = Vec::new();
        for decision in doomed(&mut decisions) {
            let Some(id) = ids.get(&decision.id) else {
                continue;
            };
            match vaults.remove(id) {
                Ok(()) => {
                    metrics.evicted(1);
                    log::info!("evicted {id}: {}", decision.reason);
                }
                Err(EngineError::BackupNotFound(_)) => {} // gone meanwhile
                Err(EngineError::InUse(_)) => {
                    decision.action = Action::Keep;
                    "it is in use".clone_into(&mut decision.reason);
                }
                Err(EngineError::Retained { why, .. }) => {
                    log::info!("not evicted: {why}");
                    decision.action = Action::Keep;
                    decision.reason = format!("{why}; the policy says: {}", decision.reason);
                }
                Err(error @ EngineError::NotLeading(_)) => return Err(error), // of all that follow, too
                Err(error) => failures.push(format!("{id}: {error}")),
            }
        }
        if failures.is_empty() {
            Ok(decisions)
        } else {
            Err(EngineError::Storage(failures.join("; ").into()))
        }
    }
}

impl Retention {
    fn plan(&self, all: &[Arc<Stored>], now: OffsetDateTime) -> Vec<Decision> {
        let is_granular = |stored: &&Arc<Stored>| stored.manifest.as_ref().is_ok_and(Manifest::is_granular);
        let (granular, full): (Vec<_>, Vec<_>) = all.iter().partition(is_granular);
        let backups = |of: Vec<&Arc<Stored>>| of.into_iter().map(|stored| backup(stored)).collect::<Vec<_>>();
        let mut decisions = plan(&*self.full, &backups(full), now);
        decisions.extend(plan(&*self.granular, &backups(granular), now));
        decisions
    }
}

fn doomed(decisions: &mut [Decision]) -> impl Iterator<Item = &mut Decision> {
    decisions
        .iter_mut()
        .filter(|decision| decision.action == Action::Evict)
}

fn backup(stored: &Stored) -> Backup {
    let manifest = stored.manifest.as_ref();
    let standing = match manifest {
        Ok(_) if stored.damage.is_some() => Standing::Unreadable,
        Ok(manifest) if manifest.is_valid() => Standing::Good,
        Ok(_) => Standing::Failed,
        Err(_) => Standing::Unreadable,
    };
    Backup {
        id: stored.id.to_string(),
        taken_at: stored.date(),
        standing,
        pinned: manifest.is_ok_and(|manifest| manifest.pinned),
        // Where an earlier version did not note it, a day more is little, and the only good backup is much.
        by_hand: manifest.is_ok_and(|manifest| manifest.scheduled != Some(true)),
    }
}
