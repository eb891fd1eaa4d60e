//! Small files of the storage that are the owner's alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::lock::lock;

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

/// Writes a time in the place of an earlier one, durably.
pub(crate) fn write_time(path: &Path, time: OffsetDateTime) -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = lock(&ONE_AT_A_TIME);
    let new = path.with_extension("new");
    let mut file = create(&new)?;
    file.write_all(time.format(&Rfc3339).map_err(io::Error::other)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(above) => File::open(above)?.sync_all(),
        None => Ok(()),
    }
}

/// The time that was written there, if one was.
pub(crate) fn read_time(path: &Path) -> io::Result<Option<OffsetDateTime>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(text) => OffsetDateTime::parse(&text, &Rfc3339)
            .map(Some)
            .map_err(io::Error::other),
    }
}
