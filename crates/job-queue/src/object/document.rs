//! One object that several processes change, each change on top of the last.

mod beside;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload, UpdateVersion};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout_at};

use super::failures::queue_error;
use crate::QueueError;

/// The version of what is written.
const VERSION: i64 = 1;
/// How many writes an object remembers: who asks after that many others have written does not learn whether it was written.
const REMEMBERED: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Makes numbers that nobody has had.
pub(super) type Random = Arc<dyn Fn() -> u128 + Send + Sync>;

/// What a change does.
pub(super) enum Change<R> {
    /// It is written.
    Write(R),
    /// Nothing is to be written. What was changed is forgotten.
    Keep(R),
}

/// An object of JSON in the hands of several processes. Every write replaces the version that was read, and no other.
///
/// Each write carries a token of its own, and the object those of the last writes: whose answer is lost looks there. That also
/// makes any two versions differ, and so their ETags, which may be digests.
pub(super) struct Document<T> {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// How long a call is tried.
    patience: Duration,
    random: Random,
    /// What is known of it, by a read or a write of ours. Held while a call is done: those of one process come one by one.
    known: Mutex<Option<Known<T>>>,
    /// Whether there was one. It does not begin anew when somebody has deleted it.
    existed: AtomicBool,
}

#[derive(Clone)]
struct Known<T> {
    /// `None` where there is no object yet.
    version: Option<UpdateVersion>,
    /// Those of the last writes, the newest last.
    tokens: Vec<String>,
    value: T,
}

#[derive(Serialize, Deserialize)]
struct Body<T> {
    version: i64,
    tokens: Vec<String>,
    value: T,
}

/// The part that every version has.
#[derive(Deserialize)]
struct AnyBody {
    version: i64,
}

enum Put {
    Won,
    /// Somebody else has written, and ours was not.
    Overtaken,
}

