//! The store as a server reaches it: late, without an answer, or not at all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::stream::{self, BoxStream, StreamExt as _};
use vault_store::object_store::path::Path;
use vault_store::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as Stored,
};

use crate::server::{Body, Luck};
use crate::world::{Broken, LONGEST, World};

/// The store, as one server reaches it.
#[derive(Clone)]
pub(crate) struct Reached {
    pub(crate) world: Arc<World>,
    pub(crate) server: Arc<Body>,
    pub(crate) luck: Luck,
    /// Requests and answers take their time. Else whoever asks is a thread that waits, and the time of the world stands still meanwhile: what is late has no answer then.
    pub(crate) takes_time: bool,
}

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store of {}", self.server.name)
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

fn lost() -> Error {
    Error::Generic {
        store: "simulation",
        source: "no answer".into(),
    }
}

/// It certainly did not go out. Not tried again below: the time that a thread waits is not the world's.
fn unreachable(path: &str) -> Error {
    Error::PermissionDenied {
        path: path.to_owned(),
        source: "status code: 503: nobody is reached".into(),
    }
}

/// What becomes of a request that changes something.
#[derive(Debug)]
enum Fate {
    Done,
    NotDone,
    AnswerLost,
    /// It is done after so long, and there is no answer.
    Late(Duration),
}

impl Reached {
    fn fate(&self, latest: u64) -> Fate {
        if !self.luck.is_trouble(&self.world, 8) {
            return Fate::Done;
        }
        self.luck.draw(|seed| match seed.below(8) {
            0..3 => Fate::Late(seed.time(100, latest)),
            3..5 => Fate::NotDone,
            _ => Fate::AnswerLost,
        })
    }

    /// Ends when the request may go out.
    async fn go_out(&self, path: &str) -> Stored<()> {
        if self.takes_time {
            self.server.goes_on(&self.world).await;
        }
        match self.server.is_cut_off(&self.world) {
            true => Err(unreachable(path)),
            false => Ok(()),
        }
    }

    async fn takes_time(&self) {
        if self.takes_time {
            let late = self.luck.is_trouble(&self.world, 3);
            let time = self.luck.draw(|seed| match late {
                true => seed.time(1_000, 30_000),
                false => seed.time(1, 150),
            });
            self.world.sleep(time).await;
        }
    }

    /// The answer comes.
    async fn come_back<T>(&self, path: &str, answer: Stored<T>) -> Stored<T> {
        self.takes_time().await;
        self.go_out(path).await?;
        answer
    }

    /// Does `work` when its time has come, whatever becomes of who wants it; and what the answer is.
    async fn change<T: Send + 'static>(
        &self,
        path: &str,
        latest: u64,
        work: impl FnOnce() -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        self.go_out(path).await?;
        let fate = self.fate(latest);
        self.world
            .tell(|| format!("{} asks the store to change {path}: {fate:?}", self.server.name));
        let answer = match fate {
            Fate::NotDone => Err(lost()),
            Fate::Late(time) => {
                let world = Arc::clone(&self.world);
                self.world.runtime.spawn(async move {
                    world.sleep(time).await;
                    let _ = work(); // nobody waits for it
                });
                Err(lost())
            }
            Fate::Done | Fate::AnswerLost => {
                let answer = match self.takes_time {
                    false => work(),
                    true => {
                        let on_its_way = self.clone();
                        let arriving = self.world.runtime.spawn(async move {
                            on_its_way.takes_time().await;
                            work()
                        });
                        arriving.await.unwrap()
                    }
                };
                if matches!(fate, Fate::AnswerLost) {
                    Err(lost())
                } else {
                    answer
                }
            }
        };
        self.come_back(path, answer).await
    }

    /// A write comes to the store, and is seen by everybody.
    fn put(
        &self,
        asked: Duration,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Stored<PutResult> {
        let bytes: Vec<u8> = payload.iter().flat_map(|part| part.to_vec()).collect();
        let now = self.world.now();
        self.world.tell(|| format!("{path} of {}", self.server.name));
        self.world.facts(|facts| {
            // Left out: a request without an answer that comes once what another attempt committed was removed again would bring the manifest back.
            if manifest(path.as_ref()).is_some_and(|id| facts.is_removed(id)) && now > asked {
                facts.counted.too_late += 1;
                return Err(lost());
            }
            let put = self.world.store.put_opts(path, payload, options);
            let put = put.now_or_never().unwrap()?;
            match path.as_ref() {
                "p/leader" => facts.leads(&bytes, self.server.runs_out(asked)),
                "p/jobs/state.json" => facts.queued(&bytes, now),
                path => {
                    if let Some(id) = manifest(path) {
                        facts.committed(id, now);
                    }
                }
            }
            Ok(put)
        })
    }

    fn delete(&self, path: Path) -> Stored<Path> {
        let now = self.world.now();
        self.world.facts(|facts| {
            let store = &self.world.store;
            let was_there = store.head(&path).now_or_never().unwrap().is_ok();
            store.delete(&path).now_or_never().unwrap()?;
            if was_there && let Some(id) = manifest(path.as_ref()) {
                facts.removed(id, &self.server.name, now);
            }
            Ok(path)
        })
    }

    async fn remove(self, path: Path) -> Stored<Path> {
        let (store, name) = (self.clone(), path.to_string());
        self.change(&name, LONGEST, move || store.delete(path)).await
    }
}

fn manifest(path: &str) -> Option<&str> {
    path.strip_prefix("p/manifests/")?.strip_suffix(".json")
}

#[async_trait]
impl ObjectStore for Reached {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> Stored<PutResult> {
        if self.world.broken == Broken::Unconditional {
            opts.mode = PutMode::Overwrite;
        }
        let (store, path, asked) = (self.clone(), location.clone(), self.world.now());
        let put = move || store.put(asked, &path, payload, opts);
        self.change(location.as_ref(), 40_000, put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _opts: PutMultipartOptions,
    ) -> Stored<Box<dyn MultipartUpload>> {
        Err(unreachable(location.as_ref())) // no file is so long
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Stored<GetResult> {
        self.go_out(location.as_ref()).await?;
        self.takes_time().await;
        let found = self.world.store.get_opts(location, options).await;
        self.come_back(location.as_ref(), found).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Stored<Path>>) -> BoxStream<'static, Stored<Path>> {
        let store = self.clone();
        let deleted = locations.then(move |path| {
            let store = store.clone();
            async move { store.remove(path?).await }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Stored<ObjectMeta>> {
        match self.server.is_cut_off(&self.world) {
            true => stream::once(async { Err(unreachable("a list")) }).boxed(),
            false => self.world.store.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Stored<ListResult> {
        self.go_out("a list").await?;
        self.world.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, _to: &Path, _options: CopyOptions) -> Stored<()> {
        Err(unreachable(from.as_ref())) // nothing is copied
    }
}
