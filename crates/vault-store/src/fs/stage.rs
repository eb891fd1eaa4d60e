//! The files of a vault that is being written, and of one that is read.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::files::{checksum_line, io_at, sync, write_synced};
use super::shared::Shared;
use crate::{
    CHECKSUM, FileName, MANIFEST, Manifest, Stage, Staged, StoreError, VaultFile, VaultId, VaultRead, private,
};

pub(super) struct FsRead {
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) path: PathBuf,
}

impl VaultRead for FsRead {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        if offset >= self.size {
            return Ok(0); // the system refuses what is far behind the end
        }
        loop {
            match self.file.read_at(bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(io_at(&self.path)),
            }
        }
    }

    fn is_far(&self) -> bool {
        false
    }
}

struct FsFile {
    file: File,
    name: FileName,
    path: PathBuf,
    staged: Staged,
}

impl Write for FsFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl VaultFile for FsFile {
    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let synced = self.file.sync_all().and_then(|()| self.file.metadata());
        let size = synced.map_err(io_at(&self.path))?.len();
        self.staged.finish(&self.name, size);
        Ok(())
    }
}

pub(super) struct FsStage {
    pub(super) shared: Arc<Shared>,
    pub(super) id: VaultId,
    pub(super) staged: Staged,
    pub(super) path: PathBuf,
    pub(super) committed: bool,
}

impl Stage for FsStage {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        self.staged.begin(name)?;
        let path = self.path.join(name.as_str());
        Ok(Box::new(FsFile {
            file: private::create_file(&path).map_err(io_at(&path))?,
            name: name.clone(),
            path,
            staged: self.staged.clone(),
        }))
    }

    fn commit(mut self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        self.staged.check(manifest)?;
        self.shared.check_in_place()?;
        let text = manifest.to_bytes()?;
        write_synced(&self.path.join(CHECKSUM), checksum_line(&text).as_bytes())?;
        write_synced(&self.path.join(MANIFEST), &text)?;
        sync(&self.path)?;
        let home = self.shared.home(manifest.is_granular());
        let place = home.join(self.id.as_str());
        let shared = Arc::clone(&self.shared);
        let _taking = shared.one_at_a_time();
        if fs::symlink_metadata(&place).is_ok() || shared.find(&self.id).is_some() {
            return Err(StoreError::AlreadyExists(self.id.clone()));
        }
        fs::rename(&self.path, &place).map_err(io_at(&place))?;
        if let Err(error) = sync(&home) {
            // Not known to be durable, so it goes back to where a stage is dropped or swept.
            fs::rename(&place, &self.path).map_err(io_at(&place))?;
            return Err(error);
        }
        self.committed = true;
        Ok(())
    }
}

impl Drop for FsStage {
    fn drop(&mut self) {
        // In another directory it is somebody else's.
        if !self.committed && self.shared.check_in_place().is_ok() {
            self.shared.leftovers.remove(&self.path);
        }
    }
}
