//! A restore: through the client API, or by files.

mod by_files;
mod comparing;
mod epoch;
mod first;
mod online;
mod placing;
mod private_files;
mod restart;
mod sound;

use std::sync::Arc;

use job_queue::StopReason;
use vault_store::VaultId;
use zk_snapshot::tree::ZnodePath;

use self::first::First;
pub(super) use self::sound::{Depth, note_damage, open_sound};
use super::context::JobContext;
use super::failure::Failure;
use super::result::{JobResult, RestoreResult, RestoredFrom, SECOND_READ};
use crate::kind;
use crate::requests::{Ids, RestorePayload, Strategy};
use crate::site::{Asked, Site};
use crate::vaults::Vaults;

/// Brings a vault back, or says what that would change.
pub(super) async fn run(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    ids: &Arc<Ids>,
    context: &JobContext,
) -> Result<JobResult, Failure> {
    let payload: RestorePayload = serde_json::from_value(context.job.payload.clone())?;
    let asked = match payload.dry_run {
        true => None,
        false => {
            let begun = note_begin(vaults, site, context, &payload).await;
            Some(begun.inspect_err(|failure| context.log.error(&failure.cause.to_string()))?)
        }
    };
    let reads = vaults.reads_of_second(&kind::vault(&context.job).parse()?);
    let mut first = First::new(ids);
    let mut done = bring_back(vaults, site, context, &payload, &mut first).await;
    if let Err(failure) = done {
        done = Err(note_damage(vaults, context, failure).await);
    }
    if let Err(failure) = &done {
        context.log.error(&failure.cause.to_string());
    }
    if let Some(asked) = asked {
        // Files that are placed are nothing yet, until servers have them.
        let is_there = |done: &RestoreResult| {
            let placed = done.files.as_ref().and_then(|files| files.placed.as_ref());
            placed.is_none_or(|placed| !placed.verified.is_empty())
        };
        note_end(site, context, asked, done.as_ref().is_ok_and(is_there)).await;
    }
    let mut makes_up_for = Vec::new();
    if payload.dry_run && done.is_ok() {
        match would_make_up_for(vaults, site, context, &payload).await {
            Ok(jobs) => makes_up_for = jobs,
            Err(Failure { cause, .. }) => context.log.error(&format!(
                "which interrupted restores it makes up for is not known: {cause}"
            )),
        }
    }
    let (kept, vault) = (Arc::clone(vaults), kind::vault(&context.job).to_owned());
    let source = tokio::task::spawn_blocking(move || source(&kept, &vault, reads)).await?;
    if source.is_some_and(|source| source.copy.is_some()) {
        context.log.info(SECOND_READ);
    }
    let whole = |done: RestoreResult| {
        let mut notes = done.notes;
        // Where nothing was begun nothing is to be undone.
        if done.report.is_some() {
            notes.get_or_insert_default().extend(first.notes());
        }
        JobResult::Restore(Box::new(RestoreResult {
            source,
            backup_first: first.id,
            makes_up_for,
            notes,
            ..done
        }))
    };
    match done {
        Ok(done) => Ok(whole(done)),
        Err(failure) => {
            let done = match failure.result {
                JobResult::Restore(done) => *done,
                _ => RestoreResult::default(),
            };
            Err(Failure {
                cause: failure.cause,
                result: whole(done),
            })
        }
    }
}

/// Notes that it begins to write, and what.
async fn note_begin(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
    payload: &RestorePayload,
) -> Result<Asked, Failure> {
    let (vaults, site, job) = (Arc::clone(vaults), Arc::clone(site), context.job.id.clone());
    let (vault, payload) = (kind::vault(&context.job).to_owned(), payload.clone());
    let noting = tokio::task::spawn_blocking(move || {
        let asked = asked(&vaults, vault, payload)?;
        site.interrupted.begin(&job, &asked)?;
        Ok(asked)
    });
    noting.await?
}

/// Which interrupted restores it would make up for, if it was to write.
async fn would_make_up_for(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
    payload: &RestorePayload,
) -> Result<Vec<String>, Failure> {
    let (vaults, site) = (Arc::clone(vaults), Arc::clone(site));
    let (vault, payload) = (kind::vault(&context.job).to_owned(), payload.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let asked = asked(&vaults, vault, payload)?;
        Ok(site.interrupted.made_up_for_by(&asked))
    });
    looking.await?
}

/// What a restore is asked for, and where it writes. Blocks.
fn asked(vaults: &Vaults, vault: String, payload: RestorePayload) -> Result<Asked, Failure> {
    let held = vaults.store.manifest(&vault.parse()?)?.roots;
    // Of a backup of some subtrees everything is these.
    let written = match held {
        Some(held) if payload.roots.is_empty() => {
            let held = held.iter().map(|root| ZnodePath::parse(root));
            held.collect::<Result<_, _>>()
                .map_err(|error| error.to_string())?
        }
        _ => payload.roots.clone(),
    };
    Ok(Asked {
        vault,
        targets: first::targets(&written, &payload.renames),
        roots: payload.roots,
        policy: payload.policy,
        renames: Some(payload.renames),
        by_files: payload.strategy == Strategy::Files,
    })
}

/// Notes that it has not been cut off. One whose claim is lost was: whoever has it now tells so.
async fn note_end(site: &Arc<Site>, context: &JobContext, asked: Asked, successful: bool) {
    if context.stop.reason() == Some(StopReason::Lost) {
        return;
    }
    let (site, job) = (Arc::clone(site), context.job.id.clone());
    let noted = tokio::task::spawn_blocking(move || site.interrupted.end(&job, &asked, successful)).await;
    let why = match noted {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let words = format!("that it has ended could not be noted, so it may be taken for interrupted: {why}");
    context.log.error(&words);
}

fn source(vaults: &Vaults, vault: &str, reads: u64) -> Option<RestoredFrom> {
    let id = vault.parse().ok()?;
    let manifest = vaults.store.manifest(&id).ok()?;
    Some(RestoredFrom {
        copy: vaults.read_since(&id, reads),
        consistency: manifest.consistency(),
        partial: manifest.is_partial(),
    })
}

async fn bring_back(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
    payload: &RestorePayload,
    first: &mut First<'_>,
) -> Result<RestoreResult, Failure> {
    let id: VaultId = kind::vault(&context.job).parse()?;
    let doing = if payload.dry_run {
        "comparing with"
    } else {
        "restoring"
    };
    context.log.info(&format!("{doing} backup {id}"));
    context.before().await?;
    let (kept, vault) = (Arc::clone(vaults), id.clone());
    let _held = tokio::task::spawn_blocking(move || kept.hold(&vault)).await?;
    match payload.strategy {
        Strategy::Online => online::run(vaults, site, context, &id, payload, first).await,
        Strategy::Files => by_files::run(vaults, site, context, &id, payload, first).await,
    }
}
