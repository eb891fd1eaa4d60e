//! Jobs in a SQLite database.

mod fault;
mod file;
mod held;
mod notes;
mod rows;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use time::OffsetDateTime;

use self::fault::Fault;
use self::file::{move_aside, open_sound};
use self::held::Held;
use self::rows::{COLUMNS, UNREADABLE, fail_row, load, parse, readable_or_failed, storage};
use crate::millis::{from_millis, millis, whole_millis};
use crate::store::{INTERRUPTED, check_cancel, check_end};
use crate::{Counts, Job, JobState, JobStore, Listed, NewJob, Note, Outcome, QueueError};

/// The states in SQL.
const QUEUED: &str = JobState::Queued.name();
const PROCESSING: &str = JobState::Processing.name();

/// Jobs in a SQLite database, in WAL mode with `synchronous=FULL`: what a call has done survives a power loss.
#[derive(Debug)]
pub struct SqliteJobs(Mutex<Held>);

/// A database that was opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The store.
    pub jobs: SqliteJobs,
    /// Where the old file lies, if it was no database, or a damaged one, and a new one was begun: with those of the old
    /// one's notes that could still be read, and no jobs.
    pub moved_aside: Option<PathBuf>,
    /// Whether some of its notes could not be read.
    pub notes_lost: bool,
    /// Whether there was none, or an empty file, and a new one was begun.
    pub is_new: bool,
}

impl SqliteJobs {
    /// Opens the database at `path`, made if it is missing and the owner's alone. A file that is no sound database is
    /// moved aside; one of an earlier version is brought to this one; jobs whose row cannot be read are failed. The jobs
    /// of versions that knew no lanes are in [`MAIN_LANE`](crate::MAIN_LANE), and nobody has claimed them. On a full disk what there is can be read, and a new one is
    /// made once there is room.
    ///
    /// # Errors
    /// [`QueueError::Newer`]; [`QueueError::Storage`], also where a file of it has another name, or is a link.
    pub fn open(path: &Path) -> Result<Opened, QueueError> {
        file::finish_succession(path)?;
        let is_new = !file::is_there(path);
        let held = match open_sound(path) {
            Err(Fault::Damaged(_)) => return Self::begin_anew(path),
            Err(Fault::NoRoom(error)) => Held::without_room(path, &error)?,
            Err(fault) => return Err(fault.into_error()),
            Ok(connection) => Held::new(connection),
        };
        Ok(Opened {
            jobs: Self(Mutex::new(held)),
            moved_aside: None,
            notes_lost: false,
            is_new,
        })
    }

    /// A new database has the notes before it takes the place of the damaged one: a crash in between loses none.
    fn begin_anew(path: &Path) -> Result<Opened, QueueError> {
        let (salvaged, complete) = notes::salvage(path);
        let new = file::begin_successor(path)?;
        let held = Held::new(open_sound(&new).map_err(Fault::into_error)?);
        let jobs = Self(Mutex::new(held));
        jobs.put_notes(&salvaged)?;
        drop(jobs); // what is in its log goes into the file itself
        let aside = move_aside(path)?;
        file::succeed(path)?;
        let connection = open_sound(path).map_err(Fault::into_error)?;
        Ok(Opened {
            jobs: Self(Mutex::new(Held::new(connection))),
            moved_aside: Some(aside),
            notes_lost: !complete,
            is_new: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        let mut held = self.lock();
        held.begin_if_due()?;
        let transaction = held
            .connection
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
            let taken = "SELECT EXISTS (SELECT 1 FROM job WHERE id = ?1)";
            if t.query_row(taken, [&job.id], |row| row.get(0)).map_err(storage)? {
                return Err(QueueError::Duplicate(job.id.clone()));
            }
            let in_lane = "SELECT count(*) FROM job WHERE state = ?1 AND lane = ?2";
            let queued: i64 = t
                .query_row(in_lane, [QUEUED, &*job.lane], |row| row.get(0))
                .map_err(storage)?;
            let queued = usize::try_from(queued).map_err(storage)?;
            if queued >= max_queued {
                return Err(QueueError::Full(queued));
            }
            let needs = serde_json::to_string(&job.needs).map_err(storage)?;
            t.execute(
                "INSERT INTO job (id, kind, lane, needs, payload, scheduled, state, log_tail, result, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '[]', 'null', ?8)",
                params![
                    job.id,
                    job.kind,
                    job.lane,
                    needs,
                    job.payload.to_string(),
                    job.scheduled,
                    QUEUED,
                    millis(now)
                ],
            )
            .map_err(storage)?;
            Ok(())
        })?;
        Ok(job)
    }

