use std::collections::BTreeSet;
use std::io::BufWriter;
use std::sync::Arc;

use job_queue::Job;
use tokio::sync::mpsc;
use vault_store::{
    AclsFrom, AsOf, Captured, Contents, FileEntry, FileName, FrameEntry, Hierarchical, Manifest, Moving,
    Outcome, Skipped, Stage, StoreError, VaultFile, VaultId, Zxid,
};
use zk_snapshot::{
    AclIndexWriter, Amendment, ArchiveError, ArchiveWriter, CaptureOptions, CaptureSummary, Consistency,
    Frame, Portion, Record, ZnodePath, capture,
};

use super::Failure;
use super::known;
use super::log::JobLog;
use super::result::JobResult;
use super::transactional;
use crate::history;
use crate::parts::{Parts, Progress};
use crate::records::{ACLS, AMENDMENTS, ARCHIVE, LOG};
use crate::{BackupRequest, Mode};

/// Portions between the walk and the writer; the walk waits when the writer is behind.
const BUFFERED: usize = 8;
/// Znodes that could not be read and are named.
const NAMED: usize = 20;

/// What is ready to be committed.
pub(super) struct Staged {
    pub(super) stage: Box<dyn Stage>,
    pub(super) files: Vec<FileEntry>,
    /// For the manifest.
    pub(super) contents: Contents,
    pub(super) outcome: Outcome,
}

struct Written {
    stage: Box<dyn Stage>,
    files: Vec<FileEntry>,
    /// Znodes whose records are too large to be read again.
    too_large: BTreeSet<ZnodePath>,
}

/// Writes the vault of `job`. If that fails, a vault that says so is written instead, where that is possible.
pub(super) async fn run(
    parts: &Arc<Parts>,
    job: &Job,
    log: &JobLog,
    progress: &Arc<Progress>,
) -> Result<JobResult, Failure> {
    let id: VaultId = job.vault.parse()?;
    let request: BackupRequest = serde_json::from_value(job.payload.clone())?;
    let mode = request.mode.as_str();
    let mut manifest = Manifest::new(&id, request.mode, parts.now(), Outcome::Complete);
    manifest.pinned = request.pinned;
    manifest.sharded = request.sharded;
    manifest.scheduled = Some(job.scheduled);
    if !request.roots.is_empty() {
        manifest.roots = Some(request.roots.iter().map(ToString::to_string).collect());
    }
    log.info(&format!(
        "backing up {}",
        manifest
            .roots
            .as_ref()
            .map_or("everything".to_owned(), |r| r.join(", "))
    ));
    // A backup that is begun while files lie ready for a restore may still be of the history before it.
    let blocking = Arc::clone(parts);
    tokio::task::spawn_blocking(move || history::begun(&blocking)).await?;
    let staged = match request.mode {
        Mode::Hierarchical => capture_into_stage(parts, &manifest, &request, progress, log).await,
        Mode::Transactional => transactional::stage(parts, &manifest, &request, log, progress).await,
    };
    let done = match staged {
        Ok(staged) => finish(parts, staged, manifest.clone(), log, progress).await,
        Err(failure) => Err(failure),
    };
    let finished = match done {
        Ok(finished) => finished,
        Err(failure) => {
            log.error(&failure.message);
            parts.metrics.backup_ended(mode, true, 0.0, 0, 0);
            leave_a_failed_vault(parts, manifest, &failure.message, log).await;
            return Err(failure);
        }
    };
    let size = parts.vaults.size(&id).unwrap_or(0);
    let seconds = (finished.finished_at - finished.started_at).as_seconds_f64();
    let znodes = finished
        .contents
        .as_ref()
        .map_or(0, |contents| contents.captured().znodes);
    let failure = match &finished.outcome {
        Outcome::Partial { reason } if !request.allow_partial => Some(reason.clone()),
        _ => None,
    };
    parts
        .metrics
        .backup_ended(mode, failure.is_some(), seconds, size, znodes);
    let result = finished.contents.map_or(JobResult::Nothing, |contents| {
        JobResult::Backup(Box::new(contents))
    });
    match failure {
        None => Ok(result),
        Some(message) => Err(Failure { message, result }),
    }
}

