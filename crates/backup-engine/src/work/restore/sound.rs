//! A vault that is read and checked before anything is written.

use time::OffsetDateTime;
use vault_store::{Manifest, Outcome, VaultId, verify};

use crate::vaults::Vaults;
use crate::vaults::records::{self, Opened};
use crate::work::failure::Failure;

/// The records of a vault that was read and checked.
pub(super) fn open_sound(
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
    let result = verify(store, id, now)?;
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
