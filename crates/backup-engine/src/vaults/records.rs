//! The znodes of a vault, whatever it was taken by.

use std::io::Read as _;
use std::sync::Arc;

use vault_store::{
    Contents, Damage, FileName, Manifest, Mode, Outcome, Reader, VaultId, VaultStore, Verification,
};
use zk_snapshot::archive::{Amended, Amendment, ArchiveError, ArchiveFile, Frame, RecordSource};
use zk_snapshot::files::SnapshotRecords;

use crate::{EngineError, InvalidRequest};

/// The znodes of a vault, as the walk met them.
pub(crate) const ARCHIVE: FileName = FileName::from_static("archive.zst");
/// What became of znodes after the walk had passed them.
pub(crate) const AMENDMENTS: FileName = FileName::from_static("amendments.zst");
/// What the names of snapshots begin with.
pub(crate) const SNAPSHOT: &str = "snapshot.";

/// What a job said.
pub(crate) const LOG: FileName = FileName::from_static("job.log");
/// So many bytes of that are told.
const LOG_SHOWN: u64 = 8 << 20;
/// Which ACL guarded which znode, for the next backup.
pub(crate) const ACLS: FileName = FileName::from_static("acls.idx");

/// Whether a restore reads this file of a vault: damage to the others takes nothing from it.
pub(crate) fn is_needed(file: &str) -> bool {
    LOG != *file && ACLS != *file
}

/// The first damage that keeps a vault from being restored.
pub(crate) fn spoiling(found: &Verification) -> Option<&Damage> {
    found.damage.iter().find(|damage| is_needed(&damage.file))
}

/// A vault's znodes. Each part is checked when it is read.
pub(crate) struct Opened {
    pub(crate) records: Arc<dyn RecordSource>,
    pub(crate) mode: Mode,
    /// Whether it tells how many children each znode has had: that of ClickHouse Keeper does not.
    pub(crate) counters_known: bool,
}

/// Opens the vault of `manifest`. Blocks.
pub(crate) fn open(store: &dyn VaultStore, manifest: &Manifest) -> Result<Opened, EngineError> {
    manifest.require_open()?;
    let id = &manifest.id;
    if let Outcome::Failed { reason } = &manifest.outcome {
        let (id, why) = (id.clone(), reason.clone());
        return Err(InvalidRequest::HoldsNothing { id, why }.into());
    }
    let damaged = |error: ArchiveError| EngineError::Damaged {
        id: id.clone(),
        cause: error.into(),
    };
    let snapshot = manifest
        .files
        .iter()
        .find(|file| file.name.as_str().starts_with(SNAPSHOT));
    let file = |name: &FileName| Ok::<_, EngineError>(Reader::new(store.open(id, name)?));
    let records: Arc<dyn RecordSource> = if let Some(snapshot) = snapshot {
        let file = file(&snapshot.name)?;
        Arc::new(SnapshotRecords::open(file, frames(manifest, &snapshot.name)).map_err(damaged)?)
    } else {
        let walked = ArchiveFile::new(file(&ARCHIVE)?, frames(manifest, &ARCHIVE));
        let mut amendments: Vec<Amendment> = Vec::new();
        if manifest.files.iter().any(|file| file.name == AMENDMENTS) {
            let file = ArchiveFile::new(file(&AMENDMENTS)?, frames(manifest, &AMENDMENTS));
            for index in 0..file.frame_count() {
                amendments.extend(file.items::<Amendment>(index).map_err(damaged)?);
            }
        }
        Arc::new(Amended::new(walked, amendments))
    };
    Ok(Opened {
        records,
        mode: manifest.mode,
        counters_known: manifest.contents.as_ref().is_none_or(Contents::counters_known),
    })
}

/// What the job of a vault said, if that was kept. Blocks.
pub(crate) fn log(store: &dyn VaultStore, id: &VaultId) -> Result<String, EngineError> {
    let manifest = store.manifest(id)?;
    manifest.require_open()?;
    let mut said = Vec::new();
    if manifest.files.iter().any(|file| file.name == LOG) {
        let file = Reader::new(store.open(id, &LOG)?);
        file.take(LOG_SHOWN)
            .read_to_end(&mut said)
            .map_err(|error| EngineError::Storage(error.into()))?;
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn frames(manifest: &Manifest, name: &FileName) -> Vec<Frame> {
    let files = manifest.files.iter().filter(|file| file.name == *name);
    files
        .flat_map(|file| &file.frames)
        .map(|frame| Frame {
            offset: frame.offset,
            length: frame.length,
            records: frame.records,
            sha256: frame.sha256.clone(),
        })
        .collect()
}
