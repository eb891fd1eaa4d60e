use job_queue::QueueError;
use vault_store::StoreError;

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such backup.
    #[error("backup {0} not found")]
    BackupNotFound(String),
    /// The backup is being written or restored just now.
    #[error("backup {0} is in use by a running or waiting job")]
    InUse(String),
    /// As many jobs wait as may.
    #[error("{0} jobs are queued already, and no more may wait")]
    QueueFull(usize),
    /// The request cannot be carried out as it stands.
    #[error("{0}")]
    Invalid(String),
    /// The configuration does not allow it.
    #[error("{0}")]
    Refused(String),
    /// The backup has no such znode.
    #[error("{0}")]
    ZnodeNotFound(String),
    /// ZooKeeper could not be asked.
    #[error("{0}")]
    ZooKeeper(String),
    /// The storage or the job database failed.
    #[error("{0}")]
    Storage(String),
}

impl EngineError {
    /// A stable name of the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BackupNotFound(_) => "backup_not_found",
            Self::InUse(_) => "backup_in_use",
            Self::QueueFull(_) => "queue_full",
            Self::Invalid(_) => "invalid_request",
            Self::Refused(_) => "refused",
            Self::ZnodeNotFound(_) => "znode_not_found",
            Self::ZooKeeper(_) => "zookeeper_failed",
            Self::Storage(_) => "storage_failed",
        }
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(id) => Self::BackupNotFound(id.to_string()),
            error => Self::Storage(error.to_string()),
        }
    }
}

impl From<QueueError> for EngineError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full(queued) => Self::QueueFull(queued),
            error => Self::Storage(error.to_string()),
        }
    }
}
