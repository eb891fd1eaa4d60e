//! A file on its way into an object.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _};
use tokio::task::JoinSet;

use super::failures::store_error;
use super::place::{PATIENCE, Place};
use crate::{FileName, Staged, StoreError, VaultFile};

/// What is sent at once, for the first 2,500 parts: a file of fewer bytes is one request.
const PART: usize = 8 << 20;
/// Of every so many parts the next are twice as large: S3 takes 10,000, which is 300 GiB this way.
const DOUBLED_AFTER: usize = 2_500;
/// So many parts are on their way while the next one is filled.
const FLYING: usize = 3;

/// It keeps up to four parts in memory, whatever its length.
pub(super) struct ObjectFile {
    place: Arc<Place>,
    key: Path,
    name: FileName,
    staged: Staged,
    /// Whether the stage is gone.
    over: Arc<AtomicBool>,
    buffer: Vec<u8>,
    written: u64,
    upload: Option<Upload>,
    failed: bool,
}

impl ObjectFile {
    pub(super) fn new(
        place: &Arc<Place>,
        key: Path,
        name: &FileName,
        staged: &Staged,
        over: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            place: Arc::clone(place),
            key,
            name: name.clone(),
            staged: staged.clone(),
            over: Arc::clone(over),
            buffer: Vec::new(),
            written: 0,
            upload: None,
            failed: false,
        }
    }

    fn part(&self) -> usize {
        let sent = self.upload.as_ref().map_or(0, |upload| upload.sent);
        PART << (sent / DOUBLED_AFTER)
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.over.load(Ordering::SeqCst) {
            return Err(StoreError::failed(&self.key, false, "its stage is gone"));
        }
        match self.failed {
            true => Err(StoreError::failed(
                &self.key,
                false,
                "a part of it could not be written",
            )),
            false => Ok(()),
        }
    }

    /// Sends what is in the buffer as the next part, once there is room for it.
    fn send(&mut self) -> Result<(), StoreError> {
        let (objects, key, upload) = (self.place.objects(), self.key.clone(), self.upload.take());
        let part = std::mem::take(&mut self.buffer);
        self.failed = true;
        let upload = self.place.wait(async move {
            let mut upload = match upload {
                Some(upload) => upload,
                None => Upload::begin(&*objects, &key)
                    .await
                    .map_err(|error| store_error(&key, &error))?,
            };
            match upload.send(part).await {
                Ok(()) => Ok(upload),
                Err(error) => {
                    upload.abort().await;
                    Err(store_error(&key, &error))
                }
            }
        })?;
        self.failed = false;
        self.buffer.reserve_exact(PART << (upload.sent / DOUBLED_AFTER));
        self.upload = Some(upload);
        Ok(())
    }
}

impl Write for ObjectFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.usable()?;
        let part = self.part();
        if self.buffer.len() == part {
            self.send()?;
        }
        let count = bytes.len().min(part - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl VaultFile for ObjectFile {
    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        self.usable()?;
        let (objects, key, written) = (self.place.objects(), self.key.clone(), self.written);
        let (mut upload, rest) = (self.upload.take(), std::mem::take(&mut self.buffer));
        self.place.wait(async move {
            let sent = match &mut upload {
                Some(upload) => upload.complete(rest).await,
                None => objects.put(&key, rest.into()).await.map(drop),
            };
            let Err(error) = sent else { return Ok(()) };
            // The answer may be lost. Nobody else writes under this key.
            if objects.head(&key).await.is_ok_and(|meta| meta.size == written) {
                return Ok(());
            }
            if let Some(upload) = upload {
                upload.abort().await;
            }
            Err(store_error(&key, &error))
        })?;
        self.staged.finish(&self.name, self.written);
        Ok(())
    }
}

impl Drop for ObjectFile {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            let abort = async move {
                upload.abort().await;
                Ok(())
            };
            // What is left of it is not visible, and ended by a rule of the bucket.
            let _ = self.place.wait_at_most(PATIENCE, abort);
        }
    }
}

/// A file in parts.
struct Upload {
    parts: Box<dyn MultipartUpload>,
    flying: JoinSet<object_store::Result<()>>,
    sent: usize,
}

impl Upload {
    async fn begin(objects: &dyn ObjectStore, key: &Path) -> object_store::Result<Self> {
        Ok(Self {
            parts: objects.put_multipart(key).await?,
            flying: JoinSet::new(),
            sent: 0,
        })
    }

    async fn land(&mut self, most: usize) -> object_store::Result<()> {
        while self.flying.len() > most {
            if let Some(outcome) = self.flying.join_next().await {
                outcome??;
            }
        }
        Ok(())
    }

    async fn send(&mut self, part: Vec<u8>) -> object_store::Result<()> {
        self.land(FLYING - 1).await?;
        self.flying.spawn(self.parts.put_part(part.into()));
        self.sent += 1;
        Ok(())
    }

    async fn complete(&mut self, rest: Vec<u8>) -> object_store::Result<()> {
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        self.land(0).await?;
        self.parts.complete().await.map(drop)
    }

    /// Ends it, as well as that goes.
    async fn abort(mut self) {
        // A part that lands after the end would stay.
        while self.flying.join_next().await.is_some() {}
        if let Err(error) = self.parts.abort().await {
            log::warn!(
                "An upload could not be aborted, and its parts stay until a rule of the bucket ends them: {error}"
            );
        }
    }
}
