use std::sync::Arc;

use job_queue::Job;
use vault_store::{Outcome, VaultId, verify};
use zk_snapshot::{
    RecordSource, RestoreError, RestoreOptions, RestoreReport, ZnodePath, check_restore, restore,
};

use super::Failure;
use super::log::JobLog;
use super::recover;
use super::result::{Done, JobResult, Restored, Source};
use crate::kind;
use crate::parts::{Parts, Progress};
use crate::records::{self, Opened};
use crate::request::RestorePayload;
use crate::{Client, Strategy};

/// Brings a vault back, or says what that would change.
pub(super) async fn run(
    parts: &Arc<Parts>,
    job: &Job,
    log: &JobLog,
    progress: &Arc<Progress>,
) -> Result<JobResult, Failure> {
    let done = bring_back(parts, job, log, progress).await;
    if let Err(failure) = &done {
        log.error(&failure.message);
    }
    let (blocking, vault) = (Arc::clone(parts), kind::vault(job).to_owned());
    let source = tokio::task::spawn_blocking(move || source(&blocking, &vault)).await?;
    match done {
        Ok(done) => Ok(restored(done, source)),
        Err(failure) => {
            let done = match failure.result {
                JobResult::Restore(restored) => restored.done,
                _ => Done::Nothing {},
            };
            Err(Failure {
                message: failure.message,
                result: restored(done, source),
            })
        }
    }
}

fn restored(done: Done, source: Option<Source>) -> JobResult {
    JobResult::Restore(Box::new(Restored { done, source }))
}

fn source(parts: &Parts, vault: &str) -> Option<Source> {
    let manifest = parts.vaults.manifest(&vault.parse().ok()?).ok()?;
    Some(Source {
        consistency: manifest.consistency(),
        partial: manifest.is_partial(),
    })
}

async fn bring_back(
    parts: &Arc<Parts>,
    job: &Job,
    log: &JobLog,
    progress: &Arc<Progress>,
) -> Result<Done, Failure> {
    let id: VaultId = kind::vault(job).parse()?;
    let payload: RestorePayload = serde_json::from_value(job.payload.clone())?;
    log.info(&format!(
        "{} backup {id}",
        if payload.dry_run {
            "comparing with"
        } else {
            "restoring"
        }
    ));
    let _held = parts.hold(&id);
    if payload.strategy == Strategy::Files {
        return recover::run(parts, &id, &payload, log, progress).await;
    }
    progress.phase("verifying");
    let (blocking, vault) = (Arc::clone(parts), id.clone());
    let opened = tokio::task::spawn_blocking(move || open_sound(&blocking, &vault)).await??;
    progress.phase("connecting");
    let client = parts.ensemble.connect().await?;
    progress.phase("restoring");
    let dry_run = payload.dry_run;
    let options = RestoreOptions {
        renames: payload.renames.clone(),
        policy: payload.policy,
        dry_run,
        same_ensemble: opened.same_history,
        sequence_limit: parts.sequence_limit,
        counters_known: opened.counters_known,
        now: parts.now().unix_timestamp() * 1_000,
        ledger: parts.unfinished.of(&job.id, id.as_str()),
        ..RestoreOptions::default()
    };
    let done = restore_all(opened.records, &*client, &payload.roots, &options).await;
    client.close().await;
    let (report, notes) = match done {
        Ok(done) => done,
        Err(error) => {
            let cut = error.report().map(|report| Done::Cut {
                report: report.clone(),
            });
            return Err(Failure {
                message: error.to_string(),
                result: cut.map_or(JobResult::Nothing, |done| restored(done, None)),
            });
        }
    };
    if !dry_run {
        parts.metrics.not_restored(report.failed, report.counters_left);
    }
    for path in &report.unfinished_paths {
        log.error(&format!("{path} is unfinished"));
    }
    log.info(&format!(
        "{} created, {} data and {} ACLs changed, {} deleted, {} unchanged, {} left alone, {} failed; \
         {} counters of sequential children raised, {} left behind",
        report.created,
        report.data_changed,
        report.acl_changed,
        report.deleted,
        report.unchanged,
        report.left_alone,
        report.failed,
        report.counters_raised,
        report.counters_left
    ));
    let failed = (!report.is_complete()).then(|| incomplete(&report));
    let done = Done::Online {
        dry_run,
        report,
        notes,
    };
    match failed {
        None => Ok(done),
        Some(message) => Err(Failure {
            message,
            result: restored(done, None),
        }),
    }
}

