//! A vault that is read and checked before anything is written.

use time::OffsetDateTime;
use vault_store::{Manifest, Outcome, VaultId, verify_while};

use crate::vaults::Vaults;
use crate::vaults::records::{self, Opened};
use crate::vaults::thorough::{Extent, Step, damage_of, thorough};
use crate::work::failure::Failure;
use crate::work::stop::Stopped;

/// The records of a vault that was read and checked. `stopped` is asked between two frames.
pub(in crate::work) fn open_sound(
    vaults: &Vaults,
    id: &VaultId,
    now: OffsetDateTime,
    stopped: &dyn Fn() -> Result<(), Stopped>,
) -> Result<(Manifest, Opened), Failure> {
    let store = &*vaults.store;
    let manifest = store.manifest(id)?;
    manifest.require_open()?;
    if let Outcome::Failed { reason } = &manifest.outcome {
        return Err(format!("backup {id} failed and holds nothing to restore: {reason}").into());
    }
    let mut why = None;
    let mut go_on = |_: Step| {
        why = stopped().err();
        why.is_none()
    };
    // What lies deeper than checksums is looked for where something was found before, or where there are none.
    let before = store.verification(id)?;
    let is_thorough = manifest.predecessor.is_some() || before.is_some_and(|before| !before.is_sound());
    let result = match is_thorough {
        true => thorough(store, id, now, Extent::Restored, &mut go_on)?,
        false => verify_while(store, id, now, &mut |bytes| go_on(Step::Read(bytes)))?,
    };
    let Some(mut result) = result else {
        return Err(why.unwrap_or(Stopped::Ending).into());
    };
    let opened = match records::spoiling(&result).cloned() {
        Some(damage) => Err(damage),
        None => match records::open(store, &manifest) {
            Ok(opened) => Ok(opened),
            // Its checksums are right, and it is none of what a backup is.
            Err(error) => {
                let damage = damage_of(&manifest, error)?;
                result.damage.push(damage.clone());
                Err(damage)
            }
        },
    };
    match is_thorough {
        true => vaults.record_verification(id, &result),
        false => vaults.record_checksums(id, &result),
    }
    for damage in result
        .damage
        .iter()
        .filter(|damage| !records::is_needed(&damage.file))
    {
        log::warn!(
            "backup {id}: {} is damaged, which no restore needs: {}",
            damage.file,
            damage.what
        );
    }
    match opened {
        Ok(opened) => Ok((manifest, opened)),
        Err(damage) => Err(format!("backup {id} is damaged: {damage}").into()),
    }
}
