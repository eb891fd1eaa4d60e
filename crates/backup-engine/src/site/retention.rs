//! Which backups are removed, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use eviction_policy::{Action, Backup, Decision, Standing, plan};
use health_metrics::Metrics;
use time::OffsetDateTime;
use vault_store::{Manifest, StoreError};

use super::clock_watch::ClockWatch;
use super::policies::{Policy, PolicyBook, PolicyChange, PolicyOutcome};
use crate::EngineError;
use crate::lock::lock;
use crate::vaults::{Pins, Stored, Vaults};

/// The policies, and what tells whether ages can be relied on.
pub(crate) struct Retention {
    pub(crate) policies: PolicyBook,
    pub(crate) clock: Arc<ClockWatch>,
    /// Why a note could not be read by which backups are evicted, when that was tried last.
    unreadable: Mutex<Option<String>>,
}

impl Retention {
    pub(crate) fn new(policies: PolicyBook, clock: Arc<ClockWatch>) -> Self {
        Self {
            policies,
            clock,
            unreadable: Mutex::default(),
        }
    }

    /// The notes by which backups are evicted.
    fn notes(&self, vaults: &Vaults) -> Result<(Pins, (Policy, Policy)), StoreError> {
        let notes = vaults
            .pins()
            .and_then(|pins| Ok((pins, self.policies.counting()?)));
        let why = notes.as_ref().err().filter(|error| !error.may_pass());
        *lock(&self.unreadable) = why.map(ToString::to_string);
        notes
    }

    /// Why no policy evicts anything, where somebody has to mend a note: as it is now, or, where that would have to be asked of another machine, as it was when it was
    /// looked at last. Blocks.
    pub(crate) fn unreadable(&self, vaults: &Vaults) -> Option<String> {
        if !vaults.is_remote() {
            // What it says is kept.
            drop(self.notes(vaults));
        }
        lock(&self.unreadable).clone()
    }

    /// Plans, and unless `dry_run` evicts. A backup that is in use stays, and all of them where the clock has moved and
    /// nobody says that it is right.
    pub(crate) fn run(
        &self,
        vaults: &Vaults,
        metrics: &Metrics,
        now: OffsetDateTime,
        (dry_run, trust_clock): (bool, bool),
    ) -> Result<Vec<Decision>, EngineError> {
        let done = self.pass(vaults, metrics, now, (dry_run, trust_clock));
        if done.is_err() && !dry_run {
            metrics.eviction_failed();
        }
        done
    }

    fn pass(
        &self,
        vaults: &Vaults,
        metrics: &Metrics,
        now: OffsetDateTime,
        (dry_run, trust_clock): (bool, bool),
    ) -> Result<Vec<Decision>, EngineError> {
        self.clock.learn()?;
        let (pins, policies) = self.notes(vaults)?;
        // A dry run may go by what is known, and so may one that removes nothing; what is removed, and what stays since it is the last
        // good one, may not.
        let mut all = vaults.all()?;
        let (mut decisions, _) = planned(&all, (&pins, vaults), policies.clone(), now);
        if !dry_run && doomed(&mut decisions).next().is_some() {
            all = vaults.all_anew()?;
            vaults.check_listed()?;
            (decisions, _) = planned(&all, (&pins, vaults), policies, now);
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
        let ids: BTreeMap<_, _> = all.iter().map(|stored| (stored.id.to_string(), stored)).collect();
        let mut failures = Vec::new();
        for decision in doomed(&mut decisions) {
            let Some(stored) = ids.get(&decision.id) else {
                continue;
            };
            let id = &stored.id;
            match vaults.remove_unpinned(stored.manifest.as_ref().ok(), id) {
                Ok(false) => {
                    decision.action = Action::Keep;
                    "it is pinned".clone_into(&mut decision.reason);
                }
                Ok(true) => {
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

    /// Changes the policies, unless `dry_run`, and tells what the new ones say. Nothing is evicted by it.
    pub(crate) fn change(
        &self,
        vaults: &Vaults,
        change: PolicyChange,
        dry_run: bool,
        now: OffsetDateTime,
    ) -> Result<PolicyOutcome, EngineError> {
        self.policies.change(change, dry_run, now, |policies| {
            let (all, pins) = (vaults.all()?, vaults.pins()?);
            let (decisions, good_evicted) = planned(&all, (&pins, vaults), policies, now);
            Ok(PolicyOutcome {
                decisions,
                good_evicted,
            })
        })
    }
}

/// What the policies say, for full backups first, and how many good ones go by it. The backups of each storage are judged by themselves: one there stands in
/// for none elsewhere.
fn planned(
    all: &[Arc<Stored>],
    (pins, vaults): (&Pins, &Vaults),
    (full, granular): (Policy, Policy),
    now: OffsetDateTime,
) -> (Vec<Decision>, usize) {
    let is_granular = |stored: &&Arc<Stored>| stored.manifest.as_ref().is_ok_and(Manifest::is_granular);
    let (of_parts, of_all): (Vec<_>, Vec<_>) = all.iter().partition(is_granular);
    let mut good_evicted = 0;
    let mut judge = |policy: &Policy, of: Vec<&Arc<Stored>>| {
        let mut storages: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for stored in of {
            let backups = storages.entry(vaults.storage_of(&stored.id)).or_default();
            backups.push(backup(stored, pins));
        }
        let mut decisions = Vec::new();
        for backups in storages.values() {
            let said = plan(&**policy, backups, now);
            good_evicted += good_among(&said, backups);
            decisions.extend(said);
        }
        if storages.len() > 1 {
            decisions.sort_by(|one: &Decision, other| one.id.cmp(&other.id));
        }
        decisions
    };
    let mut decisions = judge(&full, of_all);
    decisions.extend(judge(&granular, of_parts));
    (decisions, good_evicted)
}

/// How many good backups are to go.
fn good_among(decisions: &[Decision], backups: &[Backup]) -> usize {
    let good: BTreeSet<_> = backups
        .iter()
        .filter(|backup| backup.standing == Standing::Good)
        .map(|backup| &*backup.id)
        .collect();
    let goes = |decision: &&Decision| decision.action == Action::Evict && good.contains(&*decision.id);
    decisions.iter().filter(goes).count()
}

fn doomed(decisions: &mut [Decision]) -> impl Iterator<Item = &mut Decision> {
    decisions
        .iter_mut()
        .filter(|decision| decision.action == Action::Evict)
}

fn backup(stored: &Stored, pins: &Pins) -> Backup {
    let manifest = stored.manifest.as_ref();
    let standing = match manifest {
        Ok(_) if stored.damage.is_some() => Standing::Unreadable,
        // The way back from a restore stands in for no other.
        Ok(manifest) if manifest.is_valid() && !stored.is_before_a_restore() => Standing::Good,
        // It may hold everything, or the most that there is.
        Ok(manifest) if manifest.predecessor.is_some() && manifest.is_partial() => Standing::Unreadable,
        Ok(_) => Standing::Failed,
        Err(_) => Standing::Unreadable,
    };
    Backup {
        id: stored.id.to_string(),
        taken_at: stored.date(),
        standing,
        pinned: manifest.is_ok_and(|manifest| pins.pinned(manifest)),
        // Where an earlier version did not note it, a day more is little, and the only good backup is much.
        by_hand: manifest.is_ok_and(|manifest| manifest.scheduled != Some(true)),
    }
}
