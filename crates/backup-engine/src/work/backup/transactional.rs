//! A transactional backup: the state that servers keep, as one clean snapshot.

use std::io;
use std::sync::Arc;

use job_queue::Stop;
use sha2::{Digest, Sha256};
use vault_store::{
    AsOf, Captured, Consistency, Contents, Digests, Dropped, FileEntry, FileName, FrameEntry, Kinds,
    Manifest, Outcome, Stage, TakenFrom, Transactional, Zxid,
};
use zk_snapshot::files::{FileTree, Gathered};

use super::Staged;
use super::index::Index;
use crate::requests::BackupRequest;
use crate::site::Site;
use crate::vaults::Vaults;
use crate::work::context::JobContext;
use crate::work::failure::{Cause, Failure};
use crate::work::job_log::JobLog;
use crate::work::progress::Progress;

/// Writes what the first source has that has anything.
pub(super) async fn stage(
    vaults: &Arc<Vaults>,
    site: &Site,
    context: &JobContext,
    manifest: &Manifest,
    request: &BackupRequest,
) -> Result<Staged, Failure> {
    let JobContext {
        log,
        progress,
        metrics,
        ..
    } = context;
    // It may have been queued while the whole tree was meant.
    site.refuse_chroot("a transactional backup is")?;
    progress.phase("gathering");
    let mut refusals = Vec::new();
    for source in &site.states {
        match context.unless_stopped(source.gather(&*site.ensemble)).await? {
            Ok(gathered) => {
                tell(source.name(), &gathered, &refusals, log);
                let (store, id, counter) = (
                    Arc::clone(&vaults.store),
                    manifest.id.clone(),
                    Arc::clone(progress),
                );
                let contents = contents(site, request, source.name(), &gathered, &refusals);
                let (outcome, consistency) = (outcome(&gathered), claim(&gathered));
                progress.phase("writing");
                let (stop, storage) = (context.stop.clone(), request.storage.clone());
                let (stage, files) = tokio::task::spawn_blocking(move || {
                    let mut stage = store.stage_in(storage.as_deref(), &id)?;
                    let files = write(&gathered.tree, &mut *stage, &counter, &stop)?;
                    Ok::<_, Failure>((stage, files))
                })
                .await??;
                metrics.captured(consistency.as_str(), &[]);
                return Ok(Staged {
                    stage,
                    files,
                    contents,
                    outcome,
                });
            }
            Err(why) => refusals.push(format!("{}: {why}", source.name())),
        }
    }
    Err(if refusals.is_empty() {
        let how = &site.names.states;
        format!("no source of transactional backups is configured: {how}").into()
    } else {
        format!("no source has a state to back up: {}", refusals.join("; ")).into()
    })
}

fn tell(source: &str, gathered: &Gathered, refusals: &[String], log: &JobLog) {
    refusals.iter().for_each(|why| log.info(why));
    let report = &gathered.report;
    report
        .passed_over
        .iter()
        .for_each(|why| log.error(&format!("passed over: {why}")));
    if let Some(why) = &report.unsettled {
        log.error(&format!(
            "may be of several moments, or of another than the present: {why}"
        ));
    }
    if report.of_no_kind > 0 {
        log.error(&format!(
            "{} znodes that were created meanwhile are kept as persistent, since nobody is told whether they are \
             containers or TTL znodes: {}",
            report.of_no_kind,
            report.of_no_kind_paths.join(", ")
        ));
    }
    if report.dropped.orphans > 0 {
        log.error(&format!(
            "{} znodes are left out, since they are of sessions that do not exist: {}",
            report.dropped.orphans,
            report.dropped.orphan_paths.join(", ")
        ));
    }
    let (old_names, paths) = gathered.tree.old_names();
    if old_names > 0 {
        log.error(&format!(
            "{old_names} znodes have names that no server since 3.5 creates, so that this backup can only be restored by \
             files, and not be looked into: {}",
            paths.join(", ")
        ));
    }
    log.info(&format!(
        "{source}: {} and {} transactions of {} make the state at zxid 0x{:x}: {} znodes",
        report.snapshot,
        report.replayed,
        report.logs.join(", "),
        gathered.tree.zxid(),
        gathered.tree.len()
    ));
}

