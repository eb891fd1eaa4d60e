//! Which backup a restore is of.

use vault_store::{Manifest, VaultId};
use zk_snapshot::ZnodePath;

use crate::engine::parse_id;
use crate::parts::Parts;
use crate::view::{describe, ms};
use crate::{EngineError, InvalidRequest, Mode, RestoreRequest, RestoreSource, Strategy};

/// The backup that `request` names, or the one that it means by a time.
pub(crate) fn vault(parts: &Parts, request: &RestoreRequest) -> Result<VaultId, EngineError> {
    let mut ids = parts.vaults.ids()?;
    let (asked, before) = match &request.source {
        RestoreSource::Vault(id) => {
            let id = parse_id(id)?;
            if !ids.contains(&id) {
                return Err(EngineError::BackupNotFound(id.to_string()));
            }
            if parts.vaults.manifest(&id).is_ok_and(|m| is_transactional(&m)) {
                refuse_chroot(parts, &format!("backup {id} is transactional, so"))?;
            }
            return Ok(id);
        }
        RestoreSource::Since(ms) => (*ms, false),
        RestoreSource::Before(ms) => (*ms, true),
    };
    if before {
        ids.reverse();
    }
    let ours = parts.ensemble.chroot().map_or(String::new(), String::from);
    for id in ids {
        let Ok(manifest) = parts.vaults.manifest(&id) else {
            continue;
        };
        let taken = ms(manifest.date());
        let in_time = if before { taken <= asked } else { taken >= asked };
        if in_time
            && covers(&manifest, request)
            && chroot_of(&manifest) == ours
            && (ours.is_empty() || !is_transactional(&manifest))
            && describe(&*parts.vaults, &id)?.is_valid()
        {
            return Ok(id);
        }
    }
    let when = if before { "before" } else { "after" };
    Err(EngineError::BackupNotFound(format!(
        "that is valid and has what is asked for, at or {when} {asked} ms,"
    )))
}

/// Where `/` is only a part of the tree, what is of the whole of it cannot be had.
pub(crate) fn refuse_chroot(parts: &Parts, what: &str) -> Result<(), EngineError> {
    match parts.ensemble.chroot() {
        None => Ok(()),
        Some(chroot) => Err(InvalidRequest::BelowChroot {
            what: what.to_owned(),
            chroot,
        }
        .into()),
    }
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

/// The chroot in the name of the ensemble that it is of.
fn chroot_of(manifest: &Manifest) -> &str {
    manifest
        .source()
        .and_then(|source| source.find('/').and_then(|at| source.get(at..)))
        .unwrap_or_default()
}
