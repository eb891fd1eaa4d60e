//! Rows of the table, and what is told of one that cannot be read.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use time::OffsetDateTime;

use crate::millis::from_millis;
use crate::{Job, JobState, NewJob, QueueError};

pub(super) const COLUMNS: &str = "id, kind, payload, scheduled, state, message, log_tail, result, created_at, \
                       started_at, finished_at, needs, lane, worker, renewed_at, cancel_requested";

/// Why a row cannot be read.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the message of a job begins with whose row could not be read.
pub(super) const UNREADABLE: &str = "its row in the job database cannot be read";

pub(super) fn parse(row: &Row<'_>) -> Result<Job, BoxError> {
    let text = |column: &str| row.get::<_, String>(column);
    let time = |column: &str| Ok::<_, BoxError>(row.get::<_, Option<i64>>(column)?.map(from_millis));
    let state = text("state")?;
    let new = NewJob {
        id: text("id")?,
        kind: text("kind")?,
        lane: text("lane")?,
        needs: serde_json::from_str(&text("needs")?)?,
        payload: serde_json::from_str(&text("payload")?)?,
        scheduled: row.get("scheduled")?,
    };
    Ok(Job {
        state: JobState::from_name(&state).ok_or_else(|| format!("unknown state {state:?}"))?,
        worker: row.get("worker")?,
        renewed_at: time("renewed_at")?,
        cancel_requested: row.get("cancel_requested")?,
        message: row.get("message")?,
        log_tail: serde_json::from_str(&text("log_tail")?)?,
        result: serde_json::from_str(&text("result")?)?,
        started_at: time("started_at")?,
        finished_at: time("finished_at")?,
        ..Job::queued(new, time("created_at")?.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    })
}

pub(super) fn load(connection: &Connection, id: &str) -> Result<Option<Job>, QueueError> {
    connection
        .query_row(&format!("SELECT {COLUMNS} FROM job WHERE id = ?1"), [id], |row| {
            Ok(parse(row).unwrap_or_else(|why| unreadable_job(row, id, &why)))
        })
        .optional()
        .map_err(storage)
}

/// A job, or what can be told of one whose row cannot be read, its id included.
pub(super) fn readable_or_failed(row: &Row<'_>) -> Job {
    parse(row).unwrap_or_else(|why| {
        let id = row
            .get_ref("id")
            .ok()
            .and_then(|id| id.as_bytes().ok().map(String::from_utf8_lossy));
        unreadable_job(row, &id.unwrap_or_else(|| "?".into()), &why)
    })
}

/// Fails every job whose row cannot be read, so that it stands in nobody's way.
pub(super) fn fail_unreadable(connection: &mut Connection) -> Result<(), QueueError> {
    let t = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(storage)?;
    let mut bad = Vec::new();
    {
        let mut all = t
            .prepare(&format!("SELECT {COLUMNS}, seq FROM job"))
            .map_err(storage)?;
        let mut rows = all.query([]).map_err(storage)?;
        while let Some(row) = rows.next().map_err(storage)? {
            if let Err(error) = parse(row) {
                bad.push((row.get::<_, i64>("seq").map_err(storage)?, error));
            }
        }
    }
    for (seq, why) in bad {
        fail_row(&t, seq, &why)?;
    }
    t.commit().map_err(storage)
}

pub(super) fn fail_row(t: &Transaction<'_>, seq: i64, why: &BoxError) -> Result<(), QueueError> {
    t.execute(
        "UPDATE job SET state = ?3, message = ?2 WHERE seq = ?1",
        params![seq, unreadable_message(why), JobState::Failed.name()],
    )
    .map_err(storage)?;
    Ok(())
}

fn unreadable_message(why: &BoxError) -> String {
    // What stands in the row may be part of it, and of any length.
    let why: String = why.to_string().escape_debug().take(300).collect();
    format!("{UNREADABLE}: {why}")
}

/// What can be told of a job whose row cannot be read.
fn unreadable_job(row: &Row<'_>, id: &str, why: &BoxError) -> Job {
    let text = |column: &str| row.get::<_, String>(column).ok();
    let time = |column: &str| row.get::<_, Option<i64>>(column).ok().flatten().map(from_millis);
    let needs = text("needs").and_then(|needs| serde_json::from_str(&needs).ok());
    let new = NewJob {
        lane: text("lane").unwrap_or_default(),
        needs: needs.unwrap_or_default(),
        ..NewJob::new(id, text("kind").unwrap_or_default())
    };
    Job {
        state: JobState::Failed,
        message: Some(unreadable_message(why)),
        started_at: time("started_at"),
        finished_at: time("finished_at"),
        ..Job::queued(new, time("created_at").unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }
}

pub(super) fn storage(error: impl Into<BoxError>) -> QueueError {
    QueueError::storage(error)
}
