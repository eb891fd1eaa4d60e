//! What is told of backups and jobs.

use std::collections::BTreeMap;

use job_queue::{Job, JobState};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use vault_store::{Damage, Manifest, StoredCopy, Tested, VaultId};
use zk_snapshot::tree::ZnodePath;

use crate::kind::{self, JobKind};
use crate::requests::{BackupRequest, Labels};
use crate::vaults::{Pins, Stored, Unreadable, Vaults};
use crate::work::{JobResult, ProgressInfo};

/// What is known of a backup.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupInfo {
    /// Its id.
    pub id: VaultId,
    /// Bytes that it takes.
    pub bytes: u64,
    /// Where it is, and what it holds.
    pub state: BackupState,
    /// Whether no policy may remove it; `None` where that cannot be told.
    pub pinned: Option<bool>,
    /// What is known to keep it from being restored, without reading all of it.
    pub damage: Option<String>,
    /// Whether it is sealed where it is stored, also where an identity is here that opens it.
    pub encrypted: bool,
    /// When it was last read and compared with its checksums.
    pub verified_at: Option<OffsetDateTime>,
    /// All that was found damaged then, by file and frame; that of files that no restore needs does not keep it from being valid.
    pub found: Vec<Damage>,
    /// Until when its storage keeps it, which has refused to remove it since the start; `Some(None)` where that was not told.
    pub locked_until: Option<Option<OffsetDateTime>>,
    /// The copy that is read, as far as that is known; `None` where there is no second store.
    pub copy: Option<StoredCopy>,
    /// The storage that it is in, or is to be, where there are several and that is known.
    pub storage: Option<String>,
    /// The last time that it was restored for a test, and what came of it.
    pub tested: Option<Tested>,
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
        /// The version of its format, where that is known.
        format: Option<u64>,
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
    /// pinned, damaged or cannot be told, nor anything where pins cannot be told.
    #[must_use]
    pub fn is_evictable(&self) -> bool {
        self.damage.is_none() && self.manifest().is_some() && self.pinned == Some(false)
    }
}

/// What is known of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobInfo {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// The backup it is about; empty for a verification of several.
    pub vault: String,
    /// What whoever asked for it calls it.
    pub labels: Labels,
    /// The subtrees that were asked for; none means everything.
    pub roots: Vec<ZnodePath>,
    /// The subtrees that a restore brings back under another path.
    pub renames: BTreeMap<ZnodePath, ZnodePath>,
    /// Whether a restore only tells what it would do.
    pub dry_run: bool,
    /// Where it is.
    pub status: JobState,
    /// Why it failed, or where it was canceled. Of one that is successful, too: that the [hook](crate::Hooks) after it failed, or that its end is not noted yet.
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
    /// What came of it, as it was stored; [`outcome`](Self::outcome) reads it.
    pub result: Value,
}

/// Some of the jobs, from the one that was queued last to the first.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobPage {
    /// How many are remembered in all.
    pub total: usize,
    /// Those asked for.
    pub jobs: Vec<JobInfo>,
}

impl BackupInfo {
    /// That of a vault of `vaults`. Blocks.
    pub(crate) fn of(vaults: &Vaults, stored: Stored) -> Self {
        let locked_until = vaults.retained.until(&stored.id);
        let copy = vaults.copy_read(&stored.id);
        let storage = vaults.storage_of(&stored.id);
        let pins = vaults
            .pins()
            .inspect_err(|error| log::warn!("what is pinned is not known: {error}"));
        Self {
            locked_until,
            copy,
            storage,
            encrypted: is_encrypted(vaults, &stored),
            ..Self::stored(stored, pins.ok().as_ref())
        }
    }

    /// The same, where what is pinned can be told or not.
    fn stored(stored: Stored, pins: Option<&Pins>) -> Self {
        let verified_at = stored.verified_at();
        let (found, tested) = stored
            .verification
            .map(|result| (result.damage, result.tested))
            .unwrap_or_default();
        let manifest = stored.manifest.as_ref().ok();
        let pinned = manifest.and_then(|manifest| Some(pins?.pinned(manifest)));
        Self {
            id: stored.id,
            bytes: stored.bytes,
            pinned,
            state: match stored.manifest {
                Ok(manifest) => BackupState::Finished(Box::new(manifest)),
                Err(Unreadable { format, why, .. }) => BackupState::Unreadable { format, why },
            },
            damage: stored.damage,
            encrypted: false,
            verified_at,
            locked_until: None,
            copy: None,
            storage: None,
            found,
            tested,
        }
    }

    /// That of a backup that waits or is being written.
    pub(crate) fn pending(vaults: &Vaults, id: VaultId, job: Job) -> Self {
        let request: Option<BackupRequest> = serde_json::from_value(job.payload).ok();
        let asked = request.as_ref().and_then(|request| request.storage.clone());
        Self {
            id,
            bytes: 0,
            pinned: request.as_ref().map(|request| request.pinned),
            state: BackupState::Pending(request),
            damage: None,
            encrypted: false,
            verified_at: None,
            locked_until: None,
            copy: None,
            storage: vaults.storage_meant(asked),
            found: Vec::new(),
            tested: None,
        }
    }
}

/// One that an identity opens is shown as it was before it was sealed: its manifest as it lies there tells.
fn is_encrypted(vaults: &Vaults, stored: &Stored) -> bool {
    let Ok(manifest) = &stored.manifest else {
        return false;
    };
    let as_is = || match vaults.store.manifest_as_is(&stored.id) {
        Ok(manifest) => manifest.sealed.is_some(),
        Err(error) => {
            log::warn!("whether backup {} is sealed is not known: {error}", stored.id);
            false
        }
    };
    manifest.sealed.is_some() || as_is()
}

impl JobInfo {
    /// What came of it.
    ///
    /// # Errors
    /// What was stored is not what a job of its kind stores: a later version did, or it was changed.
    pub fn outcome(&self) -> Result<JobResult, serde_json::Error> {
        JobResult::read(self.kind, &self.result)
    }

    /// `running` is how far it is, if it is the one that is being done.
    pub(crate) fn new(job: Job, running: Option<ProgressInfo>) -> Self {
        /// What is told of a payload, of whichever kind.
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Asked {
            labels: Labels,
            roots: Vec<ZnodePath>,
            renames: BTreeMap<ZnodePath, ZnodePath>,
            dry_run: bool,
        }
        let processing = job.state == JobState::Processing;
        let asked: Asked = serde_json::from_value(job.payload.clone()).unwrap_or_default();
        Self {
            labels: asked.labels,
            roots: asked.roots,
            renames: asked.renames,
            dry_run: asked.dry_run,
            kind: JobKind::of(&job),
            vault: kind::vault(&job).to_owned(),
            id: job.id,
            status: job.state,
            message: job.message,
            log_tail: job.log_tail,
            progress: processing.then(|| running.unwrap_or_default()),
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            result: job.result,
        }
    }
}
