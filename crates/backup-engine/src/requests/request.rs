//! What can be asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vault_store::Mode;
use zk_snapshot::restore::Policy;
use zk_snapshot::tree::ZnodePath;

/// What whoever asks for a job calls it, in its own words: only kept with it and told again.
pub type Labels = BTreeMap<String, String>;

/// The label of a job that says who has asked for it.
pub const BY: &str = "by";

/// What to back up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackupRequest {
    /// How.
    pub mode: Mode,
    /// The subtrees wanted; none means all of ZooKeeper, and so does `/`.
    pub roots: Vec<ZnodePath>,
    /// Whether eviction policies must leave the backup.
    pub pinned: bool,
    /// Only recorded.
    pub sharded: bool,
    /// Whether a backup that lacks what could not be read is a good one.
    pub allow_partial: bool,
    /// In which storage the backup is kept, where there are several; the default one if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
}

/// These subtrees; none where `/` is among them, which is everything.
pub(crate) fn roots_of(roots: &[ZnodePath]) -> Vec<ZnodePath> {
    match roots.iter().any(ZnodePath::is_root) {
        true => Vec::new(),
        false => roots.to_vec(),
    }
}

/// Which backup to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreSource {
    /// The one with this id; `latest` is the newest that is valid and has what is asked for.
    Vault(String),
    /// The first at or after this time, in ms since the Unix epoch, that is valid and has what is asked for.
    Since(i64),
    /// The newest such one at or before this time.
    Before(i64),
}

/// How a transactional backup is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Strategy {
    /// Through the client API, while the servers run: only what differs is written.
    #[default]
    Online,
    /// By files that every server begins anew with: for an ensemble that is lost. Everything there is replaced.
    Files,
}

/// What to restore, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    /// Which backup.
    pub source: RestoreSource,
    /// The subtrees wanted; none means everything in the backup except `/zookeeper`, and so does `/`.
    pub roots: Vec<ZnodePath>,
    /// Subtrees that come back under another path.
    pub renames: BTreeMap<ZnodePath, ZnodePath>,
    /// What may happen to znodes that exist.
    pub policy: Policy,
    /// Only say what would be done, in the job's result.
    pub dry_run: bool,
    /// By which way.
    pub strategy: Strategy,
    /// By files: begin above this epoch and every one that is known, so that no zxid is given out twice. At most
    /// 2,000,000,000: zxids of epochs from 2^31 are negative.
    pub raise_epoch: Option<u32>,
    /// Whether what is to be changed is backed up first, pinned, by the same job. Where that fails nothing is restored; a dry run does without.
    pub backup_first: bool,
    /// The storage that the backup must be in, where there are several; in any if not said.
    pub storage: Option<String>,
}

impl RestoreRequest {
    /// Everything in the backup `vault`, so that the live tree ends equal to it.
    #[must_use]
    pub fn of(vault: &str) -> Self {
        Self {
            source: RestoreSource::Vault(vault.to_owned()),
            roots: Vec::new(),
            renames: BTreeMap::new(),
            policy: Policy::Replace,
            dry_run: false,
            strategy: Strategy::Online,
            raise_epoch: None,
            backup_first: false,
            storage: None,
        }
    }
}

/// What a restore job keeps of its request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RestorePayload {
    pub(crate) roots: Vec<ZnodePath>,
    pub(crate) renames: BTreeMap<ZnodePath, ZnodePath>,
    pub(crate) policy: Policy,
    pub(crate) dry_run: bool,
    #[serde(default)]
    pub(crate) strategy: Strategy,
    #[serde(default)]
    pub(crate) raise_epoch: Option<u32>,
    #[serde(default)]
    pub(crate) backup_first: bool,
}

impl RestorePayload {
    pub(crate) fn of(request: &RestoreRequest) -> Self {
        Self {
            roots: request.roots.clone(),
            renames: request.renames.clone(),
            policy: request.policy,
            dry_run: request.dry_run,
            strategy: request.strategy,
            raise_epoch: request.raise_epoch,
            backup_first: request.backup_first,
        }
    }
}
