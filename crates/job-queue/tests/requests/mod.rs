//! Objects in memory whose requests are counted, and fail when they are told to.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What becomes of the next write that is conditional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is done, and its answer lost.
    Lost,
    /// It is not done.
    Refused,
    /// It is done and its answer lost, and somebody below tries it again.
    TwiceBelow,
}

type Then = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct Counted {
    below: InMemory,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reads: usize,
    writes: usize,
    fault: Option<(Fault, Then)>,
    broken: bool,
    /// The largest of each name that was written.
    largest: HashMap<String, usize>,
    objects: HashMap<String, ()>,
}

impl Counted {
    /// The reads and the writes since this was called last.
    pub(crate) fn take(&self) -> (usize, usize) {
        let mut state = self.state.lock().unwrap();
        (
            std::mem::take(&mut state.reads),
            std::mem::take(&mut state.writes),
        )
    }

    pub(crate) fn plan(&self, fault: Fault) {
        self.plan_then(fault, || {});
    }

    /// The same, and `then` is done before the caller is told.
    pub(crate) fn plan_then(&self, fault: Fault, then: impl FnOnce() + Send + 'static) {
        self.state.lock().unwrap().fault = Some((fault, Box::new(then)));
    }

    /// Whether every request fails.
    pub(crate) fn break_down(&self, broken: bool) {
        self.state.lock().unwrap().broken = broken;
    }

    pub(crate) fn largest(&self, name: &str) -> usize {
        self.state.lock().unwrap().largest[name]
    }

    /// How many objects there are beside those that change.
    pub(crate) fn objects(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.objects.len()
    }

    fn counts(&self, count: impl FnOnce(&mut State)) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        count(&mut state);
        if state.broken { Err(lost()) } else { Ok(()) }
    }
}

fn lost() -> Error {
    Error::Generic {
        store: "counted",
        source: "Error performing GET http://s3/p in 1ms - Server returned non-2xx status code: 403 Forbidden: <Error><Code>AccessDenied</Code>\
                 <Message>as was planned</Message><AWSAccessKeyId>canary</AWSAccessKeyId></Error>"
            .into(),
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.counts(|state| {
            state.writes += 1;
            let name = location.filename().unwrap_or_default().to_owned();
            let largest = state.largest.entry(name).or_default();
            *largest = (*largest).max(payload.content_length());
            state.objects.insert(location.to_string(), ());
        })?;
        let fault = self.state.lock().unwrap().fault.take();
        let Some((fault, then)) = fault else {
            return self.below.put_opts(location, payload, opts).await;
        };
        if fault != Fault::Refused {
            self.below
                .put_opts(location, payload.clone(), opts.clone())
                .await?;
        }
        // What it does may wait for this very thread, or for others.
        std::thread::spawn(then).join().unwrap();
        match fault {
            Fault::TwiceBelow => self.below.put_opts(location, payload, opts).await,
            Fault::Lost | Fault::Refused => Err(lost()),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.below.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.counts(|state| state.reads += 1)?;
        self.below.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        use futures::StreamExt;
        let deleted = futures::executor::block_on(locations.collect::<Vec<_>>());
        for path in deleted.iter().flatten() {
            self.state.lock().unwrap().objects.remove(path.as_ref());
        }
        self.below.delete_stream(futures::stream::iter(deleted).boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.below.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.below.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.below.copy_opts(from, to, options).await
    }
}
