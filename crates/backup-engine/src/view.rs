use std::sync::atomic::Ordering;

use job_queue::{Job, JobKind, JobState};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vault_store::{FORMAT_VERSION, Manifest, Outcome, StoreError, VaultId, VaultStore};

use crate::BackupRequest;
use crate::parts::{Progress, lock};
use crate::records;

/// What is known of a backup.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupInfo {
    /// Its id.
    pub id: VaultId,
    /// Bytes that it takes.
    pub bytes: u64,
    /// Where it is, and what it holds.
    pub state: BackupState,
    /// What is known to keep it from being restored, without reading all of it.
    pub damage: Option<String>,
    /// When it was last read and compared with its checksums.
    pub verified_at: Option<OffsetDateTime>,
}

/// Where a backup is.
#[derive(Debug, Clone, PartialEq)]
pub enum BackupState {
    /// It waits, or is being written: what was asked for, where that can be read.
    Pending(Option<BackupRequest>),
    /// It is finished.
    Finished(Box<Manifest>),
    /// Nothing can be told of it.
    Unreadable {
        /// The version of its format.
        format: u64,
        /// Why not.
        why: String,
    },
}

impl BackupInfo {
    /// Its manifest, if it is finished.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.state {
            BackupState::Finished(manifest) => Some(manifest),
            BackupState::Pending(_) | BackupState::Unreadable { .. } => None,
        }
    }

    /// Whether it waits or is being written.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self.state, BackupState::Pending(_))
    }

    /// When it was asked for, or ended, if that was earlier by the clock.
    #[must_use]
    pub fn date(&self) -> OffsetDateTime {
        self.manifest().map_or(self.id.time(), Manifest::date)
    }

    /// Whether it is finished, did not fail, and is not known to be damaged.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.damage.is_none() && self.manifest().is_some_and(Manifest::is_valid)
    }

    /// Whether eviction policies may remove it, now or when it is old enough: not while it is written, nor what is
    /// pinned, damaged or cannot be told.
    #[must_use]
    pub fn is_evictable(&self) -> bool {
        self.damage.is_none() && self.manifest().is_some_and(|manifest| !manifest.pinned)
    }
}

/// What is known of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobInfo {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// The backup it is about.
    pub vault: String,
    /// Where it is.
    pub status: JobState,
    /// Why it failed.
    pub message: Option<String>,
    /// The last lines of its log, if it failed.
    pub log_tail: Vec<String>,
    /// How far it is, while it is being done.
    pub progress: Option<ProgressInfo>,
    /// When it was queued.
    pub created_at: OffsetDateTime,
    /// When the work began.
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    pub finished_at: Option<OffsetDateTime>,
    /// What came of it, as it was stored.
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

pub(crate) fn exit_code(manifest: &Manifest) -> i32 {
    match manifest.outcome {
        _ if manifest.is_valid() => 0,
        Outcome::Partial { .. } => 2,
        _ => 1,
    }
}

pub(crate) fn spent_ms(manifest: &Manifest) -> i64 {
    let spent = (manifest.finished_at - manifest.started_at).whole_milliseconds();
    i64::try_from(spent.max(0)).unwrap_or(i64::MAX)
}

/// A finished backup.
pub(crate) fn describe(vaults: &dyn VaultStore, id: &VaultId) -> Result<BackupInfo, StoreError> {
    let bytes = vaults.size(id)?;
    let verification = vaults.verification(id)?;
    let unreadable = |format, error: StoreError| {
        let why = error.to_string();
        (BackupState::Unreadable { format, why }, None)
    };
    let (state, damage) = match vaults.manifest(id) {
        Ok(manifest) => {
            let damage = damage(vaults, &manifest)?;
            (BackupState::Finished(Box::new(manifest)), damage)
        }
        Err(error @ StoreError::Unsupported { version, .. }) => unreadable(version, error),
        Err(error @ StoreError::Damaged { .. }) => unreadable(FORMAT_VERSION, error),
        Err(error) => return Err(error),
    };
    Ok(BackupInfo {
        id: id.clone(),
        bytes,
        state,
        damage,
        verified_at: verification.map(|result| result.at),
    })
}

/// What can be seen without reading everything: a file that is missing, cut, or longer than it was.
fn wrong_length(vaults: &dyn VaultStore, manifest: &Manifest) -> Option<String> {
    let mut needed = manifest
        .files
        .iter()
        .filter(|file| records::is_needed(file.name.as_str()));
    needed.find_map(
        |file| match vaults.open(&manifest.id, &file.name).map(|open| open.size()) {
            Ok(length) if length == file.bytes => None,
            Ok(length) => Some(format!(
                "{} is damaged: {length} bytes of {} are there",
                file.name, file.bytes
            )),
            Err(error) => Some(error.to_string()),
        },
    )
}

/// A backup that waits or is being written.
pub(crate) fn pending(id: &VaultId, job: &Job) -> BackupInfo {
    BackupInfo {
        id: id.clone(),
        bytes: 0,
        state: BackupState::Pending(serde_json::from_value(job.payload.clone()).ok()),
        damage: None,
        verified_at: None,
    }
}

pub(crate) fn job_info(job: Job, progress: Option<&Progress>) -> JobInfo {
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
        id: job.id,
        kind: job.kind,
        vault: job.vault,
        status: job.state,
        message: job.message,
        log_tail: job.log_tail,
        progress,
        created_at: job.created_at,
        started_at: job.started_at,
        finished_at: job.finished_at,
        result: job.result,
    }
}
