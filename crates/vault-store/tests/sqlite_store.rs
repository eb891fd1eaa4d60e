//! A store over one SQLite file, written from the documentation of the traits alone, and the whole suite over it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::types::FromSql;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Params, params};
use vault_store::conformance::Subject;
use vault_store::{
    FileName, MANIFEST, Manifest, Stage, Staged, StoreError, VaultFile, VaultId, VaultRead, VaultStore,
    Verification,
};

/// Files belong to a stage, whose number is never given again; a vault is a stage that was committed. What a crash left is swept.
const SCHEMA: &str = "
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS stages (number INTEGER PRIMARY KEY AUTOINCREMENT);
    CREATE TABLE IF NOT EXISTS files (stage INTEGER, name TEXT, bytes BLOB NOT NULL, PRIMARY KEY (stage, name));
    CREATE TABLE IF NOT EXISTS vaults (id TEXT PRIMARY KEY, stage INTEGER NOT NULL, manifest BLOB, verified BLOB);
    CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, bytes BLOB NOT NULL);
    DELETE FROM files WHERE stage NOT IN (SELECT stage FROM vaults);
";

struct SqliteStore(Arc<Shared>);

struct Shared {
    database: Mutex<Connection>,
    staged: Mutex<BTreeSet<VaultId>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(sql: &str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |error| {
        let code = error.sqlite_error_code();
        let transient = matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull));
        StoreError::failed(sql, transient, error)
    }
}

impl Shared {
    /// The first column of the first row, if there is one.
    fn ask<T: FromSql>(&self, sql: &str, params: impl Params) -> Result<Option<T>, StoreError> {
        let found = locked(&self.database).query_row(sql, params, |row| row.get(0));
        found.optional().map_err(failed(sql))
    }

    fn column<T: FromSql>(&self, id: &VaultId, name: &str) -> Result<T, StoreError> {
        let sql = format!("SELECT {name} FROM vaults WHERE id = ?");
        self.ask(&sql, [id.as_str()])?
            .ok_or_else(|| StoreError::NotFound(id.clone()))
    }

    /// How many rows were changed.
    fn change(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        locked(&self.database).execute(sql, params).map_err(failed(sql))
    }
}

impl SqliteStore {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Connection::open(path).map_err(failed("open"))?;
        database.execute_batch(SCHEMA).map_err(failed(SCHEMA))?;
        let (database, staged) = (Mutex::new(database), Mutex::default());
        Ok(Self(Arc::new(Shared { database, staged })))
    }
}

