//! Object stores that ignore the conditions of writes are found out.
#![allow(clippy::unwrap_used)]

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use futures::executor::block_on;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use vault_store::{FaultyObjects, ObjectCall, ObjectVaults, VaultFault};

/// What becomes of a condition.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Conditions {
    NoneIsKnown,
    NoReplacing,
    NotImplemented,
}

#[derive(Debug)]
struct Careless(Arc<InMemory>, Conditions);

impl fmt::Display for Careless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("careless")
    }
}

#[async_trait]
impl ObjectStore for Careless {
    async fn put_opts(&self, key: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let ignored = match (self.1, &options.mode) {
            (_, PutMode::Overwrite) | (Conditions::NoReplacing, PutMode::Create) => options.mode,
            (Conditions::NotImplemented, _) => {
                let source = "Server returned non-2xx status code: 501 Not Implemented".into();
                return Err(Error::Generic { store: "S3", source });
            }
            _ => PutMode::Overwrite,
        };
        self.0.put_opts(key, payload, PutOptions::from(ignored)).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(key, options).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(key, options).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

fn count(objects: &InMemory) -> usize {
    let all: Vec<_> = block_on(objects.list(None).try_collect()).unwrap();
    all.len()
}

#[test]
fn what_is_ignored_is_named_and_nothing_is_left() {
    for (conditions, alone, shared) in [
        (None, None, None),
        (Some(Conditions::NoReplacing), None, Some("If-Match")),
        (
            Some(Conditions::NoneIsKnown),
            Some("If-None-Match"),
            Some("If-None-Match"),
        ),
        (
            Some(Conditions::NotImplemented),
            Some("If-None-Match"),
            Some("If-None-Match"),
        ),
    ] {
        let below = Arc::new(InMemory::new());
        let objects: Arc<dyn ObjectStore> = match conditions {
            None => below.clone(),
            Some(conditions) => Arc::new(Careless(below.clone(), conditions)),
        };
        let vaults = ObjectVaults::open(objects, "some/where").unwrap();
        let said = [false, true].map(|replacing| vaults.ignored_condition(replacing).unwrap());
        assert_eq!(said, [alone, shared], "{conditions:?}");
        assert_eq!(count(&below), 0, "{conditions:?}");
    }
}

#[test]
fn whoever_meets_the_probe_of_another_leaves_it() {
    let below = Arc::new(InMemory::new());
    let objects = FaultyObjects::new(below.clone());
    let vaults = ObjectVaults::open(Arc::new(objects.clone()), "").unwrap();
    let other = ObjectVaults::open(below.clone(), "").unwrap();
    let meanwhile = Box::new(move || assert_eq!(other.ignored_condition(false).unwrap(), None));
    objects.plan(ObjectCall::Put, 2, VaultFault::Delay(meanwhile));
    assert_eq!(vaults.ignored_condition(false).unwrap(), None);
    assert_eq!((objects.left(), count(&below)), (0, 0));
    objects.plan(ObjectCall::Put, 1, VaultFault::Fail);
    assert!(vaults.ignored_condition(false).is_err());
}