    fn claim(&self, worker: &str, lane: &str, now: OffsetDateTime) -> Result<Option<Job>, QueueError> {
        self.write(|t| {
            let busy = "SELECT EXISTS (SELECT 1 FROM job WHERE state = ?1 AND lane = ?2)";
            if t.query_row(busy, [PROCESSING, lane], |row| row.get(0))
                .map_err(storage)?
            {
                return Ok(None);
            }
            // What names no lane that can be read is in the way of all.
            let sql = format!(
                "SELECT {COLUMNS}, seq FROM job WHERE state = ?1 AND (lane = ?2 OR typeof(lane) <> 'text')
                 ORDER BY seq LIMIT 1"
            );
            loop {
                let first = t.query_row(&sql, [QUEUED, lane], |row| {
                    Ok((parse(row), row.get::<_, i64>("seq")?))
                });
                let Some((job, seq)) = first.optional().map_err(storage)? else {
                    return Ok(None);
                };
                match job {
                    Err(why) => fail_row(t, seq, &why)?,
                    Ok(job) => {
                        t.execute(
                            "UPDATE job SET state = ?2, worker = ?3, started_at = ?4, renewed_at = ?4 WHERE seq = ?1",
                            params![seq, PROCESSING, worker, millis(now)],
                        )
                        .map_err(storage)?;
                        return load(t, &job.id);
                    }
                }
            }
        })
    }

    fn renew(&self, id: &str, worker: &str, now: OffsetDateTime) -> Result<Job, QueueError> {
        self.write(|t| {
            state_of(t, id)?;
            let renew = "UPDATE job SET renewed_at = ?4 WHERE id = ?1 AND state = ?2 AND worker = ?3";
            let renewed = t
                .execute(renew, params![id, PROCESSING, worker, millis(now)])
                .map_err(storage)?;
            if renewed == 0 {
                return Err(QueueError::NotHeld {
                    id: id.to_owned(),
                    worker: worker.to_owned(),
                });
            }
            load(t, id)?.ok_or_else(|| QueueError::NotFound(id.to_owned()))
        })
    }

    fn finish(&self, id: &str, outcome: Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
        self.write(|t| {
            check_end(id, state_of(t, id)?, outcome.state)?;
            end(t, id, &outcome, now)
        })
    }

    fn cancel(&self, id: &str, now: OffsetDateTime) -> Result<JobState, QueueError> {
        self.write(|t| {
            let next = check_cancel(id, state_of(t, id)?)?;
            if next == JobState::Canceled {
                end(t, id, &Outcome::canceled_waiting(), now)?;
            } else {
                t.execute("UPDATE job SET cancel_requested = 1 WHERE id = ?1", [id])
                    .map_err(storage)?;
            }
            Ok(next)
        })
    }

    fn get(&self, id: &str) -> Result<Option<Job>, QueueError> {
        load(&self.lock().connection, id)
    }

    fn list(&self, offset: usize, limit: usize) -> Result<Listed, QueueError> {
        let held = self.lock();
        let connection = &held.connection;
        let total: i64 = connection
            .query_row("SELECT count(*) FROM job", [], |row| row.get(0))
            .map_err(storage)?;
        let find = format!("SELECT {COLUMNS} FROM job ORDER BY seq DESC LIMIT ?1 OFFSET ?2");
        let [offset, limit] = [offset, limit].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let mut find = connection.prepare_cached(&find).map_err(storage)?;
        let jobs = find
            .query_map([limit, offset], |row| Ok(readable_or_failed(row)))
            .and_then(Iterator::collect)
            .map_err(storage)?;
        Ok(Listed::new(usize::try_from(total).map_err(storage)?, jobs))
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        let held = self.lock();
        let connection = &held.connection;
        let oldest: Option<i64> = connection
            .query_row(
                "SELECT min(created_at) FROM job WHERE state = ?1 AND typeof(created_at) = 'integer'",
                [QUEUED],
                |row| row.get(0),
            )
            .map_err(storage)?;
        Ok(Counts {
            queued: count(connection, "state = ?1", QUEUED)?,
            queued_by_schedule: count(connection, "state = ?1 AND scheduled", QUEUED)?,
            processing: count(connection, "state = ?1", PROCESSING)?,
            oldest_queued_at: oldest.map(from_millis),
        })
    }

    fn greatest_id(&self, kind: &str) -> Result<Option<String>, QueueError> {
        let find = "SELECT max(id) FROM job WHERE kind = ?1 AND typeof(id) = 'text'";
        self.lock()
            .connection
            .query_row(find, [kind], |row| row.get(0))
            .map_err(storage)
    }

