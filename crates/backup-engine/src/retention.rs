use std::sync::Arc;

use eviction_policy::{Action, Backup, Decision, Standing, plan};
use vault_store::{Manifest, VaultId};

use crate::EngineError;
use crate::parts::Parts;
use crate::records;

/// Plans, and unless `dry_run` evicts. A backup that is in use stays, and all of them where the clock has moved and nobody
/// says that it is right.
pub(crate) fn run(
    parts: &Arc<Parts>,
    dry_run: bool,
    trust_clock: bool,
) -> Result<Vec<Decision>, EngineError> {
    let (mut full, mut granular) = (Vec::new(), Vec::new());
    for id in parts.vaults.ids()? {
        let manifest = parts.vaults.manifest(&id);
        let sound = !matches!(parts.vaults.verification(&id), Ok(Some(result)) if records::spoiling(&result).is_some());
        let standing = match &manifest {
            Ok(manifest) if !sound => Standing::Unreadable,
            Ok(manifest) if manifest.is_valid() => Standing::Good,
            Ok(_) => Standing::Failed,
            Err(_) => Standing::Unreadable,
        };
        let pinned = manifest.as_ref().is_ok_and(|manifest| manifest.pinned);
        let backup = Backup {
            id: id.to_string(),
            taken_at: manifest.as_ref().map_or(id.time(), Manifest::date),
            standing,
            pinned,
            // Where an earlier version did not note it, a day more is little, and the only good backup is much.
            by_hand: manifest
                .as_ref()
                .is_ok_and(|manifest| manifest.scheduled != Some(true)),
        };
        if manifest.is_ok_and(|manifest| manifest.is_granular()) {
            granular.push(backup);
        } else {
            full.push(backup);
        }
    }
    let now = parts.now();
    let mut decisions = plan(&*parts.full_policy, &full, now);
    decisions.extend(plan(&*parts.granular_policy, &granular, now));
    let moved = if trust_clock { None } else { parts.watch.moved(now) };
    if let Some(why) = &moved {
        for decision in decisions
            .iter_mut()
            .filter(|decision| decision.action == Action::Evict)
        {
            decision.action = Action::Keep;
            decision.reason = format!("{why}; the policy says: {}", decision.reason);
        }
    }
    if dry_run {
        return Ok(decisions);
    }
    match moved {
        Some(why) => log::warn!("no policy evicts anything: {why}"),
        None if trust_clock => parts.watch.trust(now),
        None => parts.watch.keep(now),
    }
    let mut failures = Vec::new();
    for decision in decisions
        .iter_mut()
        .filter(|decision| decision.action == Action::Evict)
    {
        let Ok(id) = decision.id.parse::<VaultId>() else {
            continue;
        };
        match parts.remove(&id) {
            Ok(()) => log::info!("evicted {id}: {}", decision.reason),
            Err(EngineError::BackupNotFound(_)) => {} // gone meanwhile
            Err(EngineError::InUse(_)) => {
                decision.action = Action::Keep;
                "it is in use".clone_into(&mut decision.reason);
            }
            Err(error) => failures.push(format!("{id}: {error}")),
        }
    }
    if failures.is_empty() {
        Ok(decisions)
    } else {
        Err(EngineError::Storage(failures.join("; ")))
    }
}
