//! What can go wrong, by kind.

use job_queue::{JobState, QueueError};
use time::OffsetDateTime;
use vault_store::{StoreError, VaultId};
use zk_snapshot::archive::ArchiveError;
use zk_snapshot::tree::{ClientError, ZnodePath};

/// The error that another one comes from.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// There is no such backup.
    #[error("backup {0} not found")]
    BackupNotFound(String),
    /// The backup is in another storage than the one that was named.
    #[error("backup {id} not found in storage {wanted}: it is in storage {found}")]
    Elsewhere {
        /// The backup.
        id: VaultId,
        /// The storage that was named.
        wanted: String,
        /// The storage that has it.
        found: String,
    },
    /// There is no such job, or it ended long ago and was forgotten.
    #[error("job {0} not found")]
    JobNotFound(String),
    /// The job has ended, and cannot be called off.
    #[error("job {id} has ended already: it is {state}")]
    JobEnded {
        /// The job.
        id: String,
        /// How it ended.
        state: JobState,
    },
    /// The backup is being written or restored just now.
    #[error("backup {0} is in use by a running or waiting job")]
    InUse(String),
    /// The storage keeps the backup from being removed for now, as a bucket with object lock does.
    #[error("{why}")]
    Retained {
        /// The backup.
        id: VaultId,
        /// Until when, where that is known.
        until: Option<OffsetDateTime>,
        /// What the storage says.
        why: String,
    },
    /// The storage has no addresses of its files to hand out.
    #[error("only backups in a bucket have links, and {0} is in none")]
    NoLinks(String),
    /// There is a backup with this id already.
    #[error("backup {0} exists already")]
    BackupExists(VaultId),
    /// Only the one that leads may do that.
    #[error("{0}")]
    NotLeading(String),
    /// As many jobs wait as may.
    #[error("{0} jobs are queued already, and no more may wait")]
    QueueFull(usize),
    /// The request cannot be carried out as it stands.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// Restores of everything are turned off ([`EngineBuilder::full_restore`](crate::EngineBuilder::full_restore)).
    #[error("restoring everything is turned off: name the root znodes")]
    FullRestoreOff,
    /// The backup has no such znode.
    #[error("{0}")]
    ZnodeNotFound(String),
    /// ZooKeeper could not be asked.
    #[error(transparent)]
    ZooKeeper(Cause),
    /// The storage or the job database failed.
    #[error(transparent)]
    Storage(Cause),
    /// The directory of the storage is another one than at the start, or gone: nothing is queued, read or written.
    #[error(transparent)]
    StorageMoved(Cause),
    /// A backup is damaged.
    #[error("backup {id}: {cause}")]
    Damaged {
        /// The backup.
        id: VaultId,
        /// What is wrong with it.
        #[source]
        cause: Cause,
    },
    /// The backup is sealed, and none of the identities that open it is here. Nothing is wrong with it.
    #[error(transparent)]
    Sealed(Cause),
    /// The program failed: work that it had begun ended without an outcome.
    #[error(transparent)]
    Internal(Cause),
}

/// Why a request cannot be carried out as it stands. Trying it again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// Root znodes of a transactional backup.
    #[error("a transactional backup is of all of ZooKeeper; the znodes wanted are named at restore")]
    RootsOfTransactional,
    /// There is no storage of that name.
    #[error("there is no storage {name:?}: {}", known_storages(.known))]
    UnknownStorage {
        /// The name that was given.
        name: String,
        /// Those that there are, the default one first; none where there is only one, which has no name.
        known: Vec<String>,
    },
    /// Two storages of an engine have one name, or a further one that of the [first](crate::DEFAULT_STORAGE).
    #[error("two storages are called {0:?}")]
    StorageTwice(String),
    /// The whole tree cannot come under another path, nor anything in its place.
    #[error("the root cannot be renamed, and nothing can become it")]
    RenamesRoot,
    /// What is the server's own is written by no restore.
    #[error("{from} cannot become {to}, which is the server's own")]
    RenamesIntoServers {
        /// What was to be renamed.
        from: ZnodePath,
        /// And to what.
        to: ZnodePath,
    },
    /// A rename of what is not among the znodes asked for.
    #[error("{0} is to be renamed, and is not among the znodes asked for")]
    RenamesUnwanted(ZnodePath),
    /// A restore by files has no choice of znodes, names or policy.
    #[error("a restore by files replaces everything: no znodes, renames or policy can be chosen")]
    ChoosesByFiles,
    /// Only these have files.
    #[error("a restore by files needs a transactional backup, and {0} is none")]
    NotTransactional(VaultId),
    /// Its files are those of a server that was running, and servers would begin with them as they are.
    #[error(
        "backup {0} was written by the predecessor, and has no clean snapshot to place: restore it through the client API"
    )]
    FilesOfPredecessor(VaultId),
    /// It is no archive that could be taken in again.
    #[error(
        "backup {0} was written by the predecessor, and is not handed out as an archive of ours: copy its directory"
    )]
    NoArchive(VaultId),
    /// Zxids of later epochs are negative, and the ensemble is to have some left.
    #[error("the epoch can be raised to {0} at most")]
    EpochTooGreat(u32),
    /// Through the client API no epoch can be raised.
    #[error("only a restore by files can raise the epoch")]
    EpochOnline,
    /// Restored to memory it would take more than it may.
    #[error(
        "backup {id} would take about {needs} bytes of memory, and {allowed} are allowed: restore it to an ensemble, or allow more"
    )]
    TooLargeForMemory {
        /// The backup.
        id: VaultId,
        /// Bytes that it takes, about.
        needs: u64,
        /// Bytes that it may take.
        allowed: u64,
    },
    /// There is no ensemble for tests of restores.
    #[error("no ensemble is set to which backups are restored for a test")]
    NoTestEnsemble,
    /// A failed backup cannot be looked into.
    #[error("backup {id} failed and holds no znodes: {why}")]
    HoldsNothing {
        /// The backup.
        id: VaultId,
        /// Why it failed.
        why: String,
    },
    /// Files from outside are no backup that can be taken in.
    #[error("it is no backup that can be taken in: {0}")]
    NoBackup(String),
    /// Everything of a backup whose `/` stands for another znode would replace everything here.
    #[error(
        "backup {id} is of what is below {from}, and all of it would replace what is below {to}: name the znodes wanted"
    )]
    OfAnotherChroot {
        /// The backup.
        id: VaultId,
        /// The znode of the whole tree that its `/` stood for.
        from: ZnodePath,
        /// The one that `/` stands for here.
        to: ZnodePath,
    },
    /// Where `/` is only a part of the tree, what is of the whole of it cannot be had.
    #[error("{what} of all of ZooKeeper, and only what is below {chroot} is meant here")]
    BelowChroot {
        /// What was asked for, such as `a transactional backup is`.
        what: String,
        /// The znode that `/` stands for.
        chroot: ZnodePath,
    },
}

