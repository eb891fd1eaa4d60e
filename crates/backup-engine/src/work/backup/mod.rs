//! A backup: a vault is staged in one of two ways, and committed, or it tells why it failed.

mod files;
mod hierarchical;
mod index;
mod known_acls;
mod left;
mod transactional;

use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{Contents, FileEntry, Manifest, Mode, Outcome, Stage, StoreError, VaultId};

use super::context::JobContext;
use super::counting::EndedBackup;
use super::failure::{Cause, Failure, caught};
use super::result::JobResult;
use crate::kind::{self, JobKind};
use crate::requests::BackupRequest;
use crate::site::Site;
use crate::vaults::Vaults;
use crate::vaults::records::LOG;

/// What is ready to be committed.
struct Staged {
    stage: Box<dyn Stage>,
    files: Vec<FileEntry>,
    /// For the manifest.
    contents: Contents,
    outcome: Outcome,
}

/// Writes the vault of the job.
pub(super) async fn run(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
) -> Result<JobResult, Failure> {
    let id: VaultId = kind::vault(&context.job).parse()?;
    let request: BackupRequest = serde_json::from_value(context.job.payload.clone())?;
    let manifest = begun(&id, &request, context);
    take(vaults, site, context, &request, manifest).await
}

/// Writes the vault of `manifest`. If that fails, a vault that says so is written instead, where that is possible; one that is
/// stopped leaves nothing.
pub(super) async fn take(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
    request: &BackupRequest,
    manifest: Manifest,
) -> Result<JobResult, Failure> {
    let roots = manifest.roots.as_ref();
    let what = roots.map_or("everything".to_owned(), |roots| roots.join(", "));
    context.log.info(&format!("backing up {what}"));
    let stored = async {
        let left = left::find(site, context, request).await?;
        let mut staged = stage(vaults, site, context, &manifest, request).await?;
        left::mark(&mut staged, left, &manifest, context);
        commit(vaults, context, staged, manifest.clone()).await
    };
    let done = caught(stored).await;
    match done {
        Ok(committed) => judge(vaults, context, request, committed).await,
        Err(failure) => {
            tell_failure(vaults, context, (manifest, request), &failure).await;
            Err(failure)
        }
    }
}

/// What a manifest says from the start.
pub(super) fn begun(id: &VaultId, request: &BackupRequest, context: &JobContext) -> Manifest {
    let mut manifest = Manifest::new(id, request.mode, context.now(), Outcome::Complete);
    manifest.pinned = request.pinned;
    manifest.sharded = request.sharded;
    manifest.scheduled = Some(context.job.scheduled);
    manifest.term = context.term;
    if !request.roots.is_empty() {
        manifest.roots = Some(request.roots.iter().map(ToString::to_string).collect());
    }
    manifest
}

async fn stage(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
    manifest: &Manifest,
    request: &BackupRequest,
) -> Result<Staged, Failure> {
    // Before a restore it was run already.
    if JobKind::of(&context.job) == JobKind::Backup {
        context.before().await?;
    }
    let (here, now) = (Arc::clone(site), context.now());
    let (kept, roots) = (Arc::clone(vaults), manifest.roots.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        let noted = note_files_that_lie_ready(&here, now);
        (noted, znodes_of_the_last(&kept, roots.as_ref()))
    });
    let (noted, expected) = prepared.await?;
    if let Some(expected) = expected {
        context.progress.expect(expected);
    }
    noted?;
    match request.mode {
        Mode::Hierarchical => hierarchical::stage(vaults, site, context, manifest, request).await,
        Mode::Transactional => transactional::stage(vaults, site, context, manifest, request).await,
    }
}

/// What is told of a backup that was committed. It is a failure where it lacks something that it may not.
async fn judge(
    vaults: &Arc<Vaults>,
    context: &JobContext,
    request: &BackupRequest,
    committed: Manifest,
) -> Result<JobResult, Failure> {
    let (kept, id) = (Arc::clone(vaults), committed.id.clone());
    let size = tokio::task::spawn_blocking(move || {
        kept.changed(&id);
        kept.store.size(&id).unwrap_or(0)
    });
    let size = size.await?;
    let seconds = (committed.finished_at - committed.started_at).as_seconds_f64();
    let contents = committed.contents.as_ref();
    let znodes = contents.map_or(0, |contents| contents.captured().znodes);
    let is_valid = committed.is_valid();
    let failure = match committed.outcome {
        Outcome::Partial { reason } if !is_valid => Some(reason),
        _ => None,
    };
    context.backup_ended(EndedBackup {
        mode: request.mode.as_str(),
        failed: failure.is_some(),
        seconds,
        size,
        znodes,
    });
    let result = committed.contents.map_or(JobResult::Nothing, |contents| {
        JobResult::Backup(Box::new(contents))
    });
    match failure {
        None => Ok(result),
        Some(reason) => Err(Failure {
            cause: Cause::Said(reason),
            result,
        }),
    }
}