async fn capture_into_stage(
    parts: &Arc<Parts>,
    manifest: &Manifest,
    request: &BackupRequest,
    progress: &Arc<Progress>,
    log: &JobLog,
) -> Result<Staged, Failure> {
    progress.phase("connecting");
    let client = parts.ensemble.connect().await?;
    progress.phase("capturing");
    let (blocking, roots) = (Arc::clone(parts), manifest.roots.clone());
    let known = tokio::task::spawn_blocking(move || known::acls(&blocking, roots.as_ref())).await?;
    if let Some((id, _)) = &known {
        log.info(&format!("ACLs that did not change are those of backup {id}"));
    }
    let (sink, portions) = mpsc::channel(BUFFERED);
    let (vaults, id) = (Arc::clone(&parts.vaults), manifest.id.clone());
    let (counter, source) = (Arc::clone(progress), parts.ensemble.name());
    let writing = tokio::task::spawn_blocking(move || {
        let stage = || Ok(vaults.stage(&id)?);
        write_portions(stage, portions, &source, &counter)
    });
    let options = CaptureOptions {
        roots: request.roots.clone(),
        rounds: parts.consistency_rounds,
        known_acls: known.map(|(_, index)| index),
        ..CaptureOptions::default()
    };
    let captured = capture(&*client, &options, sink).await;
    let written = writing.await;
    client.close().await;
    // If the writer failed, the capture only knows that nobody listened.
    let written = written??;
    let mut summary = captured?;
    for path in written.too_large {
        log.error(&format!("{path} is too large for a backup"));
        summary.unreadable += 1;
        summary.znodes = summary.znodes.saturating_sub(1);
        if summary.unreadable_paths.len() < NAMED {
            summary.unreadable_paths.push(path);
        }
    }
    let outcome = tell(parts, &summary, log);
    Ok(Staged {
        stage: written.stage,
        files: written.files,
        contents: contents(&summary, request, parts.ensemble.name()),
        outcome,
    })
}

/// Writes what the capture hands on, from the beginning in a new stage wherever it starts over.
fn write_portions(
    stage: impl Fn() -> Result<Box<dyn Stage>, Failure>,
    mut portions: mpsc::Receiver<Portion>,
    source: &str,
    progress: &Progress,
) -> Result<Written, Failure> {
    'anew: loop {
        let mut stage = stage()?;
        let mut acls = AclIndexWriter::default();
        let mut archive = archive_in(&mut *stage, &ARCHIVE)?;
        let (mut amendments, mut too_large) = (None, BTreeSet::new());
        while let Some(portion) = portions.blocking_recv() {
            match portion {
                Portion::Restart => {
                    progress.restart();
                    continue 'anew;
                }
                Portion::Records(records) => {
                    for record in records {
                        progress.add(record.data.len());
                        acls.add(&record.path, &record.stat, &record.acl);
                        match archive.push(&record) {
                            Err(ArchiveError::TooLarge(path)) => {
                                archive.push(&Record::unreadable(path.clone()))?;
                                too_large.insert(path);
                            }
                            pushed => pushed?,
                        }
                    }
                }
                Portion::Amendments(more) => {
                    for amendment in more {
                        if let Some(record) = &amendment.record {
                            acls.add(&record.path, &record.stat, &record.acl);
                        }
                        if amendments.is_none() {
                            amendments = Some(archive_in(&mut *stage, &AMENDMENTS)?);
                        }
                        if let Some(archive) = &mut amendments {
                            too_large.remove(&amendment.path);
                            match archive.amend(&amendment) {
                                Err(ArchiveError::TooLarge(path)) => {
                                    archive.amend(&Amendment {
                                        record: Some(Record::unreadable(path.clone())),
                                        ..amendment
                                    })?;
                                    too_large.insert(path);
                                }
                                amended => amended?,
                            }
                        }
                    }
                }
            }
        }
        let mut files = vec![file_entry(ARCHIVE, archive)?];
        if let Some(archive) = amendments {
            files.push(file_entry(AMENDMENTS, archive)?);
        }
        let mut index = Vec::new();
        acls.finish(source, &mut index)?;
        files.push(stage.put(&ACLS, &index)?);
        return Ok(Written {
            stage,
            files,
            too_large,
        });
    }
}

type Out = BufWriter<Box<dyn VaultFile>>;

fn archive_in(stage: &mut dyn Stage, name: &FileName) -> Result<ArchiveWriter<Out>, Failure> {
    let out = BufWriter::with_capacity(1 << 20, stage.create(name)?);
    Ok(ArchiveWriter::new(out))
}

fn file_entry(name: FileName, archive: ArchiveWriter<Out>) -> Result<FileEntry, Failure> {
    let (out, frames) = archive.finish()?;
    out.into_inner()?.finish()?;
    Ok(FileEntry {
        name,
        bytes: frames.iter().map(|frame| frame.length).sum(),
        frames: frames.into_iter().map(frame_entry).collect(),
    })
}

async fn finish(
    parts: &Arc<Parts>,
    staged: Staged,
    mut manifest: Manifest,
    log: &JobLog,
    progress: &Progress,
) -> Result<Manifest, Failure> {
    progress.phase("committing");
    let Staged {
        mut stage,
        files,
        contents,
        outcome,
    } = staged;
    if let Outcome::Partial { reason } = &outcome {
        log.error(reason);
    }
    manifest.finished_at = parts.now();
    manifest.contents = Some(contents);
    manifest.outcome = outcome;
    manifest.files.extend(files);
    let text = log.text();
    tokio::task::spawn_blocking(move || {
        add_log(&mut *stage, &mut manifest, &text)?;
        stage.commit(&manifest)?;
        Ok(manifest)
    })
    .await?
}

