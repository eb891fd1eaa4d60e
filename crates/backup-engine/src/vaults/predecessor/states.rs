//! A snapshot and logs, as the predecessor copied them from a server: put together when they are opened.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use vault_store::{Predecessor, Reader, StoreError, VaultId, VaultStore};
use zk_snapshot::archive::{ArchiveError, Frame, RecordSource};
use zk_snapshot::files::{DataDirs, SnapshotRecords, gather};

use crate::vaults::exchange::sha256;

/// With so many bytes a log begins.
const LOG_HEADER: u64 = 16;

/// The state that the files make, as one clean snapshot in a file that goes with what is returned, and what is to be known of it, in plain words.
/// Blocks; needs room for both where temporary files are.
pub(super) fn open(
    store: &dyn VaultStore,
    id: &VaultId,
    left: &Predecessor,
) -> Result<(Arc<dyn RecordSource>, Vec<String>), ArchiveError> {
    let directory = tempfile::tempdir()?;
    for name in &left.files {
        let read = |error: StoreError| ArchiveError::Io(error.into());
        let mut from = Reader::new(store.open(id, name).map_err(read)?);
        let mut to = File::create_new(directory.path().join(name.as_str()))?;
        let length = io::copy(&mut from, &mut to)?;
        // A server has only just begun such a log; nobody goes on with this one.
        if name.as_str().starts_with("log.") && length < LOG_HEADER {
            let why = format!("{name} is cut: {length} bytes of its header are there");
            return Err(ArchiveError::Unframed(why));
        }
    }
    // Where it was put together is no concern of whoever reads this.
    let place = format!("{}/", directory.path().display());
    let gathered = gather(&DataDirs::same(directory.path()), None)
        .map_err(|error| ArchiveError::Unframed(error.to_string().replace(&place, "")))?;
    let passed_over = gathered.report.passed_over.iter();
    let mut lacks: Vec<_> = passed_over
        .map(|why| format!("passed over: {}", why.replace(&place, "")))
        .collect();
    lacks.extend(gathered.lacks());
    let mut out = BufWriter::new(tempfile::tempfile()?);
    let (mut frames, mut offset) = (Vec::new(), 0);
    let write = |part: &[u8], records: u64| {
        out.write_all(part)?;
        let length = part.len() as u64;
        let sha256 = sha256(part);
        frames.push(Frame {
            offset,
            length,
            records,
            sha256,
        });
        offset += length;
        Ok::<_, io::Error>(())
    };
    gathered.tree.write(write)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok((Arc::new(SnapshotRecords::open(file, frames)?), lacks))
}
