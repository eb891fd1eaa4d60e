//! Where the history of an ensemble was broken off. After a restore by files, zxids, times and versions go on from those
//! of the backup: the same numbers may stand for something else than in backups that were made before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::parts::{Parts, lock};
use crate::records::SNAPSHOT;

/// Beside the directory in which files are placed: when that was done last.
const MARK: &str = "recovered";

/// Notes that backups which began until `now` say nothing of what comes.
pub(crate) fn break_off(directory: &Path, now: OffsetDateTime) -> io::Result<()> {
    write(&directory.with_file_name(MARK), now)
}

/// Writes a time in the place of an earlier one.
pub(crate) fn write(mark: &Path, time: OffsetDateTime) -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = lock(&ONE_AT_A_TIME);
    let new = mark.with_extension("new");
    let mut file = create(&new)?;
    file.write_all(time.format(&Rfc3339).map_err(io::Error::other)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, mark)?;
    match mark.parent() {
        Some(above) => File::open(above)?.sync_all(),
        None => Ok(()),
    }
}

/// Creates a file that is ours alone where there may be an old one, or a link that leads elsewhere.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path),
    }
}

/// Backups that began until then are of another history. Blocks.
pub(crate) fn begun(parts: &Parts) -> Option<OffsetDateTime> {
    let directory = parts.recovery.as_ref().map(|recovery| &recovery.directory)?;
    let now = parts.now();
    let begun = match holds_files(directory) {
        // People may start servers with them at any time.
        Ok(true) => break_off(directory, now).map(|()| Some(now)),
        Ok(false) => read(&directory.with_file_name(MARK)),
        Err(error) => Err(error),
    };
    begun.unwrap_or_else(|error| {
        log::warn!("earlier backups are not relied on: when files were placed last is not known: {error}");
        Some(now)
    })
}

fn holds_files(directory: &Path) -> io::Result<bool> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(entries) => {
            let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
            let names = names.collect::<io::Result<Vec<_>>>()?;
            Ok(names
                .iter()
                .any(|name| name.to_string_lossy().starts_with(SNAPSHOT)))
        }
    }
}

pub(crate) fn read(mark: &Path) -> io::Result<Option<OffsetDateTime>> {
    match fs::read_to_string(mark) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(text) => OffsetDateTime::parse(&text, &Rfc3339)
            .map(Some)
            .map_err(io::Error::other),
    }
}
