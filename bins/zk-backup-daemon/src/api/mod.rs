//! The answers of the REST API as they go over the wire, in the predecessor's words where it has them.

mod backups;
mod diff;
mod events;
mod evictions;
mod finds;
mod health;
mod history;
mod jobs;
mod links;
mod news;
mod policies;
mod server;
mod v1;
mod znodes;

pub(crate) use backups::Backup;
pub(crate) use diff::Diff;
pub(crate) use events::Event;
pub(crate) use evictions::Eviction;
pub(crate) use finds::Finds;
pub(crate) use health::{Health, Live, Ready, Told};
pub(crate) use history::History;
pub(crate) use jobs::{Job, Jobs, NoJob, Terminated};
pub(crate) use links::Links;
pub(crate) use news::Notification;
pub(crate) use policies::Policies;
pub(crate) use server::{Caller, Places};
pub(crate) use v1::{ForgottenV1, JobV1, RemovedV1};
pub(crate) use znodes::{Znode, Znodes};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn rfc3339(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
}

/// Since the Unix epoch.
fn ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}
