//! `GET /listbackups/<id>`.

use backup_engine::{BackupInfo, BackupState, Mode};
use serde::Serialize;
use utoipa::ToSchema;
use vault_store::{
    AclsFrom, AsOf, Captured, Consistency, Contents, Damage, Dropped, FORMAT_VERSION, Kinds, Manifest,
    Moving, Outcome, Skipped, StoredCopy, TakenFrom, Tested,
};

use super::{ms, rfc3339};

/// A backup, finished or not. What is not known of it is null.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Backup {
    /// When it was asked for, or ended, if that was earlier by the clock: ms since the Unix epoch.
    ts: i64,
    /// How long it took, such as `9312ms`.
    spent_time: String,
    /// `full backup`, or the list of root znodes.
    db_list: Option<DbList>,
    id: String,
    /// What it takes, such as `25283b`.
    size: String,
    /// Whether eviction policies may remove it.
    evictable: bool,
    /// Whether no policy may remove it.
    pinned: Option<bool>,
    /// The backup before whose restore it was taken, of what was to be changed; absent for every other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    before_restore_of: Option<String>,
    /// The job of that restore; absent for every other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    restore_job: Option<String>,
    /// The storage that it is kept in; absent where there is only one, or that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    storage_name: Option<String>,
    /// Whether it is still being written.
    locked: bool,
    /// 0 if it did not fail; 1 if it failed; 2 if it lacks what could not be read.
    exit_code: i32,
    failed: bool,
    /// Whether it is finished, did not fail, and is not known to be damaged.
    valid: bool,
    is_granular: bool,
    /// A key of the request that is only recorded.
    sharded: bool,
    canceled: bool,
    /// How it was taken, as older clients read it.
    custom_vars: CustomVars,
    mode: String,
    /// Why it failed, or what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exception: Option<String>,
    consistency: Option<Consistency>,
    /// How often what changed meanwhile was read again.
    rounds: Option<u32>,
    /// Znodes that still changed when the rounds were used up.
    moving: Option<Moving>,
    /// Ancestors of what was backed up that are of another moment.
    ancestors_apart: Option<u64>,
    /// Whether the counters of sequential children are known.
    counters_known: Option<bool>,
    zxid: Option<AsOf>,
    znodes: Option<u64>,
    /// What was left out.
    skipped: Option<LeftOut>,
    /// Znodes that disappeared between being listed and being read.
    vanished: Option<u64>,
    acls: Option<AclsFrom>,
    kinds: Option<Kinds>,
    /// From what a transactional backup was made.
    taken_from: Option<TakenFrom>,
    /// What no restore of it can bring back, as the predecessor did not back it up; absent for every other.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    lacks: &'static [&'static str],
    /// Whether it is sealed where it is stored, also where an identity is here that opens it; absent if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    encrypted: Option<bool>,
    /// The public keys that it is sealed to, where no identity is here that opens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sealed: Option<Vec<String>>,
    /// The format version of the vault.
    format: Option<u64>,
    /// When it was last read and compared with its checksums, RFC 3339.
    verified_at: Option<String>,
    /// Until when its storage keeps it, RFC 3339, or null where that was not told; absent unless it has refused to remove it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    locked_until: Option<Option<String>>,
    /// `secondary` where the second copy is read, since the first is damaged or away; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    copy: Option<StoredCopy>,
    /// What was found damaged then; absent if nothing was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damage: Vec<Damage>,
    /// When it was last restored for a test and nothing differed, RFC 3339; absent where the last test is no proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tested_at: Option<String>,
    /// What came of the last test; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tested: Option<Tested>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum DbList {
    Everything(&'static str),
    Roots(Vec<String>),
}

