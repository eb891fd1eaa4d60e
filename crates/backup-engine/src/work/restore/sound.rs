//! A vault that is read and checked before anything is written.

use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{Manifest, Outcome, VaultId, Verification, verify_while};
use zk_snapshot::restore::RestoreError;

use crate::kind;
use crate::vaults::Vaults;
use crate::vaults::records::{self, Opened};
use crate::vaults::thorough::{Extent, Step, damage_of, miscounted, thorough};
use crate::work::context::JobContext;
use crate::work::failure::{Cause, Failure};
use crate::work::stop::Stopped;

/// How deep it is looked into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::work) enum Depth {
    /// As deep as checksums tell. Whoever reads the records counts them ([`Opened::znodes`]).
    Checksums,
    /// As a verification looks into it, and a server loads it.
    Loaded,
}

/// The records of a vault that was read and checked. `stopped` is asked between two frames.
pub(in crate::work) fn open_sound(
    vaults: &Vaults,
    id: &VaultId,
    depth: Depth,
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
    let is_thorough = depth == Depth::Loaded
        || manifest.predecessor.is_some()
        || before.is_some_and(|before| !before.is_sound());
    let result = match is_thorough {
        true => thorough(store, id, now, Extent::Restored, &mut go_on)?.map(|checked| checked.found),
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

/// A failure, as it is told. Where it is that a vault has not as many znodes as it says, which no checksum tells, that is noted with the vault.
pub(in crate::work) async fn note_damage(
    vaults: &Arc<Vaults>,
    context: &JobContext,
    failure: Failure,
) -> Failure {
    let Cause::Restore(RestoreError::Miscounted { there, said }) = failure.cause else {
        return failure;
    };
    let (kept, id, now) = (
        Arc::clone(vaults),
        kind::vault(&context.job).to_owned(),
        context.now(),
    );
    let unnoted =
        format!("backup {id} is damaged: {there} znodes of {said} are there, and that cannot be noted");
    let noting = tokio::task::spawn_blocking(move || {
        let id: VaultId = id.parse()?;
        let damage = miscounted(&kept.store.manifest(&id)?, there, said);
        kept.record_damage(&id, &Verification::new(now, vec![damage.clone()]));
        Ok::<_, Cause>(Cause::Said(format!("backup {id} is damaged: {damage}")))
    });
    let noted = noting.await.unwrap_or_else(|error| Err(error.into()));
    Failure {
        cause: noted.unwrap_or_else(|error| Cause::Said(format!("{unnoted}: {error}"))),
        ..failure
    }
}
