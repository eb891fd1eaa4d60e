//! How a job's beginning and end are told in the process's log.

use std::time::Duration;

use job_queue::Job;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::result::JobResult;
use crate::kind;
use crate::requests::{BY, Labels};

/// A payload, of whichever kind.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    labels: Labels,
    /// All the rest.
    #[serde(flatten)]
    request: Map<String, Value>,
}

/// What was asked for, and by whom.
pub(super) fn begun(job: &Job) -> String {
    let (labels, asked) = match Asked::deserialize(&job.payload) {
        Ok(Asked { labels, request }) => (labels, Value::Object(request)),
        Err(_) => (Labels::new(), job.payload.clone()), // whatever it is, it is shown
    };
    let by = match (labels.get(BY), job.scheduled) {
        (_, true) => "by schedule".to_owned(),
        (Some(by), false) => format!("by {by}"),
        (None, false) => "by nobody who is known".to_owned(),
    };
    let vault = match kind::vault(job) {
        vault if vault.is_empty() || vault == job.id => String::new(),
        vault => format!(" of {vault}"),
    };
    format!("begins: {}{vault}, asked for {by}: {asked}", job.kind)
}

/// How it has ended, how long that took, and how much it was. `size`: bytes of a backup that was stored.
pub(super) fn ended(done: &Result<JobResult, Failure>, took: Duration, size: Option<u64>) -> String {
    let (how, result) = match done {
        Ok(result) => ("well".to_owned(), result),
        Err(Failure { cause, result }) => (format!("badly, {cause}"), result),
    };
    let much = match result {
        JobResult::Nothing => String::new(),
        JobResult::Backup(contents) => {
            let captured = contents.captured();
            let size = size.map_or(String::new(), |size| format!(", {size} bytes stored"));
            format!(
                ": {} znodes, {} bytes of data{size}",
                captured.znodes, captured.bytes
            )
        }
        JobResult::Restore(restored) => restored.report.as_ref().map_or(String::new(), |report| {
            let (changes, failed) = (report.changes(), report.failed);
            format!(
                ": {changes} changes, {failed} znodes failed, {} as they were",
                report.unchanged
            )
        }),
        JobResult::Verify(verified) => {
            let copies = match verified.copies {
                0 => String::new(),
                copies => format!(
                    ", with {copies} second copies, {} of them damaged",
                    verified.damaged_copies
                ),
            };
            format!(
                ": {} backups, {} bytes, {} damaged{copies}",
                verified.vaults, verified.bytes, verified.damaged_vaults
            )
        }
        JobResult::RestoreTest(test) => format!(": {} znodes differ", test.differing),
    };
    format!("ended {how}, after {:.3} s{much}", took.as_secs_f64())
}
