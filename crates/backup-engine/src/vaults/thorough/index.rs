//! Whether the index of a vault is that of its archive, or of its snapshot.

use vault_store::{FileName, Manifest, VaultStore};
use zk_snapshot::archive::{Amendment, ArchiveError, IndexWriter, Record};

use crate::EngineError;
use crate::vaults::records::{self, ARCHIVE, SNAPSHOT};

/// What is known of an index after it was compared.
pub(super) enum IndexFound {
    /// It is that of the archive, or of the snapshot.
    Right,
    /// It is not, in plain words.
    Wrong(String),
    /// None could be made to compare it with.
    Unknown,
    /// It was not to go on.
    Stopped,
}

/// Makes the index anew from what is read, and compares, as long as that goes.
pub(super) struct IndexCheck<'a> {
    store: &'a dyn VaultStore,
    manifest: &'a Manifest,
    /// `None` where it could not be made.
    anew: Option<IndexWriter>,
    /// How many frames the archive or the snapshot has: what is behind them is of the amendments.
    frames: usize,
}

impl<'a> IndexCheck<'a> {
    /// `None` where the vault has no index.
    pub(super) fn of(store: &'a dyn VaultStore, manifest: &'a Manifest) -> Option<Self> {
        let is_made_of = |name: &FileName| *name == ARCHIVE || name.as_str().starts_with(SNAPSHOT);
        let archive = manifest.files.iter().find(|file| is_made_of(&file.name))?;
        records::has_index(manifest).then(|| Self {
            store,
            manifest,
            anew: Some(IndexWriter::default()),
            frames: archive.frames.len(),
        })
    }

    /// Takes the records of a frame, with the amendments worked in.
    pub(super) fn add(&mut self, records: &[Record], frame: usize) {
        if frame < self.frames {
            let mut records = records.iter();
            self.attempt(|anew| records.try_for_each(|record| anew.add(record, frame)));
        }
    }

    fn attempt(&mut self, work: impl FnOnce(&mut IndexWriter) -> Result<(), ArchiveError>) {
        if let Some(Err(error)) = self.anew.as_mut().map(work) {
            self.give_up(&error);
        }
    }

    fn give_up(&mut self, error: &ArchiveError) {
        let id = &self.manifest.id;
        log::warn!("the index of backup {id} is not compared with what it was made of: {error}");
        self.anew = None;
    }

    /// What was found of the index. `go_on` says now and then whether to go on.
    pub(super) fn end(mut self, go_on: &mut dyn FnMut() -> bool) -> Result<IndexFound, EngineError> {
        let wrong = |what: String| Ok(IndexFound::Wrong(what));
        if let Some(amendments) = records::amendments_of(self.store, self.manifest)? {
            for frame in 0..amendments.frame_count() {
                let items: Vec<Amendment> = amendments.items(frame).map_err(failed)?;
                // What has gone is among no records.
                let mut items = items.iter().filter(|amendment| amendment.record.is_some());
                self.attempt(|anew| items.try_for_each(|amendment| anew.amend(amendment, frame)));
                if !go_on() {
                    return Ok(IndexFound::Stopped);
                }
            }
        }
        let index = match records::open_index(self.store, self.manifest) {
            Ok(Some(index)) => index,
            Ok(None) => return wrong("it is of a version that is not known".to_owned()),
            Err(EngineError::Damaged { cause, .. }) => return wrong(cause.to_string()),
            Err(error) => return Err(error),
        };
        let Some(anew) = self.anew.take() else {
            return Ok(IndexFound::Unknown);
        };
        let mut is_stopped = false;
        let compared = anew.compare(&index, || {
            is_stopped = !go_on();
            !is_stopped
        });
        match compared {
            Ok(_) if is_stopped => Ok(IndexFound::Stopped),
            Ok(None) => Ok(IndexFound::Right),
            Ok(Some(what)) => wrong(what),
            Err(error @ ArchiveError::NoIndex(_)) => {
                self.give_up(&error);
                Ok(IndexFound::Unknown)
            }
            Err(error) if error.is_damage() => wrong(error.to_string()),
            Err(error) => Err(failed(error)),
        }
    }
}

fn failed(error: ArchiveError) -> EngineError {
    EngineError::Storage(error.into())
}
