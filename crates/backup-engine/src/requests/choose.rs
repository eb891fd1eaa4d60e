//! Which backup a restore is of.

use vault_store::{Manifest, VaultId};
use zk_snapshot::tree::ZnodePath;

use super::request::{RestoreRequest, RestoreSource, Strategy};
use crate::clock::ms;
use crate::error::parse_id;
use crate::site::Site;
use crate::vaults::{LATEST, Stored, Vaults};
use crate::{EngineError, Mode};

/// The backup that `request` names, or the one that it means by a time.
pub(super) fn vault(vaults: &Vaults, site: &Site, request: &RestoreRequest) -> Result<VaultId, EngineError> {
    let (asked, before) = match &request.source {
        RestoreSource::Vault(id) if id == LATEST => (i64::MAX, true),
        RestoreSource::Vault(id) => return named(vaults, site, id, request),
        RestoreSource::Since(ms) => (*ms, false),
        RestoreSource::Before(ms) => (*ms, true),
    };
    let mut all = vaults.all_to_choose()?;
    if before {
        all.reverse();
    }
    let is_whole = site.ensemble.chroot().is_none();
    for stored in all {
        let taken = ms(stored.date());
        let in_time = if before { taken <= asked } else { taken >= asked };
        if in_time {
            match vaults.check_is_in(&stored.id, request.storage.as_deref()) {
                Err(EngineError::Elsewhere { .. }) => continue,
                known => known?,
            }
        }
        let manifest = match &stored.manifest {
            Ok(manifest) => manifest,
            // It may be the one: another one must not stand in for it.
            Err(unreadable) if unreadable.is_passing && in_time => {
                return Err(EngineError::Storage(
                    format!("backup {}: {}", stored.id, unreadable.why).into(),
                ));
            }
            Err(_) => continue,
        };
        if stored.is_before_a_restore() {
            continue;
        }
        if in_time && manifest.sealed.is_some() && may_cover(manifest, request) && stored.is_valid() {
            manifest.require_open()?; // likewise
        }
        if in_time
            && covers(manifest, request)
            && site.has_the_chroot_of(manifest)
            && (is_whole || !is_transactional(manifest))
            && Stored::read(&*vaults.store, &stored.id)?.is_valid()
        {
            return Ok(stored.id.clone());
        }
    }
    let when = match before {
        true if asked == i64::MAX => String::new(),
        true => format!(", at or before {asked} ms,"),
        false => format!(", at or after {asked} ms,"),
    };
    let transactional = match request.strategy {
        Strategy::Files => "transactional, ",
        Strategy::Online => "",
    };
    Err(EngineError::BackupNotFound(format!(
        "that is {transactional}valid and has what is asked for{when}"
    )))
}

fn named(vaults: &Vaults, site: &Site, id: &str, request: &RestoreRequest) -> Result<VaultId, EngineError> {
    let id = parse_id(id)?;
    if !vaults.contains(&id)? {
        return Err(EngineError::BackupNotFound(id.to_string()));
    }
    vaults.check_is_in(&id, request.storage.as_deref())?;
    // One that cannot be read fails the job, which says why.
    if let Ok(manifest) = vaults.store.manifest(&id) {
        manifest.require_open()?;
        if is_transactional(&manifest) {
            site.refuse_chroot(&format!("backup {id} is transactional, so"))?;
        }
        site.refuse_whole_of_another_chroot(&manifest, &request.roots)?;
    }
    Ok(id)
}

fn is_transactional(manifest: &Manifest) -> bool {
    manifest.mode == Mode::Transactional
}

/// Whether the backup was asked for all that the restore is. That it had it is only told by reading it.
fn covers(manifest: &Manifest, request: &RestoreRequest) -> bool {
    if request.strategy == Strategy::Files && !is_transactional(manifest) {
        return false;
    }
    let Some(roots) = &manifest.roots else {
        return true;
    };
    let had = |wanted: &ZnodePath| {
        let root = |text: &String| ZnodePath::parse(text).is_ok_and(|root| wanted.is_within(&root));
        roots.iter().any(root)
    };
    !request.roots.is_empty() && request.roots.iter().all(had)
}

/// The same of a sealed backup, which does not tell what it was asked for.
fn may_cover(manifest: &Manifest, request: &RestoreRequest) -> bool {
    if request.strategy == Strategy::Files {
        return is_transactional(manifest);
    }
    !manifest.is_granular() || !request.roots.is_empty()
}