/// Says what a capture found, and what is to be thought of it.
fn tell(parts: &Parts, summary: &CaptureSummary, log: &JobLog) -> Outcome {
    parts.metrics.captured(
        claim(summary.consistency).as_str(),
        &[
            ("ephemeral", summary.ephemerals_skipped),
            ("unreadable", summary.unreadable),
            ("vanished", summary.vanished),
        ],
    );
    log.info(&format!(
        "captured {} znodes, {} bytes of data; skipped {} ephemeral ones",
        summary.znodes, summary.bytes, summary.ephemerals_skipped
    ));
    log.info(&match summary.consistency {
        Consistency::Consistent => format!(
            "consistent as of zxid 0x{:x} after {} rounds",
            summary.newest_zxid, summary.rounds
        ),
        Consistency::Fuzzy => format!(
            "fuzzy: {} znodes still changed after {} rounds",
            summary.moving, summary.rounds
        ),
    });
    if summary.ancestors_apart > 0 {
        log.info(&format!(
            "{} ancestors of what was backed up changed meanwhile: they are of another moment",
            summary.ancestors_apart
        ));
    }
    if !summary.counters_known {
        log.info(
            "ClickHouse Keeper: its counters of sequential children are not known, and /keeper is left out",
        );
    }
    if !summary.is_partial() {
        return Outcome::Complete;
    }
    let paths = summary.unreadable_paths.iter().map(ToString::to_string);
    let names: Vec<_> = paths.chain(summary.refused_names.iter().cloned()).collect();
    let more = if summary.unreadable as usize > names.len() {
        ", …"
    } else {
        ""
    };
    Outcome::Partial {
        reason: format!(
            "partial: {} znodes could not be read in full: {}{more}",
            summary.unreadable,
            names.join(", ")
        ),
    }
}

fn add_log(stage: &mut dyn Stage, manifest: &mut Manifest, text: &str) -> Result<(), StoreError> {
    manifest.files.push(stage.put(&LOG, text.as_bytes())?);
    Ok(())
}

fn frame_entry(frame: Frame) -> FrameEntry {
    let Frame {
        offset,
        length,
        records,
        sha256,
    } = frame;
    FrameEntry {
        offset,
        length,
        records,
        sha256,
    }
}

fn claim(consistency: Consistency) -> vault_store::Consistency {
    match consistency {
        Consistency::Consistent => vault_store::Consistency::Consistent,
        Consistency::Fuzzy => vault_store::Consistency::Fuzzy,
    }
}

fn contents(summary: &CaptureSummary, request: &BackupRequest, source: String) -> Contents {
    let texts = |paths: &[ZnodePath]| paths.iter().map(ToString::to_string).collect();
    Contents::Hierarchical(Hierarchical {
        captured: Captured {
            consistency: claim(summary.consistency),
            zxid: AsOf {
                newest: Zxid(summary.newest_zxid),
            },
            znodes: summary.znodes,
            bytes: summary.bytes,
            allow_partial: request.allow_partial,
            source: Some(source),
        },
        rounds: Some(summary.rounds),
        moving: Some(Moving {
            count: summary.moving,
            paths: texts(&summary.moving_paths),
        }),
        ancestors_apart: Some(summary.ancestors_apart),
        counters_known: Some(summary.counters_known),
        vanished: summary.vanished,
        skipped: Skipped {
            ephemeral: summary.ephemerals_skipped,
            unreadable: summary.unreadable,
            unreadable_paths: texts(&summary.unreadable_paths),
            refused_names: Some(summary.refused_names.clone()),
        },
        acls: Some(AclsFrom {
            read: summary.acls_read,
            reused: summary.acls_reused,
        }),
    })
}

/// So that the failure is listed. Where the storage itself failed this may fail too; the job tells all the same.
async fn leave_a_failed_vault(parts: &Arc<Parts>, mut manifest: Manifest, reason: &str, log: &JobLog) {
    let vaults = Arc::clone(&parts.vaults);
    manifest.finished_at = parts.now();
    manifest.outcome = Outcome::Failed {
        reason: reason.to_owned(),
    };
    let text = log.text();
    let left = tokio::task::spawn_blocking(move || {
        let mut stage = vaults.stage(&manifest.id)?;
        add_log(&mut *stage, &mut manifest, &text)?;
        Ok::<_, Failure>(stage.commit(&manifest)?)
    });
    match left.await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => log.error(&format!("the failure could not be stored: {}", failure.message)),
        Err(error) => log.error(&format!("the failure could not be stored: {error}")),
    }
}
