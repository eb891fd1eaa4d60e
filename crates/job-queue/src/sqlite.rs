use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params,
};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::store::{INTERRUPTED, check};
use crate::{Counts, Job, JobKind, JobState, JobStore, NewJob, Outcome, QueueError};

/// `PRAGMA user_version` of the schema below.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE job (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        vault TEXT NOT NULL,
        payload TEXT NOT NULL,
        scheduled INTEGER NOT NULL,
        state TEXT NOT NULL,
        message TEXT,
        log_tail TEXT NOT NULL,
        result TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        finished_at INTEGER
    );
    CREATE INDEX job_by_state ON job (state, seq);
    CREATE INDEX job_by_kind ON job (kind, id);
    PRAGMA user_version = 1;";
const COLUMNS: &str = "id, kind, vault, payload, scheduled, state, message, log_tail, result, created_at, \
                       started_at, finished_at";

/// What the message of a job begins with whose row could not be read.
const UNREADABLE: &str = "its row in the job database cannot be read";

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

enum Fault {
    Damaged(String),
    Other(QueueError),
}

impl Fault {
    fn into_error(self) -> QueueError {
        match self {
            Self::Damaged(what) => QueueError::Storage(what),
            Self::Other(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged(error.to_string()),
            _ => Self::Other(storage(error)),
        }
    }
}

fn open_sound(path: &Path) -> Result<Connection, Fault> {
    let path = own_place(path).map_err(|error| Fault::Other(storage(error)))?;
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => connection.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;"))?,
        SCHEMA_VERSION => {}
        newer => return Err(Fault::Other(QueueError::Newer(newer))),
    }
    let verdict: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Fault::Damaged(verdict));
    }
    if let Err(error) = connection.prepare(&format!("SELECT seq, {COLUMNS} FROM job LIMIT 0")) {
        return Err(Fault::Damaged(error.to_string()));
    }
    fail_unreadable(&mut connection).map_err(Fault::Other)?;
    Ok(connection)
}

/// Where the database is, without links on the way. What is read and written there must have no other name, by which
/// somebody could have it, or make us write elsewhere. SQLite gives the files beside it the permissions of the database.
fn own_place(path: &Path) -> io::Result<PathBuf> {
    let named = |path: &Path, what: &str| io::Error::other(format!("{} {what}", path.display()));
    let name = path.file_name().ok_or_else(|| named(path, "has no name"))?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let path = above.unwrap_or(Path::new(".")).canonicalize()?.join(name);
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
    {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(named(&path, &error.to_string()));
        }
        _ => {}
    }
    for part in ["", "-wal", "-shm", "-journal"] {
        let part = beside(&path, part);
        match fs::symlink_metadata(&part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(&part, &error.to_string())),
            Ok(found) if !found.is_file() => return Err(named(&part, "is a link, or no file")),
            Ok(found) if found.nlink() > 1 => return Err(named(&part, "has another name (a hard link)")),
            Ok(_) => {}
        }
    }
    Ok(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Fails every job whose row cannot be read, so that it stands in nobody's way.
fn fail_unreadable(connection: &mut Connection) -> Result<(), QueueError> {
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

fn fail_row(t: &Transaction<'_>, seq: i64, why: &QueueError) -> Result<(), QueueError> {
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

/// Renames the database and what SQLite keeps beside it, and returns where the database now is.
fn move_aside(path: &Path) -> Result<PathBuf, QueueError> {
    let with = |suffix: &str| beside(path, suffix);
    let free = (1..)
        .map(|n| format!(".corrupt-{n}"))
        .find(|suffix| !with(suffix).exists());
    let suffix = free.unwrap_or_default();
    for part in ["-wal", "-shm", ""] {
        let (from, to) = (with(part), with(&format!("{suffix}{part}")));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(QueueError::Storage(format!(
                    "{} cannot be moved aside: {error}",
                    from.display()
                )));
            }
            _ => {}
        }
    }
    Ok(with(&suffix))
}

fn storage(error: impl std::fmt::Display) -> QueueError {
    QueueError::Storage(error.to_string())
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

fn load(connection: &Connection, id: &str) -> Result<Option<Job>, QueueError> {
    connection
        .query_row(&format!("SELECT {COLUMNS} FROM job WHERE id = ?1"), [id], |row| {
            Ok(parse(row).unwrap_or_else(|why| unreadable_job(row, id, &why)))
        })
        .optional()
        .map_err(storage)
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

fn parse(row: &Row<'_>) -> Result<Job, QueueError> {
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

fn kind_name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Backup => "backup",
        JobKind::Restore => "restore",
    }
}

fn millis(time: OffsetDateTime) -> i64 {
    // Any date that `time` can hold is far below the limit.
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn from_millis(millis: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::milliseconds(millis))
}

fn whole_millis(time: OffsetDateTime) -> OffsetDateTime {
    from_millis(millis(time))
}
