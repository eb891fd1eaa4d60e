use std::io::{Seek, SeekFrom};
use std::sync::atomic::Ordering;

use job_queue::{Job, JobKind, JobState};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vault_store::{FORMAT_VERSION, Manifest, Outcome, StoreError, VaultId, VaultStore};

use crate::parts::{Progress, lock};
use crate::records;

/// What `GET /listbackups/<id>` tells of a backup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupInfo {
    /// When it was asked for, or ended, if that was earlier by the clock: ms since the Unix epoch.
    pub ts: i64,
    /// How long it took, such as `9312ms`.
    pub spent_time: String,
    /// `full backup`, or the list of root znodes.
    pub db_list: Value,
    /// Its id.
    pub id: String,
    /// What it takes, such as `25283b`.
    pub size: String,
    /// Whether eviction policies may remove it, now or when it is old enough: not while it is written, nor what is pinned,
    /// damaged or cannot be told.
    pub evictable: bool,
    /// Whether it is still being written.
    pub locked: bool,
    /// 0 if it did not fail; 1 if it failed; 2 if it lacks what could not be read.
    pub exit_code: i32,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it is finished, did not fail, and is not known to be damaged.
    pub valid: bool,
    /// Whether only some root znodes were asked for.
    pub is_granular: bool,
    /// A key of the request that is only recorded.
    pub sharded: bool,
    /// Whether it was called off.
    pub canceled: bool,
    /// How it was taken, as older clients read it.
    pub custom_vars: Value,
    /// How it was taken.
    pub mode: String,
    /// Why it failed, or what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// `consistent` or `fuzzy`.
    pub consistency: Value,
    /// How often what changed meanwhile was read again.
    pub rounds: Value,
    /// Znodes that still changed when the rounds were used up, counted; the first 20 named.
    pub moving: Value,
    /// Ancestors of what was backed up that are of another moment, counted.
    pub ancestors_apart: Value,
    /// Whether the counters of sequential children are known; ClickHouse Keeper does not tell them.
    pub counters_known: Value,
    /// The newest zxid that a captured znode speaks of; a consistent backup is the state as of it.
    pub zxid: Value,
    /// Znodes in it.
    pub znodes: Value,
    /// Ephemeral and unreadable znodes, counted; the first unreadable ones named.
    pub skipped: Value,
    /// Znodes that disappeared between being listed and being read.
    pub vanished: Value,
    /// ACLs that were asked for, and those known from an earlier backup.
    pub acls: Value,
    /// How many znodes are persistent, container and TTL ones, where that is known.
    pub kinds: Value,
    /// Of a transactional backup: the source, the files, and why others were passed over.
    pub taken_from: Value,
    /// The format version of the vault.
    pub format: u64,
    /// When it was last read and compared with its checksums, RFC 3339.
    pub verified_at: Option<String>,
}

/// What `GET /jobstatus/<id>` tells of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobInfo {
    /// Its state.
    pub status: JobState,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The backup it is about.
    pub vault: String,
    /// `backup` or `restore`.
    #[serde(rename = "type")]
    pub kind: JobKind,
    /// The last five lines of its log if it failed, else `None`, as a text.
    pub err: String,
    /// Its id.
    pub task_id: String,
    /// How far it is, while it is being done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressInfo>,
    /// When it was queued, RFC 3339.
    pub created_at: Option<String>,
    /// When the work began, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
    /// What came of it.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgressInfo {
    /// Znodes done.
    pub znodes: u64,
    /// Bytes of data in them.
    pub bytes: u64,
    /// What is being done.
    pub phase: String,
}

pub(crate) fn rfc3339(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
}

/// Since the Unix epoch.
pub(crate) fn ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

/// What is known to keep a vault from being restored, without reading all of it.
pub(crate) fn damage(vaults: &dyn VaultStore, manifest: &Manifest) -> Result<Option<String>, StoreError> {
    let found = vaults.verification(&manifest.id)?;
    let found = found.as_ref().and_then(records::spoiling);
    Ok(found
        .map(|damage| format!("{} is damaged: {}", damage.file, damage.what))
        .or_else(|| wrong_length(vaults, manifest)))
}

/// Whether a backup is a good one, as far as its manifest tells.
pub(crate) fn is_valid(manifest: &Manifest) -> bool {
    match manifest.outcome {
        Outcome::Complete => true,
        Outcome::Partial { .. } => manifest.contents.get("allow_partial") == Some(&Value::Bool(true)),
        Outcome::Failed { .. } => false,
    }
}

pub(crate) fn exit_code(manifest: &Manifest) -> i32 {
    match manifest.outcome {
        _ if is_valid(manifest) => 0,
        Outcome::Partial { .. } => 2,
        _ => 1,
    }
}

pub(crate) fn reason(manifest: &Manifest) -> Option<&str> {
    match &manifest.outcome {
        Outcome::Complete => None,
        Outcome::Partial { reason } | Outcome::Failed { reason } => Some(reason),
    }
}

pub(crate) fn spent_ms(manifest: &Manifest) -> i64 {
    let spent = (manifest.finished_at - manifest.started_at).whole_milliseconds();
    i64::try_from(spent.max(0)).unwrap_or(i64::MAX)
}