    fn is_needed(&self, name: &str) -> Result<bool, QueueError> {
        let held = self.lock();
        let connection = &held.connection;
        let mut find = connection
            .prepare_cached("SELECT needs FROM job WHERE state IN (?1, ?2)")
            .map_err(storage)?;
        let mut rows = find.query([QUEUED, PROCESSING]).map_err(storage)?;
        while let Some(row) = rows.next().map_err(storage)? {
            // What a row needs that cannot be read is nothing: it will be failed.
            let needs = row.get_ref(0).map_err(storage)?.as_bytes().unwrap_or_default();
            let needs: Vec<String> = serde_json::from_slice(needs).unwrap_or_default();
            if needs.iter().any(|need| need == name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn cut_off(&self, worker: &str, lapsed_before: Option<OffsetDateTime>) -> Result<Vec<Job>, QueueError> {
        let held = self.lock();
        let connection = &held.connection;
        let mut cut = Vec::new();
        for id in cut_off(connection, worker, lapsed_before)? {
            cut.extend(load(connection, &id)?);
        }
        Ok(cut)
    }

    fn recover(
        &self,
        worker: &str,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Vec<Job>, QueueError> {
        self.write(|t| {
            let mut cut = Vec::new();
            for id in cut_off(t, worker, lapsed_before)? {
                end(t, &id, &Outcome::failure(INTERRUPTED), now)?;
                cut.extend(load(t, &id)?);
            }
            Ok(cut)
        })
    }

    fn unreadable(&self) -> Result<Vec<String>, QueueError> {
        let held = self.lock();
        let connection = &held.connection;
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
                "DELETE FROM job WHERE state NOT IN (?2, ?3)
                   AND seq NOT IN (SELECT seq FROM job WHERE state NOT IN (?2, ?3) ORDER BY seq DESC LIMIT ?1)
                   AND id NOT IN (SELECT max(id) FROM job WHERE typeof(id) = 'text' AND typeof(kind) = 'text'
                                  GROUP BY kind)",
                params![keep, QUEUED, PROCESSING],
            )
            .map_err(storage)
        })
    }

    fn put_notes(&self, notes: &[Note]) -> Result<(), QueueError> {
        self.write(|t| notes::put(t, notes))
    }

    fn drop_notes(&self, job: &str, keys: &[String]) -> Result<(), QueueError> {
        self.write(|t| notes::drop(t, job, keys))
    }

    fn notes(&self) -> Result<Vec<Note>, QueueError> {
        notes::all(&self.lock().connection)
    }
}

fn count(connection: &Connection, which: &str, state: &str) -> Result<usize, QueueError> {
    let count = format!("SELECT count(*) FROM job WHERE {which}");
    let count: i64 = connection
        .query_row(&count, [state], |row| row.get(0))
        .map_err(storage)?;
    usize::try_from(count).map_err(storage)
}

/// The jobs that nobody does any more, as far as `worker` can tell.
fn cut_off(
    connection: &Connection,
    worker: &str,
    lapsed_before: Option<OffsetDateTime>,
) -> Result<Vec<String>, QueueError> {
    let mut find = connection
        .prepare(
            "SELECT id FROM job
             WHERE state = ?1 AND (worker = ?2 OR worker IS NULL OR renewed_at < ?3) ORDER BY seq",
        )
        .map_err(storage)?;
    find.query_map(params![PROCESSING, worker, lapsed_before.map(millis)], |row| {
        row.get(0)
    })
    .and_then(Iterator::collect)
    .map_err(storage)
}

/// The state of a job, whatever else its row says.
fn state_of(connection: &Connection, id: &str) -> Result<JobState, QueueError> {
    let find = "SELECT state FROM job WHERE id = ?1";
    let state: Option<String> = connection
        .query_row(find, [id], |row| row.get(0))
        .optional()
        .map_err(storage)?;
    let state = state.ok_or_else(|| QueueError::NotFound(id.to_owned()))?;
    JobState::from_name(&state).ok_or_else(|| storage(format!("job {id} is in no known state")))
}

fn end(t: &Transaction<'_>, id: &str, outcome: &Outcome, now: OffsetDateTime) -> Result<(), QueueError> {
    let tail = serde_json::to_string(&outcome.log_tail).map_err(storage)?;
    t.execute(
        "UPDATE job SET state = ?2, message = ?3, log_tail = ?4, result = ?5, finished_at = ?6 WHERE id = ?1",
        params![
            id,
            outcome.state.name(),
            outcome.message,
            tail,
            outcome.result.to_string(),
            millis(now)
        ],
    )
    .map_err(storage)?;
    Ok(())
}
