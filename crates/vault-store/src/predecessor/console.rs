//! What the job of a backup has said in `.console`.

use std::io::{self, BufRead, BufReader, Read as _, Seek, SeekFrom};
use std::path::Path;

use crate::fs::open_file;

/// The end of the last line of a backup that ended well.
const DONE: &str = "Backup completed successfully.";
/// No more of its end is read.
const LENGTH: u64 = 64 << 20;
/// A longer line is taken for several.
const LINE: u64 = 16 << 10;
/// So many characters of a line are told.
const TOLD: usize = 300;

/// What is told by the lines of a `.console`.
#[derive(Debug, Clone, Default)]
pub(super) struct Console {
    /// Whether its last line says that the backup ended well.
    pub(super) is_done: bool,
    /// How many znodes the backup left out, since no directory could be made for them.
    pub(super) dropped: u64,
    /// The line of the first of them.
    pub(super) first: String,
}

/// Reads that of the backup in the directory `path`.
pub(super) fn console(path: &Path) -> io::Result<Console> {
    let mut file = open_file(&path.join(".console"))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LENGTH)))?;
    let (mut lines, mut line, mut told) = (BufReader::new(file), Vec::new(), Console::default());
    while lines.by_ref().take(LINE).read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.contains("Creation of the directory ") && text.contains(" failed") {
            told.dropped += 1;
            if told.first.is_empty() {
                told.first = text.chars().take(TOLD).collect();
            }
        }
        if !text.is_empty() {
            told.is_done = text.ends_with(DONE);
        }
        line.clear();
    }
    Ok(told)
}
