//! What jobs there are, and the names that the queue knows them by.

use job_queue::Job;
use serde::Serialize;

/// Who does the engine's jobs, where there is one engine over a queue.
pub(crate) const WORKER: &str = "engine";
/// Backups and restores never run together.
pub(crate) const LANE: &str = job_queue::MAIN_LANE;
/// Checks of what is stored: an hour of them holds up no backup.
pub(crate) const CHECKS: &str = "checks";

/// What a job does. Serialized as the name that it is stored by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(
    feature = "schema",
    derive(utoipa::ToSchema),
    schema(description = "What a job does.")
)]
pub enum JobKind {
    /// Write a vault, which is named as the job is.
    Backup,
    /// Bring the vault back that the job needs.
    Restore,
    /// Verify the vault that the job needs; where it needs none, those that were not verified for longest.
    Verify,
    /// Restore the vault that the job needs to a place of its own, and compare.
    RestoreTest,
}

impl JobKind {
    const ALL: [Self; 4] = [Self::Backup, Self::Restore, Self::Verify, Self::RestoreTest];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Verify => "verify",
            Self::RestoreTest => "restoretest",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What is told of a job whatever its record says.
    pub(crate) fn of(job: &Job) -> Self {
        Self::from_name(&job.kind).unwrap_or(if job.needs.is_empty() {
            Self::Backup
        } else {
            Self::Restore
        })
    }
}

/// The vault that a job is about: the one that it needs, or its own; empty where it is about several.
pub(crate) fn vault(job: &Job) -> &str {
    match job.needs.first() {
        Some(vault) => vault,
        None if JobKind::of(job) == JobKind::Verify => "",
        None => &job.id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kinds_are_read_back_and_told() {
        for kind in JobKind::ALL {
            assert_eq!(JobKind::from_name(kind.name()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert_eq!(JobKind::from_name("Backup"), None);
    }
}
