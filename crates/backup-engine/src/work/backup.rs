use std::io::{BufWriter, Write};
use std::sync::Arc;

use job_queue::Job;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use vault_store::{FileEntry, FrameEntry, Manifest, Outcome, Stage, VaultId};
use zk_snapshot::{ArchiveWriter, CaptureOptions, CaptureSummary, Frame, Record, capture};

use super::Failure;
use super::log::JobLog;
use crate::BackupRequest;
use crate::parts::{Parts, Progress};

/// The records of a vault.
pub(super) const ARCHIVE: &str = "archive.zst";
const LOG: &str = "job.log";
/// Records between the walk and the writer; the walk waits when the writer is behind.
const BUFFERED: usize = 256;

struct Captured {
    stage: Box<dyn Stage>,
    frames: Vec<Frame>,
    summary: CaptureSummary,
}

/// Writes the vault of `job`. If that fails, a vault that says so is written instead, where that is possible.
pub(super) async fn run(
    parts: &Arc<Parts>,
    job: &Job,
    log: &JobLog,
    progress: &Arc<Progress>,
) -> Result<Value, Failure> {
    let id: VaultId = job.vault.parse()?;
    let request: BackupRequest = serde_json::from_value(job.payload.clone())?;
    let mode = request.mode.as_str();
    let mut manifest = Manifest::new(&id, mode, parts.now(), Outcome::Complete);
    manifest.pinned = request.pinned;
    manifest.sharded = request.sharded;
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
    let done = match capture_into_stage(parts, &manifest, &request, progress).await {
        Ok(captured) => finish(parts, captured, manifest.clone(), &request, log, progress).await,
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
        .get("znodes")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    let failure = match &finished.outcome {
        Outcome::Partial { reason } if !request.allow_partial => Some(reason.clone()),
        _ => None,
    };
    parts
        .metrics
        .backup_ended(mode, failure.is_some(), seconds, size, znodes);
    match failure {
        None => Ok(finished.contents),
        Some(message) => Err(Failure {
            message,
            result: finished.contents,
        }),
    }
}

async fn capture_into_stage(
    parts: &Arc<Parts>,
    manifest: &Manifest,
    request: &BackupRequest,
    progress: &Arc<Progress>,
) -> Result<Captured, Failure> {
    progress.phase("connecting");
    let client = parts.ensemble.connect().await?;
    progress.phase("capturing");
    let (sender, records) = mpsc::channel(BUFFERED);
    let (vaults, id, granular) = (
        Arc::clone(&parts.vaults),
        manifest.id.clone(),
        manifest.is_granular(),
    );
    let counter = Arc::clone(progress);
    let writing = tokio::task::spawn_blocking(move || {
        let mut stage = vaults.stage(&id, granular)?;
        let out = BufWriter::with_capacity(1 << 20, stage.create(ARCHIVE)?);
        let frames = write_records(ArchiveWriter::new(out), records, &counter)?;
        Ok::<_, Failure>((stage, frames))
    });
    let options = CaptureOptions {
        roots: request.roots.clone(),
    };
    let captured = capture(&*client, &options, sender).await;
    let written = writing.await;
    client.close().await;
    // If the writer failed, the capture only knows that nobody listened.
    let (stage, frames) = written??;
    let summary = captured?;
    Ok(Captured {
        stage,
        frames,
        summary,
    })
}

fn write_records<W: Write>(
    mut writer: ArchiveWriter<W>,
    mut records: mpsc::Receiver<Record>,
    progress: &Progress,
) -> Result<Vec<Frame>, Failure> {
    while let Some(record) = records.blocking_recv() {
        progress.add(record.data.len());
        writer.push(&record)?;
    }
    Ok(writer.finish()?)
}

async fn finish(
    parts: &Arc<Parts>,
    captured: Captured,
    mut manifest: Manifest,
    request: &BackupRequest,
    log: &JobLog,
    progress: &Progress,
) -> Result<Manifest, Failure> {
    progress.phase("committing");
    let Captured {
        mut stage,
        frames,
        summary,
    } = captured;
    manifest.finished_at = parts.now();
    manifest.contents = contents(&summary, request);
    if summary.is_partial() {
        let names: Vec<_> = summary.unreadable_paths.iter().map(ToString::to_string).collect();
        let more = if summary.unreadable as usize > names.len() {
            ", …"
        } else {
            ""
        };
        let reason = format!(
            "partial: {} znodes could not be read in full: {}{more}",
            summary.unreadable,
            names.join(", ")
        );
        log.error(&reason);
        manifest.outcome = Outcome::Partial { reason };
    }
    log.info(&format!(
        "captured {} znodes, {} bytes of data; skipped {} ephemeral ones",
        summary.znodes, summary.bytes, summary.ephemerals_skipped
    ));
    manifest.files.push(FileEntry {
        name: ARCHIVE.to_owned(),
        bytes: frames.iter().map(|frame| frame.length).sum(),
        frames: frames.into_iter().map(frame_entry).collect(),
    });
    let text = log.text();
    tokio::task::spawn_blocking(move || {
        add_log(&mut *stage, &mut manifest, &text)?;
        stage.commit(&manifest)?;
        Ok(manifest)
    })
    .await?
}

fn add_log(stage: &mut dyn Stage, manifest: &mut Manifest, text: &str) -> Result<(), Failure> {
    stage.create(LOG)?.write_all(text.as_bytes())?;
    manifest.files.push(FileEntry::whole(LOG, text.as_bytes()));
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

fn contents(summary: &CaptureSummary, request: &BackupRequest) -> Value {
    json!({
        "consistency": "fuzzy",
        "zxid": { "newest": format!("0x{:x}", summary.newest_zxid) },
        "znodes": summary.znodes,
        "bytes": summary.bytes,
        "vanished": summary.vanished,
        "skipped": {
            "ephemeral": summary.ephemerals_skipped,
            "unreadable": summary.unreadable,
            "unreadable_paths": summary.unreadable_paths,
        },
        "allow_partial": request.allow_partial,
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
        let mut stage = vaults.stage(&manifest.id, manifest.is_granular())?;
        add_log(&mut *stage, &mut manifest, &text)?;
        Ok::<_, Failure>(stage.commit(&manifest)?)
    });
    match left.await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => log.error(&format!("the failure could not be stored: {}", failure.message)),
        Err(error) => log.error(&format!("the failure could not be stored: {error}")),
    }
}