impl<T: Clone + Default + PartialEq + Serialize + DeserializeOwned> Document<T> {
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path, patience: Duration, random: Random) -> Self {
        Self {
            store,
            path,
            patience,
            random,
            known: Mutex::new(None),
            existed: AtomicBool::new(false),
        }
    }

    /// What it holds now.
    pub(super) async fn read(&self) -> Result<T, QueueError> {
        let deadline = Instant::now() + self.patience;
        let mut known = self.known.lock().await;
        self.look(&mut known, deadline).await?;
        Ok(read(&known)?.value.clone())
    }

    /// What it held when it was last read or written here.
    pub(super) async fn last_known(&self) -> Result<T, QueueError> {
        let deadline = Instant::now() + self.patience;
        let mut known = self.known.lock().await;
        if known.is_none() {
            self.look(&mut known, deadline).await?;
        }
        Ok(read(&known)?.value.clone())
    }

    /// Changes it by `change`, which is called again on top of what others have written meanwhile. What it refuses, or leaves as
    /// it is, was judged by what the object held after this was called.
    ///
    /// # Errors
    /// Its own; [`QueueError::Storage`]: it may have been written all the same.
    pub(super) async fn change<R>(
        &self,
        mut change: impl FnMut(&mut T) -> Result<Change<R>, QueueError>,
    ) -> Result<R, QueueError> {
        let deadline = Instant::now() + self.patience;
        let mut known = self.known.lock().await;
        let (mut is_fresh, mut pause) = (false, FIRST_PAUSE);
        loop {
            if known.is_none() {
                self.look(&mut known, deadline).await?;
                is_fresh = true;
            }
            let mut value = read(&known)?.value.clone();
            match change(&mut value) {
                Ok(Change::Write(done)) => match self.put(&mut known, value, deadline).await? {
                    Put::Won => return Ok(done),
                    Put::Overtaken => {
                        is_fresh = true;
                        self.wait(&mut pause, deadline).await?;
                    }
                },
                Ok(Change::Keep(_)) | Err(_) if !is_fresh => {
                    self.look(&mut known, deadline).await?;
                    is_fresh = true;
                }
                Ok(Change::Keep(done)) => return Ok(done),
                Err(refused) => return Err(refused),
            }
        }
    }

    /// Makes it `to` if it is still `from`, and says whether it was.
    pub(super) async fn swap(&self, from: &T, to: &T) -> Result<bool, QueueError> {
        self.change(|value| {
            if value != from {
                return Ok(Change::Keep(false));
            }
            value.clone_from(to);
            Ok(Change::Write(true))
        })
        .await
    }

    /// Asks for it, unless it is what is known.
    async fn look(
        &self,
        known: &mut MutexGuard<'_, Option<Known<T>>>,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let last = known.as_ref();
            let had = last.and_then(|known| known.version.clone());
            match in_time(deadline, self.get(had.as_ref())).await {
                Ok((version, bytes)) => {
                    self.existed.store(true, Ordering::Relaxed);
                    **known = Some(self.parse(version, &bytes)?);
                    return Ok(());
                }
                Err(Error::NotModified { .. }) if had.is_some() => return Ok(()),
                Err(error) if is_missing(&error) && !self.existed.load(Ordering::Relaxed) => {
                    **known = Some(Known {
                        version: None,
                        tokens: Vec::new(),
                        value: T::default(),
                    });
                    return Ok(());
                }
                Err(error) if may_pass(&error) => {
                    log::debug!(
                        "{} cannot be read, and is tried again: {}",
                        self.path,
                        queue_error(&error)
                    );
                    self.wait(&mut pause, deadline)
                        .await
                        .map_err(|_| failed(&self.path, error))?;
                }
                Err(error) => return Err(failed(&self.path, error)),
            }
        }
    }

    async fn get(&self, had: Option<&UpdateVersion>) -> Result<(UpdateVersion, Vec<u8>), Error> {
        let options = GetOptions::new().with_if_none_match(had.and_then(|had| had.e_tag.clone()));
        let found = self.store.get_opts(&self.path, options).await?;
        let version = UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        };
        Ok((version, found.bytes().await?.into()))
    }

    fn parse(&self, version: UpdateVersion, bytes: &[u8]) -> Result<Known<T>, QueueError> {
        let unreadable =
            |why: serde_json::Error| QueueError::storage(format!("{} cannot be read: {why}", self.path));
        let any: AnyBody = serde_json::from_slice(bytes).map_err(unreadable)?;
        if any.version > VERSION {
            return Err(QueueError::Newer(any.version));
        }
        let body: Body<T> = serde_json::from_slice(bytes).map_err(unreadable)?;
        Ok(Known {
            version: Some(version),
            tokens: body.tokens,
            value: body.value,
        })
    }

    /// Writes `value` on top of what is known.
    async fn put(
        &self,
        known: &mut MutexGuard<'_, Option<Known<T>>>,
        value: T,
        deadline: Instant,
    ) -> Result<Put, QueueError> {
        let base = read(known)?.clone();
        let token = self.token();
        let mut tokens = base.tokens.clone();
        tokens.push(token.clone());
        tokens.drain(..tokens.len().saturating_sub(REMEMBERED));
        let body = Body {
            version: VERSION,
            tokens,
            value,
        };
        let payload = PutPayload::from(serde_json::to_vec(&body).map_err(QueueError::storage)?);
        let mode = || base.version.clone().map_or(PutMode::Create, PutMode::Update);
        let mut pause = FIRST_PAUSE;
        loop {
            let options = PutOptions {
                mode: mode(),
                ..PutOptions::default()
            };
            let put = self.store.put_opts(&self.path, payload.clone(), options);
            let error = match in_time(deadline, put).await {
                Ok(put) => {
                    self.existed.store(true, Ordering::Relaxed);
                    **known = Some(Known {
                        version: Some(put.into()),
                        tokens: body.tokens,
                        value: body.value,
                    });
                    return Ok(Put::Won);
                }
                Err(error) if !may_pass(&error) => return Err(failed(&self.path, error)),
                Err(error) => error,
            };
            // Whoever cannot read either does not learn whether it was written.
            **known = Some(base.clone());
            let looked = self.look(known, deadline).await;
            let found = looked.and_then(|()| Ok(&read(known)?.tokens));
            match found {
                Ok(found) if found.contains(&token) => return Ok(Put::Won),
                // It may still be on its way. Whichever of the two comes first, the other one is refused.
                Ok(found) if found.last() == base.tokens.last() => {
                    if self.wait(&mut pause, deadline).await.is_err() {
                        **known = None;
                        return Err(failed(&self.path, error));
                    }
                }
                // All since are remembered.
                Ok(found)
                    if found.len() < REMEMBERED
                        || base.tokens.last().is_some_and(|last| found.contains(last)) =>
                {
                    return Ok(Put::Overtaken);
                }
                Ok(_) => {
                    **known = None;
                    return Err(failed(&self.path, error));
                }
                Err(unread) => {
                    **known = None;
                    return Err(unread);
                }
            }
        }
    }

    /// What nobody else has.
    fn token(&self) -> String {
        format!("{:032x}", (self.random)())
    }

    /// Waits a little, longer each time, and not the same as others.
    async fn wait(&self, pause: &mut Duration, deadline: Instant) -> Result<(), QueueError> {
        let now = Instant::now();
        if now + *pause >= deadline {
            let late = format!("{}: no success in {:?}", self.path, self.patience);
            return Err(QueueError::storage(late));
        }
        let [share, ..] = (self.random)().to_le_bytes();
        sleep(*pause / 2 + *pause * u32::from(share) / 512).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

fn read<T>(known: &Option<Known<T>>) -> Result<&Known<T>, QueueError> {
    known
        .as_ref()
        .ok_or_else(|| QueueError::storage("nothing was read"))
}

async fn in_time<T>(deadline: Instant, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout_at(deadline, work).await.unwrap_or_else(|late| {
        Err(Error::Generic {
            store: "object storage",
            source: late.into(),
        })
    })
}

/// Whether the same request may succeed later.
fn may_pass(error: &Error) -> bool {
    matches!(
        error,
        Error::Generic { .. } | Error::Precondition { .. } | Error::AlreadyExists { .. }
    )
}

/// Whether there is no such object. A bucket that is not there is another matter, which has the same status.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !error.to_string().contains("<Code>NoSuchBucket<")
}

fn failed(path: &Path, error: Error) -> QueueError {
    match error {
        error if is_missing(&error) => {
            QueueError::storage(format!("{path} is gone: somebody has deleted it"))
        }
        error => queue_error(&error),
    }
}