/// Tells of a backup that was not committed, or may not have been. One that was stopped has left nothing to be told of.
async fn tell_failure(
    vaults: &Arc<Vaults>,
    context: &JobContext,
    (manifest, request): (Manifest, &BackupRequest),
    failure: &Failure,
) {
    let reason = failure.cause.to_string();
    context.log.error(&reason);
    let is_stored = !matches!(failure.result, JobResult::Nothing);
    if context.stop.reason().is_some() && !is_stored {
        return;
    }
    context.backup_ended(EndedBackup::failed(manifest.mode));
    if !is_stored {
        leave_a_failed_vault(vaults, context, (manifest, request), reason).await;
    }
}

/// A backup that is begun while files lie ready for a restore may still be of the history before it.
fn note_files_that_lie_ready(site: &Site, now: OffsetDateTime) -> Result<(), StoreError> {
    match site.history.files_lie_ready() {
        Ok(false) => Ok(()),
        Ok(true) | Err(_) => site.history.break_off(now),
    }
}

/// The znodes of the newest good backup of the same roots: there will be about as many.
fn znodes_of_the_last(vaults: &Vaults, roots: Option<&Vec<String>>) -> Option<u64> {
    let all = vaults.all_at_hand().inspect_err(|error| {
        log::warn!("how many znodes to expect is not known: {error}");
    });
    let all = all.ok()?;
    let mut manifests = all
        .iter()
        .rev()
        .filter_map(|stored| stored.manifest.as_ref().ok());
    let last = manifests.find(|manifest| manifest.is_valid() && manifest.roots.as_ref() == roots)?;
    Some(last.contents.as_ref()?.captured().znodes)
}

/// Commits what is staged. A failure has a result where it was stored all the same.
async fn commit(
    vaults: &Arc<Vaults>,
    context: &JobContext,
    staged: Staged,
    mut manifest: Manifest,
) -> Result<Manifest, Failure> {
    context.check_stop()?;
    context.progress.phase("committing");
    let Staged {
        mut stage,
        files,
        contents,
        outcome,
    } = staged;
    if let Outcome::Partial { reason } = &outcome {
        context.log.error(reason);
    }
    manifest.contents = Some(contents);
    end(&mut manifest, outcome, context.now());
    manifest.files.extend(files);
    let (text, vaults) = (context.log.text(), Arc::clone(vaults));
    tokio::task::spawn_blocking(move || {
        add_log(&mut *stage, &mut manifest, &text)?;
        let Err(error) = stage.commit(&manifest) else {
            return Ok(manifest);
        };
        // The answer alone may have been lost.
        vaults.changed(&manifest.id);
        match (vaults.store.manifest(&manifest.id), manifest.contents) {
            (Ok(_), Some(contents)) => Err(Failure {
                cause: Cause::Said(format!("{error}; it was stored all the same")),
                result: JobResult::Backup(Box::new(contents)),
            }),
            _ => Err(error.into()),
        }
    })
    .await?
}

/// One that was to be a way back from a restore, and is none, is not kept for that: nobody has asked for it.
fn end(manifest: &mut Manifest, outcome: Outcome, now: OffsetDateTime) {
    manifest.finished_at = now;
    manifest.pinned &= manifest.before_restore_of.is_none() || outcome == Outcome::Complete;
    manifest.outcome = outcome;
}

fn add_log(stage: &mut dyn Stage, manifest: &mut Manifest, text: &str) -> Result<(), StoreError> {
    manifest.files.push(stage.put(&LOG, text.as_bytes())?);
    Ok(())
}

/// So that the failure is listed. Where the storage itself failed this may fail too; the job tells all the same.
async fn leave_a_failed_vault(
    vaults: &Arc<Vaults>,
    context: &JobContext,
    (mut manifest, request): (Manifest, &BackupRequest),
    reason: String,
) {
    let (vaults, log, storage) = (Arc::clone(vaults), &context.log, request.storage.clone());
    end(&mut manifest, Outcome::Failed { reason }, context.now());
    let text = context.log.text();
    let left = tokio::task::spawn_blocking(move || {
        let mut stage = vaults.store.stage_in(storage.as_deref(), &manifest.id)?;
        add_log(&mut *stage, &mut manifest, &text)?;
        stage.commit(&manifest)?;
        vaults.changed(&manifest.id);
        Ok::<_, Failure>(())
    });
    match left.await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => log.error(&format!("the failure could not be stored: {}", failure.cause)),
        Err(error) => log.error(&format!("the failure could not be stored: {error}")),
    }
}