#[derive(Debug, Default, Serialize, ToSchema)]
struct CustomVars {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    mode: Option<Mode>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum LeftOut {
    ByWalk(Skipped),
    FromFiles(Dropped),
}

impl From<BackupInfo> for Backup {
    fn from(info: BackupInfo) -> Self {
        let proved = info.tested.as_ref().filter(|tested| tested.is_proof());
        let known = Self {
            ts: ms(info.date()),
            spent_time: "0ms".to_owned(),
            id: info.id.to_string(),
            size: format!("{}b", info.bytes),
            evictable: info.is_evictable(),
            pinned: info.pinned,
            valid: info.is_valid(),
            format: Some(FORMAT_VERSION),
            encrypted: info.encrypted.then_some(true),
            verified_at: info.verified_at.and_then(rfc3339),
            locked_until: info.locked_until.map(|until| until.and_then(rfc3339)),
            copy: info.copy.filter(|copy| *copy == StoredCopy::Second),
            storage_name: info.storage.clone(),
            damage: info.found,
            tested_at: proved.and_then(|tested| rfc3339(tested.at)),
            tested: info.tested.clone(),
            ..Self::default()
        };
        match info.state {
            BackupState::Finished(manifest) => known.finished(*manifest, info.damage),
            BackupState::Pending(request) => {
                let request = request.unwrap_or_default();
                let roots: Vec<String> = request.roots.iter().map(ToString::to_string).collect();
                Self {
                    db_list: Some(db_list(Some(&roots[..]).filter(|roots| !roots.is_empty()))),
                    locked: true,
                    is_granular: !roots.is_empty(),
                    sharded: request.sharded,
                    ..known.taken_as(request.mode)
                }
            }
            BackupState::Unreadable { format, why } => Self {
                exit_code: 1,
                failed: true,
                exception: Some(why),
                format,
                ..known
            },
        }
    }
}

impl Backup {
    fn taken_as(self, mode: Mode) -> Self {
        Self {
            custom_vars: CustomVars { mode: Some(mode) },
            mode: mode.to_string(),
            ..self
        }
    }

    fn finished(self, manifest: Manifest, damage: Option<String>) -> Self {
        let spent = (manifest.finished_at - manifest.started_at).whole_milliseconds();
        let exit_code = match manifest.outcome {
            _ if manifest.is_valid() => 0,
            Outcome::Partial { .. } => 2,
            _ => 1,
        };
        let told = Self {
            spent_time: format!("{}ms", spent.max(0)),
            db_list: match &manifest.sealed {
                Some(_) if manifest.is_granular() => None,
                _ => Some(db_list(manifest.roots.as_deref())),
            },
            exit_code,
            failed: exit_code != 0,
            is_granular: manifest.is_granular(),
            sharded: manifest.sharded,
            before_restore_of: manifest.before_restore_of.as_ref().map(ToString::to_string),
            restore_job: manifest.restore_job.clone(),
            exception: damage.or_else(|| manifest.reason().map(str::to_owned)),
            consistency: manifest.consistency(),
            lacks: manifest.lacks(),
            canceled: manifest.predecessor.as_ref().is_some_and(|left| left.canceled),
            format: Some(manifest.version),
            sealed: manifest.sealed.map(|sealed| sealed.recipients),
            ..self.taken_as(manifest.mode)
        };
        match manifest.contents {
            None => told,
            Some(Contents::Hierarchical(of)) => Self {
                rounds: of.rounds,
                moving: of.moving,
                ancestors_apart: of.ancestors_apart,
                counters_known: of.counters_known,
                skipped: Some(LeftOut::ByWalk(of.skipped)),
                vanished: Some(of.vanished),
                acls: of.acls,
                ..told.captured(&of.captured)
            },
            Some(Contents::Transactional(of)) => Self {
                skipped: Some(LeftOut::FromFiles(of.skipped)),
                kinds: of.kinds,
                taken_from: Some(of.taken_from),
                ..told.captured(&of.captured)
            },
        }
    }

    fn captured(self, captured: &Captured) -> Self {
        Self {
            zxid: Some(captured.zxid),
            znodes: Some(captured.znodes),
            ..self
        }
    }
}

fn db_list(roots: Option<&[String]>) -> DbList {
    roots.map_or(DbList::Everything("full backup"), |roots| {
        let names = roots.iter().map(|root| root.trim_start_matches('/').to_owned());
        DbList::Roots(names.collect())
    })
}
