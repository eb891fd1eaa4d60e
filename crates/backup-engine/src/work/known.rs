//! What earlier backups know, so that this one need not ask.

use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{Reader, StoreError, VaultId, VaultStore, verify_file};
use zk_snapshot::AclIndex;

use crate::history;
use crate::parts::Parts;
use crate::records::ACLS;

/// Backups that are looked at, the newest first.
const LOOKED_AT: usize = 50;
/// That of 300 million znodes.
const LARGEST: u64 = 4 << 30;

/// The ACLs of the newest backup of the ensemble that covers `roots`, and that is of the history which goes on. Whatever
/// is wrong with an earlier backup is not this one's trouble: then there are none.
pub(super) fn acls(parts: &Parts, roots: Option<&Vec<String>>) -> Option<(VaultId, Arc<AclIndex>)> {
    let (vaults, source) = (&*parts.vaults, parts.ensemble.name());
    let begun = history::begun(parts);
    let ids = vaults.ids().ok()?;
    let earlier = ids.into_iter().rev().take(LOOKED_AT);
    for id in earlier {
        match acls_of(vaults, &id, &source, roots, begun) {
            Ok(Some(index)) => return Some((id, Arc::new(index))),
            Ok(None) => {}
            Err(why) => log::warn!("the ACLs of backup {id} are of no use: {why}"),
        }
    }
    None
}

fn acls_of(
    vaults: &dyn VaultStore,
    id: &VaultId,
    source: &str,
    roots: Option<&Vec<String>>,
    begun: Option<OffsetDateTime>,
) -> Result<Option<AclIndex>, String> {
    let manifest = match vaults.manifest(id) {
        Ok(manifest) => manifest,
        Err(StoreError::Unsupported { .. }) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if begun.is_some_and(|begun| manifest.started_at <= begun) {
        return Ok(None);
    }
    let covers = manifest.was_asked_for(roots);
    let Some(entry) = manifest.files.iter().find(|file| file.name == ACLS && covers) else {
        return Ok(None);
    };
    if entry.bytes > LARGEST {
        return Err(format!("{ACLS} is said to have {} bytes", entry.bytes));
    }
    let damage = verify_file(vaults, id, entry).map_err(|error| error.to_string())?;
    if let Some(damage) = damage.first() {
        return Err(format!("{ACLS} is damaged: {}", damage.what));
    }
    let file = vaults.open(id, &ACLS).map_err(|error| error.to_string())?;
    AclIndex::read(Reader::new(file), source).map_err(|error| error.to_string())
}
