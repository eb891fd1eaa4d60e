//! What can be wrong, by kind, and the sentence for each.

use std::fmt;

/// Something that is wrong. Its `Display` is one sentence for people, without a full stop at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// There is no report, for this reason.
    NoReport(String),
    /// The storage cannot be asked, for this reason.
    StorageUnreadable(String),
    /// No backup could be written, for this reason.
    StorageNotWritable(String),
    /// Jobs cannot be queued or done, for this reason, which names where they are kept.
    JobsUnavailable(String),
    /// ZooKeeper does not answer, for this reason.
    ZooKeeperUnreachable(String),
    /// The newest backup failed, or lacks what it was not allowed to lack.
    NewestBackupFailed {
        /// Its id.
        id: String,
        /// Why, or what it lacks.
        reason: String,
    },
    /// Nothing can be told of the newest backup, which may be sound, for this reason.
    NewestBackupUnknown {
        /// Its id.
        id: String,
        /// Why not.
        why: String,
    },
    /// There are so many finished backups, more than one, and none of them is good.
    NoGoodBackup(usize),
    /// A backup is damaged.
    DamagedBackup {
        /// Its id.
        id: String,
        /// What is wrong with which of its files.
        damage: String,
    },
    /// So many more backups are damaged than those that are named.
    MoreDamagedBackups(u64),
    /// A backup is damaged where backups are kept, and is read from its second copy.
    FirstCopyDamaged {
        /// Its id.
        id: String,
        /// What is wrong with which of its files.
        damage: String,
    },
    /// The second copy of a backup is damaged, and not made anew yet. The backup may be sound.
    SecondCopyDamaged {
        /// The id of the backup.
        id: String,
        /// What is wrong with which of its files.
        damage: String,
    },
    /// No second copies have been made for a while, for this reason.
    NoSecondCopies {
        /// How many backups are known to have none.
        lacking: u64,
        /// Why not.
        why: String,
    },
    /// So many backups are not where backups are kept any more: only their second copies are left.
    OnlySecondCopies(u64),
    /// A backup was restored for a test, and what was restored is not as in it.
    RestoreTestFailed {
        /// Its id.
        id: String,
        /// What differs.
        difference: String,
    },
    /// What was to be read again while the server runs, such as secrets and certificates, is not in use, for this reason.
    NotReadAgain(String),
    /// A job whose record cannot be read, with its id and the reason; or why such jobs cannot be looked for.
    UnreadableJob(String),
    /// No policy evicts anything, since a note cannot be read by which they go.
    NothingEvicted(String),
    /// What was removed is still there, for this reason, which names the file.
    LeftOver(String),
    /// No policy evicts anything, since the clock has moved.
    ClockMoved {
        /// What it shows, and what it should show.
        why: String,
        /// A sentence on how an operator says that it is right.
        remedy: String,
    },
    /// The clock was set, not so far that policies stop: new backups have its dates, and schedules follow it.
    ClockSet {
        /// What it shows, and by how much that is off.
        why: String,
        /// A sentence on how an operator says that it is right.
        remedy: String,
    },
    /// A restore has begun znodes that are not as in a backup yet.
    UnfinishedZnodes {
        /// How many; at least one.
        count: u64,
        /// The first of them.
        path: String,
        /// The job that began it.
        restore: String,
        /// The backup that it was of.
        backup: String,
    },
    /// Which znodes restores left unfinished is not fully known.
    UnfinishedUnknown,
    /// A restore was cut off by the end of its process: some of it may be missing.
    InterruptedRestore {
        /// Its job.
        restore: String,
        /// The backup that it was of.
        backup: String,
        /// The subtrees that were asked for; none means everything.
        roots: Vec<String>,
    },
}

impl Problem {
    /// Whether it keeps everything from working.
    #[must_use]
    pub fn hinders(&self) -> bool {
        match self {
            Self::NoReport(_)
            | Self::StorageUnreadable(_)
            | Self::StorageNotWritable(_)
            | Self::JobsUnavailable(_)
            | Self::ZooKeeperUnreachable(_) => true,
            Self::NewestBackupFailed { .. }
            | Self::NewestBackupUnknown { .. }
            | Self::NoGoodBackup(_)
            | Self::DamagedBackup { .. }
            | Self::MoreDamagedBackups(_)
            | Self::FirstCopyDamaged { .. }
            | Self::SecondCopyDamaged { .. }
            | Self::NoSecondCopies { .. }
            | Self::OnlySecondCopies(_)
            | Self::RestoreTestFailed { .. }
            | Self::NotReadAgain(_)
            | Self::UnreadableJob(_)
            | Self::NothingEvicted(_)
            | Self::LeftOver(_)
            | Self::ClockMoved { .. }
            | Self::ClockSet { .. }
            | Self::UnfinishedZnodes { .. }
            | Self::UnfinishedUnknown
            | Self::InterruptedRestore { .. } => false,
        }
    }

