//! An object store that fails when it is told to and notes what it is asked, for the tests of whoever keeps something in one.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::faults::{Faults, Turn, VaultFault};

/// A request to an object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectCall {
    /// An object is written by one request.
    Put,
    /// An object is begun that is written in parts.
    Begin,
    /// A part of one.
    Part,
    /// Its end.
    Complete,
    /// It is given up.
    Abort,
    /// An object is read, or a range of it.
    Get,
    /// What an object is, without its bytes.
    Head,
    /// An object is deleted.
    Delete,
    /// Objects are listed.
    List,
    /// An object is copied.
    Copy,
}

/// An object store of which requests fail that were named beforehand, and the others go through. Clones share everything.
///
/// ```
/// use std::sync::Arc;
/// use vault_store::object_store::memory::InMemory;
/// use vault_store::{FaultyObjects, ObjectCall, ObjectVaults, VaultFault, VaultStore};
///
/// let objects = FaultyObjects::new(Arc::new(InMemory::new()));
/// let vaults = ObjectVaults::open(Arc::new(objects.clone()), "")?;
/// objects.plan(ObjectCall::List, 2, VaultFault::Fail);
/// assert!(vaults.ids().is_ok() && vaults.ids().is_err() && vaults.ids().is_ok());
/// assert_eq!(objects.asked(), [(ObjectCall::List, 0); 3]);
/// # Ok::<(), vault_store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct FaultyObjects {
    objects: Arc<dyn ObjectStore>,
    faults: Faults<ObjectCall>,
    asked: Arc<Mutex<Vec<(ObjectCall, u64)>>>,
}

impl FaultyObjects {
    /// A store over `objects` in which nothing fails yet.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            faults: Faults::new(),
            asked: Arc::default(),
        }
    }

    /// Has the `nth` request of this kind from now on, counted from 1, meet `fault`; without a kind the `nth` of all.
    pub fn plan(&self, call: impl Into<Option<ObjectCall>>, nth: usize, fault: VaultFault) {
        self.faults.plan(call.into(), nth, fault);
    }

    /// How many planned faults have not come up yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.faults.left()
    }

    /// Has every request fail from now on.
    pub fn cut(&self) {
        self.faults.cut();
    }

    /// The requests since this was last called, in their order, with the bytes that they bore or were answered with.
    pub fn asked(&self) -> Vec<(ObjectCall, u64)> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, call: ObjectCall, bytes: u64) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push((call, bytes));
    }

    async fn through<T>(
        &self,
        call: ObjectCall,
        bytes: u64,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.note(call, bytes);
        let planned = || Error::Generic {
            store: "faulty",
            source: format!("{call:?} was to fail").into(),
        };
        match self.faults.turn(&call) {
            Turn::Fail => Err(planned()),
            Turn::Go => work.await,
            Turn::LoseAnswer => match work.await {
                Ok(_) => Err(planned()),
                failed => failed,
            },
        }
    }
}

#[async_trait]
impl ObjectStore for FaultyObjects {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let bytes = payload.content_length() as u64;
        let put = self.objects.put_opts(location, payload, opts);
        self.through(ObjectCall::Put, bytes, put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.objects.put_multipart_opts(location, opts);
        let upload = self.through(ObjectCall::Begin, 0, begun).await?;
        let faults = self.clone();
        Ok(Box::new(FaultyUpload { upload, faults }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let call = match options.head {
            true => ObjectCall::Head,
            false => ObjectCall::Get,
        };
        // The bytes are known once it is answered.
        let found = self.objects.get_opts(location, options).await;
        let bytes = match (&found, call) {
            (Ok(found), ObjectCall::Get) => found.range.end - found.range.start,
            _ => 0,
        };
        self.through(call, bytes, async { found }).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let faults = self.clone();
        let deleted = locations.then(move |location| {
            let faults = faults.clone();
            async move {
                let location = location?;
                let deletion = faults.objects.delete(&location);
                faults.through(ObjectCall::Delete, 0, deletion).await?;
                Ok(location)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (faults, list) = (self.clone(), self.objects.list(prefix));
        let begun = async move { faults.through(ObjectCall::List, 0, async { Ok(list) }).await };
        stream::once(begun).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let list = self.objects.list_with_delimiter(prefix);
        self.through(ObjectCall::List, 0, list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copied = self.objects.copy_opts(from, to, options);
        self.through(ObjectCall::Copy, 0, copied).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    upload: Box<dyn MultipartUpload>,
    faults: FaultyObjects,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let bytes = data.content_length() as u64;
        let (faults, part) = (self.faults.clone(), self.upload.put_part(data));
        Box::pin(async move { faults.through(ObjectCall::Part, bytes, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let completed = self.upload.complete();
        self.faults.through(ObjectCall::Complete, 0, completed).await
    }

    async fn abort(&mut self) -> Result<()> {
        let aborted = self.upload.abort();
        self.faults.through(ObjectCall::Abort, 0, aborted).await
    }
}

impl fmt::Display for FaultyObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(f)
    }
}

impl fmt::Debug for FaultyObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyObjects").finish_non_exhaustive()
    }
}
