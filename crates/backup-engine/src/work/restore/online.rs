//! A restore through the client API, while the servers run.

use std::sync::Arc;

use vault_store::{Contents, Manifest, VaultId};
use zk_snapshot::restore::{Policy, RestoreOptions, RestoreReport, check_restore, restore};
use zk_snapshot::tree::ZnodePath;
use zk_snapshot::tree::reserved;

use super::first::{self, First};
use super::{Depth, open_sound};
use crate::requests::RestorePayload;
use crate::site::Site;
use crate::vaults::Vaults;
use crate::vaults::records::Opened;
use crate::work::context::JobContext;
use crate::work::failure::{Cause, Failure};
use crate::work::job_log::JobLog;
use crate::work::progress::Counted;
use crate::work::result::{JobResult, RestoreResult};

/// What is restored from, verified.
struct Sound {
    opened: Opened,
    /// Whether it is of this ensemble, which has gone on since.
    same_ensemble: bool,
    /// How many are in it, where that is known.
    znodes: Option<u64>,
    /// What is to be restored; none means everything.
    roots: Vec<ZnodePath>,
    /// What it cannot bring back.
    lacks: Vec<String>,
}

/// Writes what differs.
pub(super) async fn run(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
    id: &VaultId,
    payload: &RestorePayload,
    first: &mut First<'_>,
) -> Result<RestoreResult, Failure> {
    let progress = &context.progress;
    let sound = verified(vaults, site, context, (id, &payload.roots)).await?;
    let dry_run = payload.dry_run;
    let options = RestoreOptions {
        roots: sound.roots,
        renames: payload.renames.clone(),
        policy: payload.policy,
        dry_run,
        same_ensemble: sound.same_ensemble,
        sequence_limit: site.sequence_limit,
        counters_known: sound.opened.counters_known,
        znodes: sound.opened.znodes,
        now: context.now().unix_timestamp() * 1_000,
        permit: context.permit(),
        ledger: site.unfinished.of(&context.job.id, id.as_str()),
        ..RestoreOptions::default()
    };
    if first::is_wanted(payload) {
        // A restore that is refused needs no way back.
        let checked = check_restore(&sound.opened.records, &options);
        context.unless_stopped(checked).await??;
        first.take(vaults, site, context, payload).await?;
    }
    progress.phase("connecting");
    let client = context.unless_stopped(site.ensemble.connect()).await??;
    if let Err(failure) = first.check_left_out(context, &*client).await {
        client.close().await;
        return Err(failure);
    }
    progress.phase(if dry_run { "comparing" } else { "restoring" });
    if let Some(znodes) = sound.znodes {
        progress.expect(znodes);
    }
    let records = Arc::new(Counted::new(sound.opened.records, progress));
    let done = restore(records, &*client, &options).await;
    client.close().await;
    let report = match done {
        Ok(report) => report,
        Err(error) => {
            let cut = error.report().map(|report| RestoreResult {
                report: Some(report.clone()),
                ..RestoreResult::default()
            });
            return Err(Failure {
                cause: error.into(),
                result: cut.map_or(JobResult::Nothing, |done| JobResult::Restore(Box::new(done))),
            });
        }
    };
    if !dry_run {
        context.metrics.not_restored(report.failed, report.counters_left);
    }
    log_report(&context.log, &report);
    let failed = (!report.is_complete()).then(|| incomplete(&report, dry_run));
    let mut notes = notes(&report, &options);
    notes.extend(sound.lacks);
    let done = RestoreResult {
        dry_run: Some(dry_run),
        report: Some(report),
        notes: Some(notes),
        ..RestoreResult::default()
    };
    match failed {
        None => Ok(done),
        Some(message) => Err(Failure {
            cause: Cause::Said(message),
            result: JobResult::Restore(Box::new(done)),
        }),
    }
}

