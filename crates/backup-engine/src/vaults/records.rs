//! The znodes of a vault, whatever it was taken by.

use std::io::Read as _;
use std::sync::Arc;

use vault_store::{
    CONSOLE, Contents, Damage, FileEntry, FileName, Manifest, Mode, Outcome, Reader, StoreError, VaultId,
    VaultStore, Verification,
};
use zk_snapshot::archive::{
    Amended, Amendment, ArchiveError, ArchiveFile, Frame, IndexFile, IndexedArchive, RecordSource,
};
use zk_snapshot::files::SnapshotRecords;

use super::predecessor;
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

/// Where in the archive and the amendments, or in the snapshot, each znode is.
pub(crate) const INDEX: FileName = FileName::from_static("index.zst");

/// What is told of a backup of everything without a znode: a restore of it would delete everything.
pub(crate) const NO_ZNODE: &str = "it holds no znode, and is said to be of everything";

/// Whether a restore reads this file of a vault: damage to the others takes nothing from it.
pub(crate) fn is_needed(file: &str) -> bool {
    LOG != *file && ACLS != *file && INDEX != *file
}

/// The first damage that keeps a vault from being restored.
pub(crate) fn spoiling(found: &Verification) -> Option<&Damage> {
    found.damage.iter().find(|damage| is_needed(&damage.file))
}

/// Whether a check has found the index of a vault wrong.
pub(crate) fn spoils_index(found: &Verification) -> bool {
    found.damage.iter().any(|damage| INDEX == *damage.file)
}

/// A vault's znodes. Each part is checked when it is read.
pub(crate) struct Opened {
    pub(crate) records: Arc<dyn RecordSource>,
    pub(crate) mode: Mode,
    /// Whether it tells how many children each znode has had: that of ClickHouse Keeper does not.
    pub(crate) counters_known: bool,
    /// How many znodes are in it, where that is certain: what lacks something may be counted in another way.
    pub(crate) znodes: Option<u64>,
    /// What is wrong with it, where that is found only as it is opened: the predecessor did not look.
    pub(crate) lacks: Vec<String>,
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
    if let Some(left) = &manifest.predecessor {
        let (records, lacks) = predecessor::open(store, manifest, left)?;
        return Ok(Opened {
            records,
            mode: manifest.mode,
            counters_known: manifest.mode == Mode::Transactional,
            znodes: None,
            lacks,
        });
    }
    let records: Arc<dyn RecordSource> = if let Some(snapshot) = snapshot_of(manifest).map(|file| &file.name)
    {
        let file = Reader::new(store.open(id, snapshot)?);
        Arc::new(SnapshotRecords::open(file, frames(manifest, snapshot)).map_err(damaged)?)
    } else {
        let mut amendments: Vec<Amendment> = Vec::new();
        if let Some(file) = amendments_of(store, manifest)? {
            for index in 0..file.frame_count() {
                amendments.extend(file.items::<Amendment>(index).map_err(damaged)?);
            }
        }
        Arc::new(Amended::new(frames_of(store, manifest, &ARCHIVE)?, amendments))
    };
    if records.records() == 0 && manifest.roots.is_none() {
        return Err(damaged(ArchiveError::Damaged {
            frame: 0,
            why: NO_ZNODE.to_owned(),
        }));
    }
    Ok(Opened {
        records,
        mode: manifest.mode,
        counters_known: manifest.contents.as_ref().is_none_or(Contents::counters_known),
        znodes: znodes(manifest),
        lacks: Vec::new(),
    })
}

/// How many records there are of znodes that were asked for, as far as a manifest can say it.
fn znodes(manifest: &Manifest) -> Option<u64> {
    let contents = manifest.contents.as_ref();
    let contents = contents.filter(|_| manifest.outcome == Outcome::Complete)?;
    match contents {
        // Clients cannot be sent these names, and records have none of them.
        Contents::Transactional(of) if of.taken_from.old_names > 0 => None,
        _ => Some(contents.captured().znodes),
    }
}

