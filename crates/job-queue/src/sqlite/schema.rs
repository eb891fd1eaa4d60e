//! The tables, and how those of earlier versions become them.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::fault::Fault;
use super::rows::COLUMNS;
use crate::QueueError;

/// `PRAGMA user_version` of the tables below.
const VERSION: i64 = 2;
const JOBS: &str = "
    CREATE TABLE job (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        scheduled INTEGER NOT NULL,
        state TEXT NOT NULL,
        message TEXT,
        log_tail TEXT NOT NULL,
        result TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        finished_at INTEGER,
        needs TEXT NOT NULL DEFAULT '[]',
        lane TEXT NOT NULL DEFAULT 'main',
        worker TEXT,
        renewed_at INTEGER,
        cancel_requested INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX job_by_state ON job (state, seq);
    CREATE INDEX job_by_kind ON job (kind, id);";

const NOTES: &str = "
    CREATE TABLE note (
        job TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (job, key)
    ) WITHOUT ROWID;
    PRAGMA user_version = 2;";

/// The columns of version 1. `vault` named what the job was about: itself, or what it needed.
const COLUMNS_1: &str = "id, kind, vault, payload, scheduled, state, message, log_tail, result, created_at, \
                       started_at, finished_at";
/// A row whose `vault` is no text could not be read, and still cannot.
const JOBS_FROM_1: &str = "
    ALTER TABLE job ADD COLUMN needs TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE job ADD COLUMN lane TEXT NOT NULL DEFAULT 'main';
    ALTER TABLE job ADD COLUMN worker TEXT;
    ALTER TABLE job ADD COLUMN renewed_at INTEGER;
    ALTER TABLE job ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;
    UPDATE job SET needs = CASE
        WHEN typeof(vault) <> 'text' THEN 'not a text'
        WHEN vault = id THEN '[]'
        ELSE json_array(vault) END;
    ALTER TABLE job DROP COLUMN vault;";

/// A database of a later version is told before anything in it is judged.
pub(super) fn refuse_newer(connection: &Connection) -> Result<(), Fault> {
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        newer if newer > VERSION => Err(Fault::Other(QueueError::Newer(newer))),
        _ => Ok(()),
    }
}

/// Makes the tables, or brings those of an earlier version to this one, in one transaction.
pub(super) fn bring_up(connection: &mut Connection) -> Result<(), Fault> {
    let t = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match t.pragma_query_value(None, "user_version", |row| row.get(0))? {
        0 => {
            t.execute_batch(JOBS)?;
            t.execute_batch(NOTES)?;
        }
        1 => {
            is_there(&t, COLUMNS_1, "job")?;
            t.execute_batch(JOBS_FROM_1)?;
            t.execute_batch(NOTES)?;
        }
        VERSION => {}
        newer => return Err(Fault::Other(QueueError::Newer(newer))),
    }
    is_there(&t, COLUMNS, "job")?;
    is_there(&t, "job, key, value", "note")?;
    t.commit()?;
    Ok(())
}

fn is_there(t: &Transaction<'_>, columns: &str, table: &str) -> Result<(), Fault> {
    match t.prepare(&format!("SELECT {columns} FROM {table} LIMIT 0")) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::Damaged(error)),
    }
}