impl VaultStore for SqliteStore {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        let all: Option<String> = self
            .0
            .ask("SELECT group_concat(id, ' ') FROM vaults HAVING count(*) > 0", [])?;
        let all = all.unwrap_or_default();
        let mut ids: Vec<_> = all.split(' ').filter_map(|id| id.parse().ok()).collect();
        ids.sort();
        Ok(ids)
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        let bytes: Option<Vec<u8>> = self.0.column(id, "manifest")?;
        Manifest::parse(
            id,
            &bytes.ok_or_else(|| StoreError::damaged(id, MANIFEST, "it is missing"))?,
        )
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        let mut staged = locked(&self.0.staged);
        match self.0.column::<i64>(id, "stage") {
            Err(StoreError::NotFound(_)) if !staged.contains(id) => {}
            Err(StoreError::NotFound(_)) | Ok(_) => return Err(StoreError::AlreadyExists(id.clone())),
            Err(error) => return Err(error),
        }
        let sql = "INSERT INTO stages DEFAULT VALUES RETURNING number";
        let number: Option<i64> = self.0.ask(sql, [])?;
        let number = number.ok_or_else(|| StoreError::failed(sql, false, "there is none"))?;
        staged.insert(id.clone());
        let (shared, files, id) = (Arc::clone(&self.0), Staged::new(id), id.clone());
        Ok(Box::new(SqliteStage {
            shared,
            number,
            files,
            id,
        }))
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        let stage: i64 = self.0.column(id, "stage")?;
        let sql = "SELECT length(bytes) FROM files WHERE stage = ? AND name = ?";
        let size: Option<i64> = self.0.ask(sql, params![stage, file.as_str()])?;
        let size = size.ok_or_else(|| StoreError::damaged(id, file, "it is missing"))?;
        Ok(Arc::new(SqliteRead {
            shared: Arc::clone(&self.0),
            stage,
            name: file.clone(),
            size: size.cast_unsigned(),
        }))
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        let stage: i64 = self.0.column(id, "stage")?;
        self.0.change("DELETE FROM vaults WHERE id = ?", [id.as_str()])?;
        // What is left of it by a crash is swept.
        let sql = "DELETE FROM files WHERE stage = ?";
        self.0.change(sql, [stage]).map(drop)
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        let sum = "(SELECT coalesce(sum(length(bytes)), 0) FROM files WHERE files.stage = vaults.stage)";
        self.0.column::<i64>(id, sum).map(i64::cast_unsigned)
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        let text = serde_json::to_vec(result).map_err(|error| StoreError::failed("a check", false, error))?;
        let sql = "UPDATE vaults SET verified = ? WHERE id = ?";
        match self.0.change(sql, params![text, id.as_str()])? {
            0 => Err(StoreError::NotFound(id.clone())),
            _ => Ok(()),
        }
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        let text: Option<Vec<u8>> = self.0.column(id, "verified")?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.0
            .ask("SELECT bytes FROM notes WHERE name = ?", [name.as_str()])
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO notes VALUES (?, ?)";
        self.0.change(sql, params![name.as_str(), bytes]).map(drop)
    }
}

struct SqliteRead {
    shared: Arc<Shared>,
    stage: i64,
    name: FileName,
    size: u64,
}

impl VaultRead for SqliteRead {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        if offset >= self.size {
            return Ok(0);
        }
        let sql = "SELECT substr(bytes, ?, ?) FROM files WHERE stage = ? AND name = ?";
        let (from, count) = (offset.cast_signed() + 1, bytes.len().cast_signed());
        let params = params![from, count, self.stage, self.name.as_str()];
        let piece: Option<Vec<u8>> = self.shared.ask(sql, params)?;
        let piece = piece.ok_or_else(|| StoreError::failed(&self.name, false, "its vault was removed"))?;
        bytes[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

struct SqliteStage {
    shared: Arc<Shared>,
    number: i64,
    files: Staged,
    id: VaultId,
}

struct SqliteFile {
    shared: Arc<Shared>,
    stage: i64,
    files: Staged,
    name: FileName,
    bytes: Vec<u8>,
}

impl Write for SqliteFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl VaultFile for SqliteFile {
    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let row = params![self.stage, self.name.as_str(), self.bytes];
        self.shared.change("INSERT INTO files VALUES (?, ?, ?)", row)?;
        self.files.finish(&self.name, self.bytes.len() as u64);
        Ok(())
    }
}

impl Stage for SqliteStage {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        self.files.begin(name)?;
        Ok(Box::new(SqliteFile {
            shared: Arc::clone(&self.shared),
            stage: self.number,
            files: self.files.clone(),
            name: name.clone(),
            bytes: Vec::new(),
        }))
    }

    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        self.files.check(manifest)?;
        let row = params![self.id.as_str(), self.number, manifest.to_bytes()?];
        let inserted = self
            .shared
            .change("INSERT INTO vaults VALUES (?, ?, ?, NULL)", row);
        inserted.map(drop)
    }
}

impl Drop for SqliteStage {
    fn drop(&mut self) {
        let sql = "DELETE FROM files WHERE stage = ? AND stage NOT IN (SELECT stage FROM vaults)";
        // What is left of it is swept when the store is opened again.
        let _ = self.shared.change(sql, [self.number]);
        locked(&self.shared.staged).remove(&self.id);
    }
}

fn subject() -> Subject {
    let directory = tempfile::tempdir().unwrap();
    Subject::new(move || SqliteStore::open(&directory.path().join("vaults.db")).unwrap())
}

vault_store::conformance_tests!(subject());
