//! Reading a file of which there are two: frame by frame, each from the copy that is whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use sha2::{Digest, Sha256};

use super::shared::{Shared, is_replaceable};
use crate::manifest::hex;
use crate::{Damage, FileEntry, FrameEntry, StoreError, VaultId, VaultRead};

/// Longer frames are not compared: they would have to be in memory.
const LONGEST: u64 = 64 << 20;

/// A file of the first store. Its frames are read from the second where the first does not have them as they were committed.
pub(super) struct CheckedRead {
    /// It keeps no store open.
    shared: Weak<Shared>,
    id: VaultId,
    entry: FileEntry,
    first: Arc<dyn VaultRead>,
    second: OnceLock<Arc<dyn VaultRead>>,
    /// How many vaults had been committed when it was opened.
    commits: u64,
    /// The first store could not be read: it is not waited for again.
    has_failed: AtomicBool,
    /// The frame that was read last.
    last: Mutex<Option<(usize, Arc<[u8]>)>>,
}

impl CheckedRead {
    /// Opens the file of `entry`, which is in the manifest of `id`.
    pub(super) fn open(
        shared: &Arc<Shared>,
        id: &VaultId,
        entry: FileEntry,
    ) -> Result<Arc<dyn VaultRead>, StoreError> {
        let (due, commits) = (entry.bytes, shared.commits());
        let opened = shared.first.open(id, &entry.name);
        let error = match &opened {
            Ok(first) if first.size() == due => None,
            Ok(first) => {
                let what = format!("{} bytes of {due} are there", first.size());
                Some(StoreError::damaged(id, &entry.name, what))
            }
            Err(error) if is_replaceable(error) => None,
            Err(_) => return opened,
        };
        let found = error.as_ref().or(opened.as_ref().err());
        let mut second = OnceLock::new();
        if let Some(found) = found {
            match shared.open_second(id, &entry.name) {
                Ok(copy) if opened.is_ok() || copy.size() == due => {
                    shared.replaced(id, found, commits);
                    second = OnceLock::from(copy);
                }
                Ok(_) => return opened,
                Err(other) => {
                    log::warn!("the second copy of backup {id} cannot take its place: {other}");
                    return opened;
                }
            }
        }
        let first = match (opened, second.get()) {
            (Err(_), Some(copy)) => return Ok(Arc::clone(copy)),
            (opened, _) => opened?,
        };
        Ok(Arc::new(Self {
            shared: Arc::downgrade(shared),
            id: id.clone(),
            entry,
            first,
            second,
            commits,
            has_failed: AtomicBool::new(false),
            last: Mutex::default(),
        }))
    }

    /// All bytes of a frame: those of the first store, if neither has them as they were committed, so that whoever reads finds what is wrong.
    fn frame(&self, index: usize, frame: &FrameEntry) -> Result<Arc<[u8]>, StoreError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, bytes)) = last.filter(|(known, _)| *known == index) {
            return Ok(bytes);
        }
        let first = match self.has_failed.load(Ordering::Relaxed) {
            true => Err(StoreError::failed(
                &self.entry.name,
                true,
                "it could not be read before",
            )),
            false => whole(&*self.first, frame),
        };
        let bytes: Arc<[u8]> = match first {
            Ok(bytes) if is_sound(&bytes, frame) => bytes.into(),
            Err(error) if !is_replaceable(&error) => return Err(error),
            first => match self.frame_of_second(frame) {
                Ok(bytes) => {
                    self.tell(index, frame, first);
                    bytes.into()
                }
                Err(other) => {
                    log::warn!(
                        "the second copy of backup {} cannot take its place: {other}",
                        self.id
                    );
                    first?.into()
                }
            },
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((index, Arc::clone(&bytes)));
        Ok(bytes)
    }

    fn frame_of_second(&self, frame: &FrameEntry) -> Result<Vec<u8>, StoreError> {
        let second = match self.second.get() {
            Some(second) => second,
            None => {
                let shared = self.shared.upgrade().ok_or_else(|| {
                    StoreError::failed(&self.entry.name, false, "its store is not open any more")
                })?;
                let second = shared.open_second(&self.id, &self.entry.name)?;
                self.second.get_or_init(|| second)
            }
        };
        let bytes = whole(&**second, frame)?;
        match is_sound(&bytes, frame) {
            true => Ok(bytes),
            false => {
                let what = "it is not what was committed either";
                Err(StoreError::damaged(&self.id, &self.entry.name, what))
            }
        }
    }

    /// Tells that the second store was read, and why.
    fn tell(&self, index: usize, frame: &FrameEntry, first: Result<Vec<u8>, StoreError>) {
        let Some(shared) = self.shared.upgrade() else {
            return; // there is nobody to be told
        };
        let what = match first {
            Ok(bytes) if (bytes.len() as u64) < frame.length => {
                format!("{} bytes of {} are there", bytes.len(), frame.length)
            }
            Ok(_) => "its SHA-256 differs from the one recorded".to_owned(),
            Err(StoreError::Damaged { what, .. }) => what,
            Err(error) => {
                self.has_failed.store(true, Ordering::Relaxed);
                log::warn!(
                    "{} of backup {} is read from the second copy: {error}",
                    self.entry.name,
                    self.id
                );
                return shared.replaced(&self.id, &error, self.commits);
            }
        };
        shared.found(
            &self.id,
            Damage {
                file: self.entry.name.to_string(),
                frame: Some(index),
                what,
            },
        );
    }
}

impl VaultRead for CheckedRead {
    fn size(&self) -> u64 {
        self.entry.bytes
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        if offset >= self.entry.bytes || bytes.is_empty() {
            return Ok(0);
        }
        let frames = &self.entry.frames;
        let index = frames.partition_point(|frame| frame.offset.saturating_add(frame.length) <= offset);
        let frame = frames
            .get(index)
            .filter(|frame| frame.length <= LONGEST && frame.offset <= offset);
        let Some(frame) = frame else {
            return self.first.read_at(offset, bytes);
        };
        let whole = self.frame(index, frame)?;
        let from = usize::try_from(offset - frame.offset).unwrap_or(usize::MAX);
        let there = whole.get(from..).unwrap_or_default();
        let count = there.len().min(bytes.len());
        bytes[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }
}

/// The bytes of a frame, as many as are there.
fn whole(file: &dyn VaultRead, frame: &FrameEntry) -> Result<Vec<u8>, StoreError> {
    // A manifest may claim more than there is.
    let there = file.size().saturating_sub(frame.offset).min(frame.length);
    let mut bytes = vec![0; usize::try_from(there).unwrap_or_default()];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(frame.offset + filled as u64, &mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn is_sound(bytes: &[u8], frame: &FrameEntry) -> bool {
    bytes.len() as u64 == frame.length && hex(&Sha256::digest(bytes)) == frame.sha256
}
