//! Why a restore ended early.

use super::{NotPermitted, RestoreReport};
use crate::archive::ArchiveError;
use crate::tree::error::io_may_pass;
use crate::tree::{ClientError, ZnodePath};

/// Why a restore ended early, before the report is put with it.
pub(super) enum Stop {
    Archive(ArchiveError),
    Client(ClientError),
    Ledger(std::io::Error),
    NotPermitted(NotPermitted),
}

impl Stop {
    pub(super) fn with(self, report: RestoreReport) -> RestoreError {
        let report = Box::new(report);
        match self {
            Self::Archive(cause) => RestoreError::Archive { cause, report },
            Self::Client(cause) => RestoreError::Client { cause, report },
            Self::Ledger(cause) => RestoreError::Ledger { cause, report },
            Self::NotPermitted(why) => RestoreError::Stopped { why, report },
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Ledger(error)
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

/// Why a restore ended early. Where it has a report, changes may have been made; running the restore again completes
/// them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backup cannot be read.
    #[error("{cause}; {} changes were made before", .report.changes())]
    Archive {
        /// Which part of it, and why.
        #[source]
        cause: ArchiveError,
        /// What had been done until then.
        report: Box<RestoreReport>,
    },
    /// What is unfinished cannot be noted, or what earlier restores left so cannot be read.
    #[error("what is unfinished cannot be noted or read: {cause}; {} changes were made before", .report.changes())]
    Ledger {
        /// Why.
        #[source]
        cause: std::io::Error,
        /// What had been done until then.
        report: Box<RestoreReport>,
    },
    /// The backup lacks what was asked for; nothing was written.
    #[error("the backup has no znode {}", list(.0))]
    NotInBackup(Vec<ZnodePath>),
    /// Two subtrees would end in the same place; nothing was written.
    #[error("{0} would be restored from two places in the backup")]
    Collision(ZnodePath),
    /// The backup has not as many znodes as it says ([`RestoreOptions::znodes`](super::RestoreOptions::znodes)); nothing was written.
    #[error("the backup is damaged: {there} znodes of {said} are there")]
    Miscounted {
        /// How many it has.
        there: u64,
        /// How many it says that it has.
        said: u64,
    },
    /// ZooKeeper could not be asked any more.
    #[error("{cause}; {} changes were made before", .report.changes())]
    Client {
        /// Which server, and why.
        #[source]
        cause: ClientError,
        /// What had been done until then.
        report: Box<RestoreReport>,
    },
    /// It was not permitted to go on ([`RestoreOptions::permit`](super::RestoreOptions::permit)).
    #[error("{why}; {} changes were made before", .report.changes())]
    Stopped {
        /// Why not.
        #[source]
        why: NotPermitted,
        /// What had been done until then.
        report: Box<RestoreReport>,
    },
}

impl RestoreError {
    /// What had been done until then, if anything can have been.
    #[must_use]
    pub fn report(&self) -> Option<&RestoreReport> {
        match self {
            Self::Archive { report, .. }
            | Self::Ledger { report, .. }
            | Self::Client { report, .. }
            | Self::Stopped { report, .. } => Some(report),
            Self::NotInBackup(_) | Self::Collision(_) | Self::Miscounted { .. } => None,
        }
    }

    /// Whether the same restore may come to its end later, though nobody changes anything. What was done stays done.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Archive { cause, .. } => cause.may_pass(),
            Self::Client { cause, .. } => cause.may_pass(),
            Self::Ledger { cause, .. } => io_may_pass(cause),
            Self::Stopped { .. } => true,
            Self::NotInBackup(_) | Self::Collision(_) | Self::Miscounted { .. } => false,
        }
    }
}

fn list(paths: &[ZnodePath]) -> String {
    paths
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
