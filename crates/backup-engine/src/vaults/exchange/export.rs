//! A vault as an archive.

use std::io::{self, Write};
use std::sync::Arc;

use vault_store::{CHECKSUM, MANIFEST, Manifest, Reader, StoreError, VaultId};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

use super::sha256;
use crate::vaults::{Held, Vaults};
use crate::{EngineError, InvalidRequest};

/// A vault that is to be written out. It is not removed as long as this is there.
pub struct Export {
    vaults: Arc<Vaults>,
    manifest: Manifest,
    _held: Held,
}

impl Export {
    /// Blocks.
    pub(crate) fn of(vaults: &Arc<Vaults>, id: &VaultId) -> Result<Self, EngineError> {
        let held = vaults.hold(id);
        let manifest = vaults.store.manifest(id)?;
        if manifest.predecessor.is_some() {
            return Err(InvalidRequest::NoArchive(id.clone()).into());
        }
        Ok(Self {
            vaults: Arc::clone(vaults),
            manifest,
            _held: held,
        })
    }

    /// The vault.
    #[must_use]
    pub fn id(&self) -> &VaultId {
        &self.manifest.id
    }

    /// Writes all of it as a zip archive: the files as they lie in a directory of a vault, not compressed once more, the manifest first. What is read is
    /// not compared with the manifest; [`Engine::import`](crate::Engine::import) does. Blocks; memory does not grow with the vault.
    ///
    /// # Errors
    /// [`EngineError::Storage`] where the vault cannot be read, or `out` not written: what was written then is no whole archive.
    pub fn write_zip(&self, out: impl Write) -> Result<(), EngineError> {
        let manifest = self.manifest.to_bytes()?;
        let sum = format!("{}  {MANIFEST}\n", sha256(&manifest));
        let mut zip = ZipWriter::new_stream(out);
        let written = |error: io::Error| EngineError::from(StoreError::io("the archive", error));
        put(&mut zip, MANIFEST, manifest.len() as u64, &mut &*manifest).map_err(written)?;
        put(&mut zip, CHECKSUM, sum.len() as u64, &mut sum.as_bytes()).map_err(written)?;
        for file in &self.manifest.files {
            let open = self.vaults.store.open(&self.manifest.id, &file.name)?;
            put(&mut zip, file.name.as_str(), file.bytes, &mut Reader::new(open)).map_err(written)?;
        }
        let mut out = zip.finish().map_err(|error| written(error.into()))?.into_inner();
        out.flush().map_err(written)
    }
}

fn put<W: Write>(
    zip: &mut ZipWriter<zip::write::StreamWriter<W>>,
    name: &str,
    bytes: u64,
    from: &mut impl io::Read,
) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o600)
        .large_file(bytes >= u64::from(u32::MAX));
    zip.start_file(name, options)?;
    let copied = io::copy(from, zip)?;
    if copied == bytes {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{name} is damaged: {copied} bytes of {bytes} are there"
    )))
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export")
            .field("id", self.id())
            .finish_non_exhaustive()
    }
}
