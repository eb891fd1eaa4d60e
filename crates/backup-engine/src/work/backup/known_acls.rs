//! What earlier backups know, so that this one need not ask.

use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{Reader, StoreError, VaultId, VaultStore, verify_file};
use zk_snapshot::capture::AclIndex;

use crate::site::Site;
use crate::vaults::records::ACLS;

/// Backups that are looked at, the newest first.
const LOOKED_AT: usize = 50;
/// That of 300 million znodes.
const LARGEST: u64 = 4 << 30;

/// What earlier backups tell.
#[derive(Default)]
pub(super) struct Known {
    /// ACLs, and the backup that they are of.
    pub(super) acls: Option<(VaultId, Arc<AclIndex>)>,
    /// The newest zxid of that backup, if it was asked for the same: that of one that can read all of it cannot be smaller within one history.
    pub(super) newest_zxid: Option<i64>,
    /// Newer backups that may know more, and are sealed.
    pub(super) sealed: usize,
}

enum Found {
    Acls(AclIndex, Option<i64>),
    Sealed,
    Nothing,
}

/// The ACLs of the newest backup of the ensemble that covers `roots`, and that is of the history which goes on. Whatever
/// is wrong with an earlier backup is not this one's trouble: then there are none.
pub(super) fn newest(
    store: &dyn VaultStore,
    site: &Site,
    roots: Option<&Vec<String>>,
    now: OffsetDateTime,
) -> Known {
    let source = site.ensemble.name();
    let begin = site.history.begin(now);
    let mut known = Known::default();
    let Ok(ids) = store.ids() else { return known };
    let earlier = ids.into_iter().rev().take(LOOKED_AT);
    for id in earlier {
        match acls_of(store, &id, &source, roots, begin) {
            Ok(Found::Acls(index, newest_zxid)) => {
                known.acls = Some((id, Arc::new(index)));
                known.newest_zxid = newest_zxid;
                break;
            }
            Ok(Found::Sealed) => known.sealed += 1,
            Ok(Found::Nothing) => {}
            Err(why) => log::warn!("the ACLs of backup {id} are of no use: {why}"),
        }
    }
    known
}

fn acls_of(
    store: &dyn VaultStore,
    id: &VaultId,
    source: &str,
    roots: Option<&Vec<String>>,
    begin: Option<OffsetDateTime>,
) -> Result<Found, String> {
    let manifest = match store.manifest(id) {
        Ok(manifest) => manifest,
        Err(StoreError::Unsupported { .. }) => return Ok(Found::Nothing),
        Err(error) => return Err(error.to_string()),
    };
    if manifest.sealed.is_some() {
        return Ok(Found::Sealed);
    }
    if begin.is_some_and(|begin| manifest.started_at <= begin) {
        return Ok(Found::Nothing);
    }
    let covers = manifest.was_asked_for(roots);
    let Some(entry) = manifest.files.iter().find(|file| file.name == ACLS && covers) else {
        return Ok(Found::Nothing);
    };
    if entry.bytes > LARGEST {
        return Err(format!("{ACLS} is said to have {} bytes", entry.bytes));
    }
    let damage = verify_file(store, id, entry).map_err(|error| error.to_string())?;
    if let Some(damage) = damage.first() {
        return Err(format!("{ACLS} is damaged: {}", damage.what));
    }
    let file = store.open(id, &ACLS).map_err(|error| error.to_string())?;
    let index = AclIndex::read(Reader::new(file), source).map_err(|error| error.to_string())?;
    let contents = manifest.contents.as_ref();
    let newest_zxid = contents
        .filter(|_| manifest.roots.as_ref() == roots)
        .map(|contents| contents.captured().zxid.newest.0);
    Ok(index.map_or(Found::Nothing, |index| Found::Acls(index, newest_zxid)))
}
