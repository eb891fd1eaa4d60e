//! The storage as a process reaches it: late, and sometimes without an answer.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as Stored,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{Broken, World};

/// The storage, as it is reached.
#[derive(Clone)]
pub(super) struct Reached(pub(super) Arc<World>);

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reached")
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reached")
    }
}

fn lost() -> Error {
    Error::Generic {
        store: "simulation",
        source: "lost".into(),
    }
}

#[async_trait]
impl ObjectStore for Reached {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> Stored<PutResult> {
        let (world, path) = (Arc::clone(&self.0), location.clone());
        if world.is_trouble(3) {
            sleep(world.delay()).await;
            return Err(lost());
        }
        if world.broken == Broken::Unconditional {
            opts.mode = PutMode::Overwrite;
        }
        // It arrives, whatever becomes of who sent it.
        let arriving = tokio::spawn(async move {
            sleep(world.delay()).await;
            let put = world.store.put_opts(&path, payload.clone(), opts).await;
            if put.is_ok() && path.filename() == Some("state.json") {
                let bytes: Vec<u8> = payload.iter().flat_map(|part| part.to_vec()).collect();
                world.judge(&bytes);
            }
            put
        });
        let put = arriving.await.unwrap();
        sleep(self.0.delay()).await;
        if self.0.is_trouble(5) { Err(lost()) } else { put }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Stored<Box<dyn MultipartUpload>> {
        self.0.store.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Stored<GetResult> {
        sleep(self.0.delay()).await;
        if self.0.is_trouble(3) {
            return Err(lost());
        }
        let mut found = self.0.store.get_opts(location, options).await?;
        if self.0.broken == Broken::NoTokens && location.filename() == Some("state.json") {
            let bytes = self.0.store.get(location).await?.bytes().await?;
            let mut body: Value = serde_json::from_slice(&bytes).unwrap();
            body["tokens"] = json!([]);
            let bytes = serde_json::to_vec(&body).unwrap();
            let once = futures::stream::once(async move { Ok(bytes.into()) });
            found.payload = object_store::GetResultPayload::Stream(Box::pin(once));
        }
        sleep(self.0.delay()).await;
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Stored<Path>>) -> BoxStream<'static, Stored<Path>> {
        self.0.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Stored<ObjectMeta>> {
        self.0.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Stored<ListResult> {
        self.0.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Stored<()> {
        self.0.store.copy_opts(from, to, options).await
    }
}