/// What the job of a vault said, if that was kept. Blocks.
pub(crate) fn log(store: &dyn VaultStore, id: &VaultId) -> Result<String, EngineError> {
    let manifest = store.manifest(id)?;
    manifest.require_open()?;
    let mut said = Vec::new();
    let file = match &manifest.predecessor {
        Some(_) => match store.open(id, &CONSOLE) {
            Err(StoreError::Damaged { .. }) => None, // it keeps one only since it works on a log
            opened => Some(opened?),
        },
        None if has(&manifest, &LOG) => Some(store.open(id, &LOG)?),
        None => None,
    };
    if let Some(file) = file {
        let file = Reader::new(file);
        file.take(LOG_SHOWN)
            .read_to_end(&mut said)
            .map_err(|error| EngineError::Storage(error.into()))?;
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// The vault of `manifest` by its index; `None` where it has none that can be read, or one that the last verification has found wrong. Blocks.
pub(crate) fn open_indexed(
    store: &dyn VaultStore,
    manifest: &Manifest,
) -> Result<Option<IndexedArchive<Reader>>, EngineError> {
    let index = match open_index(store, manifest) {
        Ok(Some(_))
            if store
                .verification(&manifest.id)?
                .is_some_and(|found| spoils_index(&found)) =>
        {
            return Ok(None);
        }
        Ok(Some(index)) => index,
        Ok(None) => return Ok(None),
        Err(error @ EngineError::Damaged { .. }) => {
            log::warn!("{error}: its index is of no use");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let sparing = |name: &FileName| Ok::<_, EngineError>(Reader::sparing(store.open(&manifest.id, name)?));
    if let Some(snapshot) = snapshot_of(manifest).map(|file| &file.name) {
        let opened = SnapshotRecords::open(sparing(snapshot)?, frames(manifest, snapshot));
        let opened = opened.map_err(|error| match error.is_damage() {
            true => EngineError::Damaged {
                id: manifest.id.clone(),
                cause: error.into(),
            },
            false => EngineError::Storage(error.into()),
        })?;
        return Ok(Some(IndexedArchive::new(index, opened, None)));
    }
    let file =
        |name: &FileName| Ok::<_, EngineError>(ArchiveFile::new(sparing(name)?, frames(manifest, name)));
    let amendments = match has(manifest, &AMENDMENTS) {
        true => Some(file(&AMENDMENTS)?),
        false => None,
    };
    Ok(Some(IndexedArchive::new(index, file(&ARCHIVE)?, amendments)))
}

/// The index of a vault; `None` where it has none, or one of another version.
pub(crate) fn open_index(
    store: &dyn VaultStore,
    manifest: &Manifest,
) -> Result<Option<IndexFile<Reader>>, EngineError> {
    if !has_index(manifest) {
        return Ok(None);
    }
    let damaged = |cause| EngineError::Damaged {
        id: manifest.id.clone(),
        cause,
    };
    let file = match store.open(&manifest.id, &INDEX) {
        Err(error @ StoreError::Damaged { .. }) => return Err(damaged(error.into())),
        opened => Reader::sparing(opened?),
    };
    IndexFile::open(file, frames(manifest, &INDEX)).map_err(|error| match error.is_damage() {
        true => damaged(error.into()),
        false => EngineError::Storage(error.into()),
    })
}

/// The snapshot of a transactional vault.
pub(crate) fn snapshot_of(manifest: &Manifest) -> Option<&FileEntry> {
    let mut files = manifest.files.iter();
    files.find(|file| file.name.as_str().starts_with(SNAPSHOT))
}

/// Whether a vault has an index.
pub(crate) fn has_index(manifest: &Manifest) -> bool {
    has(manifest, &INDEX)
}

/// What became of znodes after the walk had passed them, if anything did.
pub(crate) fn amendments_of(
    store: &dyn VaultStore,
    manifest: &Manifest,
) -> Result<Option<ArchiveFile<Reader>>, EngineError> {
    match has(manifest, &AMENDMENTS) {
        true => frames_of(store, manifest, &AMENDMENTS).map(Some),
        false => Ok(None),
    }
}

/// A file of frames, to be read from its beginning to its end.
fn frames_of(
    store: &dyn VaultStore,
    manifest: &Manifest,
    name: &FileName,
) -> Result<ArchiveFile<Reader>, EngineError> {
    if !has(manifest, name) {
        // Whatever lies there was not committed.
        return Err(StoreError::damaged(&manifest.id, name, "its manifest does not name it").into());
    }
    let file = Reader::new(store.open(&manifest.id, name)?);
    Ok(ArchiveFile::new(file, frames(manifest, name)))
}

fn has(manifest: &Manifest, name: &FileName) -> bool {
    manifest.files.iter().any(|file| file.name == *name)
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
