//! Rows of the table, and what is told of one that cannot be read.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::{Job, JobKind, JobState, QueueError};

pub(super) const COLUMNS: &str = "id, kind, vault, payload, scheduled, state, message, log_tail, result, created_at, \
                       started_at, finished_at";

/// What the message of a job begins with whose row could not be read.
pub(super) const UNREADABLE: &str = "its row in the job database cannot be read";

pub(super) fn parse(row: &Row<'_>) -> Result<Job, QueueError> {
    let text = |index: usize| row.get::<_, String>(index).map_err(storage);
    let time = |index: usize| {
        row.get::<_, Option<i64>>(index)
            .map(|t| t.map(from_millis))
            .map_err(storage)
    };
    Ok(Job {
        id: text(0)?,
        kind: serde_json::from_value(Value::String(text(1)?)).map_err(storage)?,
        vault: text(2)?,
        payload: serde_json::from_str(&text(3)?).map_err(storage)?,
        scheduled: row.get(4).map_err(storage)?,
        state: serde_json::from_value(Value::String(text(5)?)).map_err(storage)?,
        message: row.get(6).map_err(storage)?,
        log_tail: serde_json::from_str(&text(7)?).map_err(storage)?,
        result: serde_json::from_str(&text(8)?).map_err(storage)?,
        created_at: time(9)?.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        started_at: time(10)?,
        finished_at: time(11)?,
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
                bad.push((row.get::<_, i64>(12).map_err(storage)?, error));
            }
        }
    }
    for (seq, why) in bad {
        fail_row(&t, seq, &why)?;
    }
    t.commit().map_err(storage)
}

pub(super) fn fail_row(t: &Transaction<'_>, seq: i64, why: &QueueError) -> Result<(), QueueError> {
    t.execute(
        "UPDATE job SET state = 'Failed', message = ?2 WHERE seq = ?1",
        params![seq, unreadable_message(why)],
    )
    .map_err(storage)?;
    Ok(())
}

fn unreadable_message(why: &QueueError) -> String {
    // What stands in the row may be part of it, and of any length.
    let why: String = why.to_string().escape_debug().take(300).collect();
    format!("{UNREADABLE}: {why}")
}

/// What can be told of a job whose row cannot be read. That of a backup is named as its vault is.
fn unreadable_job(row: &Row<'_>, id: &str, why: &QueueError) -> Job {
    let text = |index: usize| row.get::<_, String>(index).ok();
    let time = |index: usize| row.get::<_, Option<i64>>(index).ok().flatten().map(from_millis);
    let vault = text(2).unwrap_or_default();
    let otherwise = if vault == id {
        JobKind::Backup
    } else {
        JobKind::Restore
    };
    let kind = text(1).and_then(|kind| serde_json::from_value(Value::String(kind)).ok());
    Job {
        id: id.to_owned(),
        kind: kind.unwrap_or(otherwise),
        vault,
        payload: Value::Null,
        scheduled: false,
        state: JobState::Failed,
        message: Some(unreadable_message(why)),
        log_tail: Vec::new(),
        result: Value::Null,
        created_at: time(9).unwrap_or(OffsetDateTime::UNIX_EPOCH),
        started_at: time(10),
        finished_at: time(11),
    }
}

pub(super) fn storage(error: impl std::fmt::Display) -> QueueError {
    QueueError::Storage(error.to_string())
}

pub(super) fn millis(time: OffsetDateTime) -> i64 {
    // Any date that `time` can hold is far below the limit.
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

pub(super) fn from_millis(millis: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::milliseconds(millis))
}

pub(super) fn whole_millis(time: OffsetDateTime) -> OffsetDateTime {
    from_millis(millis(time))
}