fn known_storages(known: &[String]) -> String {
    match known {
        [] => "all backups are kept in one place, which has no name".to_owned(),
        names => format!("there are {}", names.join(", ")),
    }
}

impl EngineError {
    /// A stable name of the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BackupNotFound(_) | Self::Elsewhere { .. } => "backup_not_found",
            Self::JobNotFound(_) => "job_not_found",
            Self::JobEnded { .. } => "job_ended",
            Self::InUse(_) => "backup_in_use",
            Self::Retained { .. } => "backup_retained",
            Self::NoLinks(_) => "no_links",
            Self::BackupExists(_) => "backup_exists",
            Self::NotLeading(_) => "no_leader",
            Self::QueueFull(_) => "queue_full",
            Self::Invalid(_) => "invalid_request",
            Self::FullRestoreOff => "refused",
            Self::ZnodeNotFound(_) => "znode_not_found",
            Self::ZooKeeper(_) => "zookeeper_failed",
            Self::StorageMoved(_) => "storage_moved",
            Self::Storage(_) | Self::Damaged { .. } => "storage_failed",
            Self::Sealed(_) => "backup_sealed",
            Self::Internal(_) => "internal",
        }
    }
}

impl EngineError {
    /// Whether the same request may be carried out later, without anything being done about it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::InUse(_)
            | Self::Retained { .. }
            | Self::NotLeading(_)
            | Self::QueueFull(_)
            | Self::StorageMoved(_) => true,
            Self::ZooKeeper(cause) | Self::Storage(cause) => cause_may_pass(&**cause),
            Self::BackupNotFound(_)
            | Self::Elsewhere { .. }
            | Self::NoLinks(_)
            | Self::BackupExists(_)
            | Self::JobNotFound(_)
            | Self::JobEnded { .. }
            | Self::Invalid(_)
            | Self::FullRestoreOff
            | Self::ZnodeNotFound(_)
            | Self::Damaged { .. }
            | Self::Sealed(_)
            | Self::Internal(_) => false,
        }
    }
}

/// What is not known to last may pass.
fn cause_may_pass(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<ClientError>() {
        return error.may_pass();
    }
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return error.may_pass();
    }
    if let Some(error) = cause.downcast_ref::<ArchiveError>() {
        return error.may_pass();
    }
    cause
        .downcast_ref::<QueueError>()
        .is_none_or(QueueError::may_pass)
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(id) => Self::BackupNotFound(id.to_string()),
            StoreError::Retained { ref id, until, .. } => Self::Retained {
                id: id.clone(),
                until,
                why: error.to_string(),
            },
            error @ StoreError::Moved(_) => Self::StorageMoved(error.into()),
            error @ StoreError::Sealed { .. } => Self::Sealed(error.into()),
            error => Self::Storage(error.into()),
        }
    }
}

impl From<QueueError> for EngineError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full(queued) => Self::QueueFull(queued),
            error => Self::Storage(error.into()),
        }
    }
}

/// The id of a vault; what is no id names none.
pub(crate) fn parse_id(id: &str) -> Result<VaultId, EngineError> {
    id.parse().map_err(|_| EngineError::BackupNotFound(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io;

    use zk_snapshot::tree::ClientErrorKind;

    use super::*;

    #[test]
    fn whether_an_error_may_pass_is_up_to_what_it_comes_from() {
        let away = ClientError::new("zk:2181", "no answer in time");
        let refused = away.clone().of_kind(ClientErrorKind::Credentials);
        let full = StoreError::io("vaults", io::ErrorKind::StorageFull.into());
        let denied = StoreError::io("vaults", io::ErrorKind::PermissionDenied.into());
        for (error, may_pass) in [
            (EngineError::ZooKeeper(away.into()), true),
            (EngineError::ZooKeeper(refused.into()), false),
            (full.into(), true),
            (denied.into(), false),
            (QueueError::storage("it is away").into(), true),
            (QueueError::Newer(9).into(), false),
            (EngineError::Storage(ArchiveError::NoSuchFrame(1).into()), false),
            (EngineError::Storage("of something else".into()), true),
        ] {
            assert_eq!(error.may_pass(), may_pass, "{error}");
        }
    }
}