    /// Whether it makes the status [`Warning`](crate::Status::Warning): backups need somebody.
    #[must_use]
    pub fn warns(&self) -> bool {
        match self {
            Self::NoReport(_)
            | Self::NewestBackupFailed { .. }
            | Self::NewestBackupUnknown { .. }
            | Self::NoGoodBackup(_)
            | Self::DamagedBackup { .. }
            | Self::MoreDamagedBackups(_)
            | Self::FirstCopyDamaged { .. }
            | Self::SecondCopyDamaged { .. }
            | Self::NoSecondCopies { .. }
            | Self::OnlySecondCopies(_)
            | Self::RestoreTestFailed { .. }
            | Self::NothingEvicted(_)
            | Self::LeftOver(_)
            | Self::ClockMoved { .. }
            | Self::ClockSet { .. }
            | Self::UnfinishedZnodes { .. }
            | Self::NotReadAgain(_)
            | Self::UnfinishedUnknown
            | Self::InterruptedRestore { .. } => true,
            Self::StorageUnreadable(_)
            | Self::StorageNotWritable(_)
            | Self::JobsUnavailable(_)
            | Self::ZooKeeperUnreachable(_)
            | Self::UnreadableJob(_) => false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReport(why) | Self::JobsUnavailable(why) | Self::UnreadableJob(why) => f.write_str(why),
            Self::StorageUnreadable(why) => write!(f, "storage: {why}"),
            Self::StorageNotWritable(why) => write!(f, "storage cannot be written: {why}"),
            Self::ZooKeeperUnreachable(why) => write!(f, "ZooKeeper: {why}"),
            Self::NewestBackupFailed { id, reason } => write!(f, "the newest backup {id} failed: {reason}"),
            Self::NewestBackupUnknown { id, why } => {
                write!(f, "nothing can be told of the newest backup {id}: {why}")
            }
            Self::NoGoodBackup(backups) => write!(f, "none of the {backups} backups is good"),
            Self::DamagedBackup { id, damage } => write!(f, "backup {id}: {damage}"),
            Self::MoreDamagedBackups(more) => write!(f, "{more} more backups are damaged"),
            Self::FirstCopyDamaged { id, damage } => {
                write!(f, "backup {id} is read from its second copy: {damage}")
            }
            Self::SecondCopyDamaged { id, damage } => {
                write!(f, "the second copy of backup {id} is damaged: {damage}")
            }
            Self::NoSecondCopies { lacking, why } => {
                write!(f, "no second copies are made, {lacking} backups have none: {why}")
            }
            Self::OnlySecondCopies(1) => f.write_str("1 backup is only in the second place"),
            Self::OnlySecondCopies(many) => write!(f, "{many} backups are only in the second place"),
            Self::RestoreTestFailed { id, difference } => {
                write!(
                    f,
                    "backup {id} was restored for a test, not exactly: {difference}"
                )
            }
            Self::NothingEvicted(why) => write!(f, "no policy evicts anything: {why}"),
            Self::LeftOver(why) => write!(f, "what was removed is still there: {why}"),
            Self::ClockMoved { why, remedy } => write!(f, "no policy evicts anything: {why}. {remedy}"),
            Self::ClockSet { why, remedy } => write!(f, "the clock was set: {why}. {remedy}"),
            Self::UnfinishedZnodes {
                count,
                path,
                restore,
                backup,
            } => {
                match count {
                    1 => write!(f, "the znode {path} is")?,
                    many => write!(f, "{many} znodes, such as {path}, are")?,
                }
                write!(
                    f,
                    " unfinished since the restore {restore} of backup {backup}: restore that again"
                )
            }
            Self::NotReadAgain(why) => write!(f, "secrets and certificates stay as they were: {why}"),
            Self::UnfinishedUnknown => f.write_str(
                "notes of jobs were damaged or are gone: which znodes restores left unfinished is not fully known",
            ),
            Self::InterruptedRestore {
                restore,
                backup,
                roots,
            } => {
                write!(f, "the restore {restore} of backup {backup}")?;
                if !roots.is_empty() {
                    write!(f, " of {}", roots.join(", "))?;
                }
                f.write_str(" was interrupted: ask for it again")
            }
        }
    }
}

#[cfg(test)]
mod tests;