fn incomplete(report: &RestoreReport) -> String {
    let first = report
        .failures
        .first()
        .map_or(String::new(), |f| format!(", the first {}: {}", f.path, f.why));
    format!(
        "{} znodes could not be brought back{first}; {} changes were made",
        report.failed,
        report.changes()
    )
}

/// The records of a vault that was read and checked.
pub(super) fn open_sound(parts: &Parts, id: &VaultId) -> Result<Opened, Failure> {
    let manifest = parts.vaults.manifest(id)?;
    if let Outcome::Failed { reason } = &manifest.outcome {
        return Err(format!("backup {id} failed and holds nothing to restore: {reason}").into());
    }
    let result = verify(&*parts.vaults, id, parts.now())?;
    parts
        .vaults
        .record_verification(id, &result)
        .unwrap_or_else(|error| {
            log::warn!("the verification of {id} could not be recorded: {error}");
        });
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
    Ok(records::open(parts, &manifest)?)
}

/// Quotas come last, so that they cannot stand in the way of what they limit.
async fn restore_all(
    source: Arc<dyn RecordSource>,
    client: &dyn Client,
    roots: &[ZnodePath],
    options: &RestoreOptions,
) -> Result<(RestoreReport, Vec<String>), RestoreError> {
    let within_zookeeper = |root: &ZnodePath| format!("{root}/").starts_with("/zookeeper/");
    let (quota, others): (Vec<_>, Vec<_>) = roots.iter().cloned().partition(within_zookeeper);
    let options = |roots| RestoreOptions {
        roots,
        ..options.clone()
    };
    if !quota.is_empty() && !others.is_empty() {
        // The second part must not be refused when the first one has been written.
        check_restore(&source, &options(roots.to_vec())).await?;
    }
    let mut report = RestoreReport::default();
    if quota.is_empty() || !others.is_empty() {
        report = restore(Arc::clone(&source), client, &options(others)).await?;
    }
    let with_quota = !quota.is_empty();
    if with_quota {
        report = match restore(source, client, &options(quota)).await {
            Ok(second) => report.and(second),
            Err(error) => return Err(error.after(report)),
        };
    }
    let notes = notes(&report, options(Vec::new()).dry_run, with_quota);
    Ok((report, notes))
}

/// What people should know before they look at the figures.
fn notes(report: &RestoreReport, dry_run: bool, with_quota: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let would = if dry_run { "would be" } else { "were" };
    for (place, deleted) in &report.deleted_below {
        notes.push(format!(
            "{deleted} live znodes below {place}, where something else is restored to, are not in the backup and {would} deleted"
        ));
    }
    if report.unknown > 0 {
        notes.push(format!(
            "{} znodes that were asked for are not known to the backup, which could not read them: they were left as they are",
            report.unknown
        ));
    }
    if report.met > 0 {
        notes.push(format!(
            "{} znodes were created by others meanwhile, and left as they are",
            report.met
        ));
    }
    if report.unfinished > 0 {
        notes.push(format!(
            "{} znodes that this restore or an earlier one has begun are not finished",
            report.unfinished
        ));
    }
    if with_quota {
        notes.push(
            "/zookeeper/config is never written; quota statistics (zookeeper_stats) are created where they are missing, and counted \
             by the server itself"
                .to_owned(),
        );
    }
    if report.counters_left > 0 {
        notes.push(
            "the next sequential children of the parents left behind may get numbers that were given before"
                .to_owned(),
        );
    }
    notes
}
