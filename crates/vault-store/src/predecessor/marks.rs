//! What the files of a backup of the predecessor tell of it.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;
use time::Duration;

use super::console::Console;
use super::{Predecessor, ZNODES};
use crate::fs::{io_at, read};
use crate::{FileName, Manifest, Mode, Outcome, StoreError, VaultId};

/// What the names of snapshots begin with.
const SNAPSHOT: &str = "snapshot.";
/// So much of what it says of a failure is told.
const SAID: usize = 300;

/// The manifest of the backup in the directory `path`, but for its root znodes. `console` is asked where the marks leave it open how it ended.
pub(super) fn manifest(
    id: &VaultId,
    path: &Path,
    console: impl FnOnce() -> io::Result<Console>,
) -> Result<Manifest, StoreError> {
    let there = |name: &str| fs::symlink_metadata(path.join(name)).is_ok();
    let metrics = metrics(path);
    let canceled = there(".canceled");
    let files = files(path)?;
    let mode = match files.iter().any(is_of_servers) {
        true => Mode::Transactional,
        false => Mode::Hierarchical,
    };
    let outcome = if there(".lock") {
        failed("it was never finished: .lock is there")
    } else if canceled {
        failed("it was called off")
    } else if there(".failed") {
        failed(&said(metrics.as_ref().ok()))
    } else {
        ended(&metrics, &console())
    };
    let spent = metrics.as_ref().ok().and_then(|told| number(told, "spent_time"));
    let spent = Duration::milliseconds(spent.unwrap_or_default().max(0));
    if !matches!(outcome, Outcome::Failed { .. }) {
        check_there(id, path, &files)?;
    }
    Ok(Manifest {
        pinned: there(".evictlock"),
        sharded: there(".sharded"),
        finished_at: id.time().checked_add(spent).unwrap_or(id.time()),
        predecessor: Some(Predecessor { files, canceled }),
        ..Manifest::new(id, mode, id.time(), outcome)
    })
}

/// An error where no archive is there, and no snapshot with anything in it.
fn check_there(id: &VaultId, path: &Path, files: &[FileName]) -> Result<(), StoreError> {
    for file in files {
        if *file == ZNODES {
            return Ok(());
        }
        let place = path.join(file.as_str());
        let length = fs::symlink_metadata(&place).map_err(io_at(&place))?.len();
        if file.as_str().starts_with(SNAPSHOT) && length > 0 {
            return Ok(());
        }
    }
    Err(match files.is_empty() {
        true => StoreError::damaged(id, ZNODES, "it is missing, and so is a snapshot"),
        false => StoreError::damaged(id, "snapshot", "it is missing, or has nothing in it"),
    })
}

/// The files that hold znodes. With a snapshot or a log it is a transactional backup, as the predecessor's own restore decides.
fn files(path: &Path) -> Result<Vec<FileName>, StoreError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(io_at(path))? {
        let entry = entry.map_err(io_at(path))?;
        let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(name), Ok(kind)) = (name, entry.file_type())
            && kind.is_file()
            && (name == ZNODES || is_of_servers(&name))
        {
            files.push(name);
        }
    }
    if files.iter().any(is_of_servers) {
        files.retain(is_of_servers);
    }
    // The snapshot, which is named for all of them, comes first.
    files.sort_by(|a, b| b.cmp(a));
    Ok(files)
}

fn is_of_servers(name: &FileName) -> bool {
    [SNAPSHOT, "log."]
        .iter()
        .any(|prefix| name.as_str().starts_with(prefix))
}

/// `.metrics`, or why it tells nothing.
fn metrics(path: &Path) -> Result<Value, String> {
    let bytes = read(&path.join(".metrics")).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

/// A number, which may be written as a text.
fn number(metrics: &Value, key: &str) -> Option<i64> {
    let value = metrics.get(key)?;
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Python notes an exit code. Go notes none, and a backup of it ended well where the last line of `.console` says so.
fn ended(metrics: &Result<Value, String>, console: &io::Result<Console>) -> Outcome {
    let told = metrics.as_ref().ok();
    let exception = told.and_then(|told| told.get("exception")?.as_str());
    let is_done = console.as_ref().is_ok_and(|console| console.is_done);
    match told.and_then(|told| number(told, "exit_code")) {
        Some(0) => whole(console),
        Some(_) => failed(&said(told)),
        None if exception.is_some_and(|text| !text.is_empty()) => failed(&said(told)),
        None if is_done => whole(console),
        None => match metrics {
            Ok(_) => unknown("neither .metrics nor .console says how it ended"),
            Err(why) => unknown(&format!(
                ".metrics, which says how it ended, cannot be read, and .console does not say so: {why}"
            )),
        },
    }
}

/// It says that it has everything, and `.console` names what it left out.
fn whole(console: &io::Result<Console>) -> Outcome {
    match console {
        Ok(Console { dropped: 0, .. }) => Outcome::Complete,
        Ok(Console { dropped, first, .. }) => unknown(&format!(
            "{dropped} znodes, and what is below them, are not in it, and a restore with replace deletes them: {first}"
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Outcome::Complete,
        Err(error) => unknown(&format!(".console cannot be read: {error}")),
    }
}

/// It may hold everything, and nobody knows.
fn unknown(why: &str) -> Outcome {
    Outcome::Partial {
        reason: why.to_owned(),
    }
}

fn failed(why: &str) -> Outcome {
    Outcome::Failed {
        reason: why.to_owned(),
    }
}

/// What it says of a failure: the last line of the exception, and the exit code.
fn said(metrics: Option<&Value>) -> String {
    let code = metrics.and_then(|told| number(told, "exit_code"));
    let exception = metrics.and_then(|told| told.get("exception")?.as_str());
    let last = exception.and_then(|text| text.lines().rev().find(|line| !line.trim().is_empty()));
    let last: String = last.unwrap_or_default().trim().chars().take(SAID).collect();
    match (code, &*last) {
        (None, "") => "it failed".to_owned(),
        (Some(code), "") => format!("it failed with exit code {code}"),
        (_, last) => format!("it failed: {last}"),
    }
}
