//! Jobs in a SQLite database.

mod file;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde_json::Value;
use time::OffsetDateTime;

use self::file::{Fault, move_aside, open_sound};
use self::rows::{COLUMNS, UNREADABLE, fail_row, from_millis, load, millis, parse, storage, whole_millis};
use crate::store::{INTERRUPTED, check};
use crate::{Counts, Job, JobKind, JobState, JobStore, NewJob, Outcome, QueueError};

/// Jobs in a SQLite database, in WAL mode with `synchronous=FULL`: what a call has done survives a power loss.
#[derive(Debug)]
pub struct SqliteJobs(Mutex<Connection>);

/// A database that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub jobs: SqliteJobs,
    /// Where the old file lies, if it was no database, or a damaged one, and a new one was begun.
    pub moved_aside: Option<PathBuf>,
}

impl SqliteJobs {
    /// Opens the database at `path`, made if it is missing and the owner's alone. A file that is no sound database is
    /// moved aside; jobs whose row cannot be read are failed.
    ///
    /// # Errors
    /// [`QueueError::Newer`]; [`QueueError::Storage`], also where a file of it has another name, or is a link.
    pub fn open(path: &Path) -> Result<Opened, QueueError> {
        match open_sound(path) {
            Err(Fault::Damaged(_)) => {
                let moved_aside = Some(move_aside(path)?);
                let connection = open_sound(path).map_err(Fault::into_error)?;
                Ok(Opened {
                    jobs: Self(Mutex::new(connection)),
                    moved_aside,
                })
            }
            Err(fault) => Err(fault.into_error()),
            Ok(connection) => Ok(Opened {
                jobs: Self(Mutex::new(connection)),
                moved_aside: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        let mut connection = self.lock();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(storage)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(storage)?;
        Ok(done)
    }
}

impl JobStore for SqliteJobs {
    fn enqueue(&self, job: NewJob, now: OffsetDateTime, max_queued: usize) -> Result<Job, QueueError> {
        let job = Job::queued(job, whole_millis(now));
        self.write(|t| {
            if state_of(t, &job.id)?.is_some() {
                return Err(QueueError::Duplicate(job.id.clone()));
            }
            let queued = count(t, "state = 'Queued'")?;
            if queued >= max_queued {
                return Err(QueueError::Full(queued));
            }
            t.execute(
                "INSERT INTO job (id, kind, vault, payload, scheduled, state, log_tail, result, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'Queued', '[]', 'null', ?6)",
                params![
                    job.id,
                    kind_name(job.kind),
                    job.vault,
                    job.payload.to_string(),
                    job.scheduled,
                    millis(now)
                ],
            )
            .map_err(storage)?;
            Ok(())
        })?;
        Ok(job)
    }

    fn claim(&self, now: OffsetDateTime) -> Result<Option<Job>, QueueError> {
        self.write(|t| {
            loop {
                let sql =
                    format!("SELECT {COLUMNS}, seq FROM job WHERE state = 'Queued' ORDER BY seq LIMIT 1");
                let first = t.query_row(&sql, [], |row| Ok((parse(row), row.get::<_, i64>(12)?)));
                let Some((job, seq)) = first.optional().map_err(storage)? else {
                    return Ok(None);
                };
                match job {
                    Err(why) => fail_row(t, seq, &why)?,
                    Ok(job) => {
                        t.execute(
                            "UPDATE job SET state = 'Processing', started_at = ?2 WHERE seq = ?1",
                            params![seq, millis(now)],
                        )
                        .map_err(storage)?;
                        return load(t, &job.id);
                    }
                }
            }
        })
    }

    fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
        self.write(|t| {
            let state = state_of(t, id)?.ok_or_else(|| QueueError::NotFound(id.to_owned()))?;
            if state != JobState::Processing {
                return Err(QueueError::Illegal {
                    id: id.to_owned(),
                    from: state,
                    to: outcome.state,
                });
            }
            check(id, state, outcome.state)?;
            end(t, id, &outcome, now)
        })
    }

    fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<(), QueueError> {
        self.write(|t| {
            let state = state_of(t, id)?.ok_or_else(|| QueueError::NotFound(id.to_owned()))?;
            if state != JobState::Queued {
                return Err(QueueError::Illegal {
                    id: id.to_owned(),
                    from: state,
                    to: JobState::Canceled,
                });
            }
            let outcome = Outcome {
                state: JobState::Canceled,
                message: None,
                log_tail: Vec::new(),
                result: Value::Null,
            };
            end(t, id, &outcome, now)
        })
    }

    fn get(&self, id: &str) -> Result<Option<Job>, QueueError> {
        load(&self.lock(), id)
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        let connection = self.lock();
        let oldest: Option<i64> = connection
            .query_row(
                "SELECT min(created_at) FROM job WHERE state = 'Queued' AND typeof(created_at) = 'integer'",
                [],
                |row| row.get(0),
            )
            .map_err(storage)?;
        Ok(Counts {
            queued: count(&connection, "state = 'Queued'")?,
            queued_by_schedule: count(&connection, "state = 'Queued' AND scheduled")?,
            processing: count(&connection, "state = 'Processing'")?,
            oldest_queued_at: oldest.map(from_millis),
        })
    }

    fn greatest_id(&self, kind: JobKind) -> Result<Option<String>, QueueError> {
        let find = "SELECT max(id) FROM job WHERE kind = ?1 AND typeof(id) = 'text'";
        self.lock()
            .query_row(find, [kind_name(kind)], |row| row.get(0))
            .map_err(storage)
    }

    fn is_to_be_restored(&self, vault: &str) -> Result<bool, QueueError> {
        let find = "SELECT EXISTS (SELECT 1 FROM job WHERE state IN ('Queued', 'Processing') AND kind = ?1 AND vault = ?2)";
        self.lock()
            .query_row(find, [kind_name(JobKind::Restore), vault], |row| row.get(0))
            .map_err(storage)
    }

    fn recover(&self, now: OffsetDateTime) -> Result<Vec<Job>, QueueError> {
        self.write(|t| {
            let mut find = t
                .prepare("SELECT id FROM job WHERE state = 'Processing' ORDER BY seq")
                .map_err(storage)?;
            let ids: Vec<String> = find
                .query_map([], |row| row.get(0))
                .and_then(Iterator::collect::<Result<_, _>>)
                .map_err(storage)?;
            let mut cut = Vec::new();
            for id in ids {
                end(t, &id, &Outcome::failure(INTERRUPTED), now)?;
                cut.extend(load(t, &id)?);
            }
            Ok(cut)
        })
    }

    fn unreadable(&self) -> Result<Vec<String>, QueueError> {
        let connection = self.lock();
        let mut find = connection
            .prepare("SELECT id, message FROM job WHERE message GLOB ?1 ORDER BY seq DESC LIMIT 20")
            .map_err(storage)?;
        let named = |row: &Row<'_>| {
            let id = row
                .get_ref(0)?
                .as_bytes()
                .map_or_else(|_| "?".into(), String::from_utf8_lossy);
            Ok(format!("job {id}: {}", row.get::<_, String>(1)?))
        };
        find.query_map([format!("{UNREADABLE}*")], named)
            .and_then(Iterator::collect)
            .map_err(storage)
    }

    fn prune(&self, keep: usize) -> Result<usize, QueueError> {
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        self.write(|t| {
            t.execute(
                "DELETE FROM job WHERE state NOT IN ('Queued', 'Processing')
                   AND seq NOT IN (SELECT seq FROM job WHERE state NOT IN ('Queued', 'Processing')
                                   ORDER BY seq DESC LIMIT ?1)
                   AND id NOT IN (SELECT max(id) FROM job WHERE typeof(id) = 'text' AND kind IN ('backup', 'restore')
                                  GROUP BY kind)",
                [keep],
            )
            .map_err(storage)
        })
    }
}

fn count(connection: &Connection, what: &str) -> Result<usize, QueueError> {
    let count: i64 = connection
        .query_row(&format!("SELECT count(*) FROM job WHERE {what}"), [], |row| {
            row.get(0)
        })
        .map_err(storage)?;
    usize::try_from(count).map_err(storage)
}

/// The state of a job, whatever else its row says.
fn state_of(connection: &Connection, id: &str) -> Result<Option<JobState>, QueueError> {
    let find = "SELECT state FROM job WHERE id = ?1";
    let state: Option<Value> = connection
        .query_row(find, [id], |row| Ok(Value::String(row.get(0)?)))
        .optional()
        .map_err(storage)?;
    state.map(serde_json::from_value).transpose().map_err(storage)
}

fn end(t: &Transaction<'_>, id: &str, outcome: &Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
    let tail = serde_json::to_string(&outcome.log_tail).map_err(storage)?;
    t.execute(
        "UPDATE job SET state = ?2, message = ?3, log_tail = ?4, result = ?5, finished_at = ?6 WHERE id = ?1",
        params![
            id,
            format!("{:?}", outcome.state),
            outcome.message,
            tail,
            outcome.result.to_string(),
            millis(now)
        ],
    )
    .map_err(storage)?;
    Ok(())
}

fn kind_name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Backup => "backup",
        JobKind::Restore => "restore",
    }
}
