//! The file in which earlier versions noted what restores had begun and not finished.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use zk_snapshot::restore::Unfinished;
use zk_snapshot::tree::ZnodePath;

/// The longest line that is read: a path of the longest request that a server takes, escaped.
const LINE: u64 = 8 << 20;

/// A znode, and which restore began it, of which backup.
#[derive(Deserialize)]
pub(super) struct Earlier {
    #[serde(flatten)]
    pub(super) znode: Unfinished,
    pub(super) restore: String,
    pub(super) vault: String,
}

/// A line of the file. The later ones win.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begun(Earlier),
    Ended(ZnodePath),
}

/// What the file says to be open, and how many of its lines cannot be read; nothing, if there is no such file.
pub(super) fn read(path: &Path) -> io::Result<Option<(BTreeMap<ZnodePath, Earlier>, usize)>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => BufReader::new(file?),
    };
    let (mut open, mut unreadable) = (BTreeMap::new(), 0);
    loop {
        let mut line = Vec::new();
        io::Read::take(&mut file, LINE).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(Some((open, unreadable))); // it was cut short before anything was done about it
        }
        match serde_json::from_slice(&line) {
            Ok(Line::Begun(begun)) => {
                open.entry(begun.znode.path.clone()).or_insert(begun);
            }
            Ok(Line::Ended(path)) => {
                open.remove(&path);
            }
            Err(_) => unreadable += 1,
        }
    }
}

/// Renames the file that was taken over, so that what is finished later does not come back.
pub(super) fn move_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, path.with_extension("jsonl.imported"))?;
    match path.parent() {
        Some(above) => File::open(above)?.sync_all(),
        None => Ok(()),
    }
}