/// Verifies the vault before anything is written.
async fn verified(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
    (id, roots): (&VaultId, &[ZnodePath]),
) -> Result<Sound, Failure> {
    context.progress.phase("verifying");
    let (kept, here) = (Arc::clone(vaults), Arc::clone(site));
    let (vault, roots, now) = (id.clone(), roots.to_vec(), context.now());
    let stopped = context.stopped();
    let opening = tokio::task::spawn_blocking(move || {
        let (manifest, opened) = open_sound(&kept, &vault, Depth::Checksums, now, &stopped)?;
        // It may have been queued while another chroot was meant.
        here.refuse_whole_of_another_chroot(&manifest, &roots)?;
        let contents = manifest.contents.as_ref();
        Ok(Sound {
            same_ensemble: here.has_gone_on_since(&manifest, now),
            znodes: contents.map(|contents| contents.captured().znodes),
            roots: in_place_of(roots, &manifest),
            lacks: lacks(&manifest, &opened.lacks),
            opened,
        })
    });
    context.unless_stopped(opening).await??
}

/// What no restore of it can bring back, and what was `found` as it was opened.
fn lacks(manifest: &Manifest, found: &[String]) -> Vec<String> {
    let theirs = |what: &str| format!("the predecessor wrote the backup: {what}");
    let mut lacks: Vec<_> = manifest.lacks().iter().map(|what| theirs(what)).collect();
    lacks.extend(found.iter().map(|what| theirs(what)));
    let unreadable = match &manifest.contents {
        Some(Contents::Hierarchical(walked)) => walked.skipped.unreadable,
        _ => 0,
    };
    if unreadable > 0 {
        lacks.push(format!(
            "the backup is partial: {unreadable} znodes could not be read in full when it was taken"
        ));
    } else if let (true, Some(reason)) = (manifest.is_partial(), manifest.reason()) {
        lacks.push(format!("when the backup was taken: {reason}"));
    }
    lacks
}

/// What the predecessor has only as what is above others stands for all of these: whether it was asked for the one or for the others is not known.
fn in_place_of(roots: Vec<ZnodePath>, manifest: &Manifest) -> Vec<ZnodePath> {
    if manifest.predecessor.is_none() {
        return roots;
    }
    let had = manifest.roots.iter().flatten();
    let had: Vec<_> = had.filter_map(|root| ZnodePath::parse(root).ok()).collect();
    let first_below = |root: ZnodePath| {
        let below: Vec<_> = had.iter().filter(|had| had.is_within(&root)).cloned().collect();
        if below.is_empty() { vec![root] } else { below }
    };
    roots.into_iter().flat_map(first_below).collect()
}

fn log_report(log: &JobLog, report: &RestoreReport) {
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
}

/// What a restore that went through to its end has not done, or would not do.
fn incomplete(report: &RestoreReport, dry_run: bool) -> String {
    let first = report
        .failures
        .first()
        .map_or(String::new(), |f| format!(", the first {}: {}", f.path, f.why));
    let (failed, changes) = (report.failed, report.changes());
    match dry_run {
        true => format!(
            "{failed} znodes would not be brought back{first}; nothing was written, and a restore would make {changes} changes"
        ),
        false => format!("{failed} znodes could not be brought back{first}; {changes} changes were made"),
    }
}

/// What people should know before they look at the figures.
fn notes(report: &RestoreReport, options: &RestoreOptions) -> Vec<String> {
    let mut notes = Vec::new();
    let would = if options.dry_run { "would be" } else { "were" };
    if options.policy == Policy::Missing && report.unchanged > 0 {
        notes.push(
            "what is there already was not compared with the backup: the policy leaves it as it is, and the unchanged znodes are these".to_owned(),
        );
    }
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
    if report.unseen > 0 {
        notes.push(format!(
            "{} znodes may not be read: their ACLs would be changed to look at them. How they differ is not in the figures. Of those that are \
             not in the backup what is below would be deleted, which is not in the figures either, and the ACLs put back where they stay, as \
             above ephemeral znodes",
            report.unseen
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
    if options.roots.iter().any(reserved::is_reserved) {
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