/// A finished backup.
pub(crate) fn describe(vaults: &dyn VaultStore, id: &VaultId) -> Result<BackupInfo, StoreError> {
    let size = vaults.size(id)?;
    let verification = vaults.verification(id)?;
    let manifest = match vaults.manifest(id) {
        Ok(manifest) => manifest,
        Err(error @ StoreError::Unsupported { version, .. }) => {
            return Ok(BackupInfo {
                format: version,
                ..unknown(id, size, error.to_string())
            });
        }
        Err(error @ StoreError::Damaged { .. }) => return Ok(unknown(id, size, error.to_string())),
        Err(error) => return Err(error),
    };
    let damage = damage(vaults, &manifest)?;
    let contents = |key: &str| manifest.contents.get(key).cloned().unwrap_or(Value::Null);
    Ok(BackupInfo {
        ts: ms(manifest.date()),
        spent_time: format!("{}ms", spent_ms(&manifest)),
        db_list: db_list(manifest.roots.as_deref()),
        id: id.to_string(),
        size: format!("{size}b"),
        evictable: !manifest.pinned && damage.is_none(),
        locked: false,
        exit_code: exit_code(&manifest),
        failed: exit_code(&manifest) != 0,
        valid: is_valid(&manifest) && damage.is_none(),
        is_granular: manifest.is_granular(),
        sharded: manifest.sharded,
        canceled: false,
        custom_vars: json!({ "mode": manifest.mode }),
        mode: manifest.mode.clone(),
        exception: damage.or_else(|| reason(&manifest).map(str::to_owned)),
        consistency: contents("consistency"),
        rounds: contents("rounds"),
        moving: contents("moving"),
        ancestors_apart: contents("ancestors_apart"),
        counters_known: contents("counters_known"),
        zxid: contents("zxid"),
        znodes: contents("znodes"),
        skipped: contents("skipped"),
        vanished: contents("vanished"),
        acls: contents("acls"),
        kinds: contents("kinds"),
        taken_from: contents("taken_from"),
        format: manifest.version,
        verified_at: verification.and_then(|result| rfc3339(result.at)),
    })
}

/// What can be seen without reading everything: a file that is missing, cut, or longer than it was.
fn wrong_length(vaults: &dyn VaultStore, manifest: &Manifest) -> Option<String> {
    let mut needed = manifest
        .files
        .iter()
        .filter(|file| records::is_needed(&file.name));
    needed.find_map(|file| {
        let length = vaults
            .open(&manifest.id, &file.name)
            .map(|mut open| open.seek(SeekFrom::End(0)));
        match length {
            Ok(Ok(length)) if length == file.bytes => None,
            Ok(Ok(length)) => Some(format!(
                "{} is damaged: {length} bytes of {} are there",
                file.name, file.bytes
            )),
            Ok(Err(error)) => Some(format!("{} cannot be read: {error}", file.name)),
            Err(error) => Some(error.to_string()),
        }
    })
}

/// A backup that cannot be told from its manifest.
fn unknown(id: &VaultId, size: u64, why: String) -> BackupInfo {
    BackupInfo {
        ts: ms(id.time()),
        spent_time: "0ms".to_owned(),
        db_list: Value::Null,
        id: id.to_string(),
        size: format!("{size}b"),
        evictable: false,
        locked: false,
        exit_code: 1,
        failed: true,
        valid: false,
        is_granular: false,
        sharded: false,
        canceled: false,
        custom_vars: json!({}),
        mode: String::new(),
        exception: Some(why),
        consistency: Value::Null,
        rounds: Value::Null,
        moving: Value::Null,
        ancestors_apart: Value::Null,
        counters_known: Value::Null,
        zxid: Value::Null,
        znodes: Value::Null,
        skipped: Value::Null,
        vanished: Value::Null,
        acls: Value::Null,
        kinds: Value::Null,
        taken_from: Value::Null,
        format: FORMAT_VERSION,
        verified_at: None,
    }
}

/// A backup that waits or is being written.
pub(crate) fn queued_info(id: &VaultId, job: &Job) -> BackupInfo {
    let roots: Vec<String> = job.payload.get("roots").cloned().map_or_else(Vec::new, |roots| {
        serde_json::from_value(roots).unwrap_or_default() // written by ourselves
    });
    let flag = |key: &str| job.payload.get(key) == Some(&Value::Bool(true));
    BackupInfo {
        db_list: db_list((!roots.is_empty()).then_some(&roots[..])),
        locked: true,
        exit_code: 0,
        failed: false,
        is_granular: !roots.is_empty(),
        sharded: flag("sharded"),
        custom_vars: json!({ "mode": job.payload.get("mode") }),
        mode: job
            .payload
            .get("mode")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        exception: None,
        ..unknown(id, 0, String::new())
    }
}

fn db_list(roots: Option<&[String]>) -> Value {
    let names = |roots: &[String]| {
        roots
            .iter()
            .map(|root| root.trim_start_matches('/').to_owned())
            .collect::<Vec<_>>()
    };
    roots.map_or_else(|| json!("full backup"), |roots| json!(names(roots)))
}

pub(crate) fn job_info(job: Job, progress: Option<&Progress>) -> JobInfo {
    let err = if job.state == JobState::Failed {
        job.log_tail.join("\n")
    } else {
        "None".to_owned()
    };
    let progress = (job.state == JobState::Processing).then(|| match progress {
        Some(progress) => ProgressInfo {
            znodes: progress.znodes.load(Ordering::Relaxed),
            bytes: progress.bytes.load(Ordering::Relaxed),
            phase: (*lock(&progress.phase)).to_owned(),
        },
        None => ProgressInfo {
            znodes: 0,
            bytes: 0,
            phase: "starting".to_owned(),
        },
    });
    JobInfo {
        status: job.state,
        message: job.message,
        vault: job.vault,
        kind: job.kind,
        err,
        task_id: job.id,
        progress,
        created_at: rfc3339(job.created_at),
        started_at: job.started_at.and_then(rfc3339),
        finished_at: job.finished_at.and_then(rfc3339),
        result: job.result,
    }
}
