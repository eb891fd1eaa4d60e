//! A vault that is read and checked before anything is written.

use time::OffsetDateTime;
use vault_store::{Manifest, Outcome, VaultId, verify};

use crate::vaults::Vaults;
use crate::vaults::records::{self, Opened};
use crate::work::failure::Failure;
use crate::work::verify::thorough;

/// The records of a vault that was read and checked.
pub(in crate::work) fn open_sound(
    vaults: &Vaults,
    id: &VaultId,
    now: OffsetDateTime,
) -> Result<(Manifest, Opened), Failure> {
    let store = &*vaults.store;
    let manifest = store.manifest(id)?;
    manifest.require_open()?;
    if let Outcome::Failed { reason } = &manifest.outcome {
        return Err(format!("backup {id} failed and holds nothing to restore: {reason}").into());
    }
    // What lies deeper than checksums is looked for where something was found before.
    let before = store.verification(id)?;
    let result = match before.is_some_and(|before| !before.is_sound()) {
        true => thorough(store, id, now, &mut |_| true)?,
        false => None,
    };
    let result = match result {
        Some(result) => result,
        None => verify(store, id, now)?,
    };
    vaults.record_verification(id, &result);
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
    if let Some(damage) = records::spoiling(&result) {
        let place = damage
            .frame
            .map_or(String::new(), |frame| format!(", frame {frame}"));
        return Err(format!("backup {id} is damaged: {}{place}: {}", damage.file, damage.what).into());
    }
    let opened = records::open(store, &manifest)?;
    Ok((manifest, opened))
}
