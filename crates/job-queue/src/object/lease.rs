//! Which of several servers works: a lease in an object. What is decided when is in [`state`], without requests and clocks.

pub(super) mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, PutOptions, PutPayload, UpdateVersion};
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use self::state::{Holder, LeaseTiming};
use self::state::{LeaseState, Looked, Written};
use super::failures::queue_error;
use crate::QueueError;

/// Tells how much time has passed since some moment, which stays the same while the process lives. It is never set, and counts the
/// time that the machine sleeps.
pub type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A lease of being the one that works, in the object `<prefix>/leader`.
///
/// At any moment at most one of those that share it finds that it holds it, if their clocks run at rates that differ by less than
/// [`LeaseTiming::margin`] allows for. No times of day are compared: who holds it counts from before its last request, and others
/// take it over once they have seen it unchanged for long enough. It is for avoiding double work; what must not be done twice
/// is made so by conditional writes.
///
/// To be called in a loop: [`renew`](Self::renew) while it is held, else [`acquire`](Self::acquire), every
/// [`LeaseTiming::poll`].
pub struct Lease {
    store: Arc<dyn ObjectStore>,
    path: Path,
    uptime: Uptime,
    timing: LeaseTiming,
    state: std::sync::Mutex<LeaseState>,
    /// Held while requests are made: they go out one after another.
    asking: Mutex<()>,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("path", &self.path)
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}

impl Lease {
    /// The lease below `prefix` in `store`, as one that is called `name` and reached at `address`. Nobody is asked yet.
    #[must_use]
    pub fn new(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        name: &str,
        address: &str,
        timing: LeaseTiming,
        uptime: Uptime,
    ) -> Self {
        Self {
            store,
            path: Path::from(prefix).join("leader"),
            uptime,
            timing,
            state: std::sync::Mutex::new(LeaseState::new(name, address, timing)),
            asking: Mutex::new(()),
        }
    }

    /// Looks who holds it, takes it if nobody does or if who did has not been heard of for long enough, and says whether it is
    /// held then.
    ///
    /// # Errors
    /// [`QueueError::Storage`]: it may have been taken all the same, which the next call finds.
    pub async fn acquire(&self) -> Result<bool, QueueError> {
        let _one = self.asking.lock().await;
        self.state().end_if_run_out(self.now());
        self.look().await?;
        let write = self.state().take(self.now());
        self.write_if_any(write).await?;
        Ok(!self.remaining().is_zero())
    }

    /// Looks who holds it, and takes nothing.
    ///
    /// # Errors
    /// [`QueueError::Storage`].
    pub async fn refresh(&self) -> Result<(), QueueError> {
        let _one = self.asking.lock().await;
        self.look().await
    }

    /// Prolongs it, and says whether it is held then: not if somebody else has taken it.
    ///
    /// # Errors
    /// [`QueueError::Storage`]: it is held for as long as is [`remaining`](Self::remaining).
    pub async fn renew(&self) -> Result<bool, QueueError> {
        let _one = self.asking.lock().await;
        let (begun, left) = (self.now(), self.remaining());
        let write = self.state().renew(begun);
        let written = self.write_if_any(write).await;
        if self.now().saturating_sub(begun) >= left {
            // Somebody may have been told meanwhile that it is over.
            self.state().stop_holding();
        }
        written?;
        Ok(!self.remaining().is_zero())
    }

    /// Gives it away: others may take it at once. It counts as not held from the moment of the call, whatever becomes of it.
    ///
    /// # Errors
    /// [`QueueError::Storage`]: others may have to wait until it has run out.
    pub async fn release(&self) -> Result<(), QueueError> {
        self.state().stop_holding();
        let _one = self.asking.lock().await;
        let mut failed = None;
        // A renewal that was on its way may have come first.
        for _ in 0..3 {
            let write = self.state().release(self.now());
            match write {
                None => return Ok(()),
                Some(write) => failed = self.write(write).await?,
            }
        }
        Err(failed.unwrap_or_else(|| QueueError::storage("the lease is still ours")))
    }

    /// How long it is still held; zero if it is not.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.state().remaining(self.now())
    }

    /// As whom it is held; `None` if it is not.
    #[must_use]
    pub fn held(&self) -> Option<Holder> {
        let state = self.state();
        let is_held = !state.remaining(self.now()).is_zero();
        is_held.then(|| state.holder()).flatten()
    }

    /// Who holds it, as was seen last; perhaps ourselves. `None` if nobody was seen to.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.state().holder()
    }

    /// Whether it may be taken, as was seen last: nobody has it, or no change of it was seen for so long that it has run out by any clock, unless it
    /// could not be looked at.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.state().is_free(self.now())
    }

    fn now(&self) -> Duration {
        (self.uptime)()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, LeaseState> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn look(&self) -> Result<(), QueueError> {
        let tag = self.state().tag();
        let options = GetOptions::new().with_if_none_match(tag.clone());
        let asked = async {
            let found = self.store.get_opts(&self.path, options).await?;
            let version = UpdateVersion {
                e_tag: found.meta.e_tag.clone(),
                version: found.meta.version.clone(),
            };
            Ok((version, found.bytes().await?))
        };
        let looked = match self.in_time(asked).await {
            Ok((version, bytes)) => {
                let body = serde_json::from_slice(&bytes);
                let body = body.map_err(|why| QueueError::storage(format!("{}: {why}", self.path)))?;
                Looked::At(version, body)
            }
            Err(Error::NotModified { .. }) if tag.is_some() => Looked::Same,
            Err(Error::NotFound { .. }) => Looked::Nothing,
            Err(error) => return Err(queue_error(&error)),
        };
        self.state().looked(looked, self.now());
        Ok(())
    }

    async fn write_if_any(&self, write: Option<Written>) -> Result<(), QueueError> {
        match write {
            None => Ok(()),
            Some(write) => self.write(write).await?.map_or(Ok(()), Err),
        }
    }

    /// Writes it. `Some` tells why nothing was written, where nobody else did either.
    async fn write(&self, write: Written) -> Result<Option<QueueError>, QueueError> {
        let bytes = serde_json::to_vec(&write.body).map_err(QueueError::storage)?;
        let options = PutOptions {
            mode: write.mode.clone(),
            ..PutOptions::default()
        };
        let put = self.store.put_opts(&self.path, PutPayload::from(bytes), options);
        match self.in_time(put).await {
            Ok(put) => {
                self.state().done(&write, put.into(), self.now());
                Ok(None)
            }
            // Refused, or done and its answer lost, or tried twice below us: the object tells which.
            Err(error) => {
                self.look().await.map_err(|_| queue_error(&error))?;
                let is_settled = self.state().is_settled(&write);
                Ok((!is_settled).then(|| queue_error(&error)))
            }
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(self.timing.patience(), work)
            .await
            .unwrap_or_else(|late| {
                Err(Error::Generic {
                    store: "object storage",
                    source: late.into(),
                })
            })
    }
}
