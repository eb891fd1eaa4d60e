//! Writing sealed files: each is an age file, and what lies below keeps its checksums.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use age::Encryptor;
use age::stream::StreamWriter;
use sha2::{Digest, Sha256};

use super::keys::Recipients;
use super::manifest::{self, MANIFEST_AGE};
use crate::manifest::hex;
use crate::{FileEntry, FileName, FrameEntry, Manifest, Stage, Staged, StoreError, VaultFile, VaultId};

/// Sealed bytes that have one checksum.
const FRAME: u64 = 4 << 20;

/// A sealed vault that is being written.
pub(super) struct SealedStage {
    below: Box<dyn Stage>,
    recipients: Arc<Recipients>,
    /// What was staged, in bytes that are not sealed.
    staged: Staged,
    id: VaultId,
    /// The sealed files that are finished.
    files: Arc<Mutex<Vec<FileEntry>>>,
}

impl SealedStage {
    pub(super) fn new(id: &VaultId, below: Box<dyn Stage>, recipients: Arc<Recipients>) -> Self {
        Self {
            below,
            recipients,
            staged: Staged::new(id),
            id: id.clone(),
            files: Arc::default(),
        }
    }
}

impl Stage for SealedStage {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        if *name == MANIFEST_AGE {
            let (id, file) = (self.id.clone(), name.clone());
            return Err(StoreError::FileExists { id, file });
        }
        self.staged.begin(name)?;
        Ok(Box::new(SealedFile {
            out: Sealing::new(&mut *self.below, name, &self.recipients)?,
            bytes: 0,
            staged: self.staged.clone(),
            files: Arc::clone(&self.files),
        }))
    }

    fn commit(mut self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        self.staged.check(manifest)?;
        let files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        let mut outside = manifest::outside(manifest, files, &self.recipients);
        let mut sealing = Sealing::new(&mut *self.below, &MANIFEST_AGE, &self.recipients)?;
        manifest::write(&outside, manifest, &mut sealing)?;
        outside.files.push(sealing.finish()?);
        self.below.commit(&outside)
    }
}

struct SealedFile {
    out: Sealing,
    /// How many were written.
    bytes: u64,
    staged: Staged,
    files: Arc<Mutex<Vec<FileEntry>>>,
}

impl Write for SealedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl VaultFile for SealedFile {
    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let Self {
            out,
            bytes,
            staged,
            files,
        } = *self;
        let entry = out.finish()?;
        staged.finish(&entry.name, bytes);
        files.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        Ok(())
    }
}

/// Seals what is written into a file below.
struct Sealing(StreamWriter<Summed>);

impl Sealing {
    fn new(below: &mut dyn Stage, name: &FileName, recipients: &Recipients) -> Result<Self, StoreError> {
        let failed = |error: age::EncryptError| StoreError::failed(name, false, error);
        let encryptor = Encryptor::with_recipients(recipients.iter()).map_err(failed)?;
        let file = Summed {
            file: below.create(name)?,
            name: name.clone(),
            frames: Vec::new(),
            length: 0,
            hash: Sha256::new(),
            has_failed: false,
        };
        let writer = encryptor.wrap_output(file);
        Ok(Self(writer.map_err(|error| StoreError::io(name, error))?))
    }

    /// Ends the file, and says what it is below.
    fn finish(self) -> Result<FileEntry, StoreError> {
        let summed = self.0.finish();
        summed
            .map_err(|error| StoreError::io("the end of a sealed file", error))?
            .finish()
    }
}

impl Write for Sealing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A file below, with the checksums of what is written.
struct Summed {
    file: Box<dyn VaultFile>,
    name: FileName,
    frames: Vec<FrameEntry>,
    /// Of the frame that is not full.
    length: u64,
    hash: Sha256,
    /// After a failure there is a hole, whatever is written then.
    has_failed: bool,
}

impl Summed {
    /// Where the last frame that was ended does.
    fn end(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.offset + frame.length)
    }

    fn end_frame(&mut self) {
        let hash = std::mem::replace(&mut self.hash, Sha256::new());
        let frame = FrameEntry {
            offset: self.end(),
            length: std::mem::take(&mut self.length),
            records: 0,
            sha256: hex(&hash.finalize()),
        };
        self.frames.push(frame);
    }

    fn finish(mut self) -> Result<FileEntry, StoreError> {
        if self.length > 0 {
            self.end_frame();
        }
        let bytes = self.end();
        self.file.finish()?;
        Ok(FileEntry {
            name: self.name,
            bytes,
            frames: self.frames,
        })
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_failed {
            return Err(io::Error::other("an earlier write has failed"));
        }
        let room = usize::try_from(FRAME - self.length).unwrap_or(usize::MAX);
        let written = self.file.write(&bytes[..bytes.len().min(room)]);
        // Whoever seals goes on after this one.
        let interrupted = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
        self.has_failed = written.as_ref().is_err_and(|error| !interrupted(error));
        let count = written?;
        self.hash.update(&bytes[..count]);
        self.length += count as u64;
        if self.length == FRAME {
            self.end_frame();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