/// Writes the snapshot and its index, and notes their parts. What clients cannot be sent is in no index.
fn write(
    tree: &FileTree,
    stage: &mut dyn Stage,
    progress: &Progress,
    stop: &Stop,
) -> Result<Vec<FileEntry>, Failure> {
    let name: FileName = tree.file_name().parse()?;
    let mut out = stage.create(&name)?;
    let mut frames: Vec<FrameEntry> = Vec::new();
    let mut bytes = 0;
    let mut index = (tree.old_names().0 == 0).then(Index::new);
    tree.write(|part, records| {
        if let Some(why) = stop.reason() {
            return Err(io::Error::other(Cause::Stopped(why.into())));
        }
        out.write_all(part)?;
        progress.add(records, part.len());
        if let Some(index) = &mut index {
            index.add_part(part, records, frames.len());
        }
        let length = part.len() as u64;
        frames.push(FrameEntry {
            offset: bytes,
            length,
            records,
            sha256: Sha256::digest(part)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        });
        bytes += length;
        Ok(())
    })?;
    out.finish()?;
    let mut files = vec![FileEntry { name, bytes, frames }];
    if let Some(sorted) = index.and_then(Index::sort) {
        files.push(sorted.write(stage)?);
    }
    Ok(files)
}

fn claim(gathered: &Gathered) -> Consistency {
    if gathered.exact {
        Consistency::Consistent
    } else {
        Consistency::Fuzzy
    }
}

fn outcome(gathered: &Gathered) -> Outcome {
    match gathered.lacks() {
        Some(why) => Outcome::Partial {
            reason: format!("partial: {why}"),
        },
        None => Outcome::Complete,
    }
}

fn contents(
    site: &Site,
    request: &BackupRequest,
    from: &str,
    gathered: &Gathered,
    refusals: &[String],
) -> Contents {
    let (tree, report) = (&gathered.tree, &gathered.report);
    let (kinds, (old_names, old_names_paths)) = (tree.kinds(), tree.old_names());
    let acls = if report.acls_exact {
        "exact"
    } else {
        "of the time of the backup"
    };
    Contents::Transactional(Transactional {
        captured: Captured {
            consistency: claim(gathered),
            zxid: AsOf {
                newest: Zxid(tree.zxid()),
            },
            znodes: tree.len() as u64,
            bytes: kinds.bytes,
            allow_partial: request.allow_partial,
            source: Some(site.ensemble.name()),
        },
        kinds: Some(Kinds {
            persistent: kinds.persistent,
            container: kinds.container,
            ttl: kinds.ttl,
        }),
        skipped: Dropped {
            ephemeral: report.dropped.ephemerals,
            sessions: report.dropped.sessions,
            orphans: report.dropped.orphans,
            orphan_paths: report.dropped.orphan_paths.clone(),
            ..Dropped::default()
        },
        taken_from: TakenFrom {
            source: from.to_owned(),
            not_possible: refusals.to_vec(),
            snapshot: report.snapshot.clone(),
            logs: report.logs.clone(),
            replayed: report.replayed,
            passed_over: report.passed_over.clone(),
            digests: Digests {
                compared: report.digests_compared,
                differing: report.digests_differing,
            },
            read_later: report.read_later,
            acls: acls.to_owned(),
            kind_unknown: report.of_no_kind,
            kind_unknown_paths: report.of_no_kind_paths.clone(),
            old_names,
            old_names_paths,
            unsettled: report.unsettled.clone(),
            committed: report.committed.map(Zxid),
        },
    })
}
