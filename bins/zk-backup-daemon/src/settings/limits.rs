//! How much is done, waits or is taken in at most.

use std::time::Duration;

use super::values::{SettingsError, number};
use crate::Args;

pub(super) fn consistency_rounds(args: &Args) -> Result<u32, SettingsError> {
    let (name, value) = ("CONSISTENCY_ROUNDS", args.consistency_rounds.as_ref());
    number(name, value, 200, "a number from 0 to 1000000", |rounds| {
        *rounds <= 1_000_000
    })
}

pub(super) fn sequence_restore(args: &Args) -> Result<u64, SettingsError> {
    let (name, value) = ("SEQUENCE_RESTORE_LIMIT", args.sequence_restore_limit.as_ref());
    number(name, value, 1_000_000, "a number from 0", |_| true)
}

pub(super) fn restore_timeout(args: &Args) -> Result<Duration, SettingsError> {
    let (name, value) = ("RESTORE_TIMEOUT", args.restore_timeout.as_ref());
    let seconds = number(name, value, 600, "seconds from 1 to 31536000", |seconds| {
        (1..=31_536_000).contains(seconds)
    })?;
    Ok(Duration::from_secs(seconds))
}

/// In bytes.
pub(super) fn upload(args: &Args) -> Result<u64, SettingsError> {
    let (name, value) = ("UPLOAD_LIMIT", args.upload_limit.as_ref());
    number(name, value, 16 << 30, "a number of bytes", |_| true)
}

pub(super) fn queued_jobs(args: &Args) -> Result<usize, SettingsError> {
    let (name, value) = ("MAX_QUEUED_JOBS", args.max_queued_jobs.as_ref());
    number(name, value, 100, "a number from 1 to 1000000", |jobs| {
        (1..=1_000_000).contains(jobs)
    })
}
