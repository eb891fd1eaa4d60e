//! An ensemble as tests hold it: its tree, its meddler, and a place to send requests to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::task::AtomicWaker;

use super::wire::{Lost, Reply, Request, Wire};
use super::{Meddler, ModelTree, Rules};

/// An ensemble: one tree, and servers that clients connect to.
#[derive(Clone)]
pub struct Ensemble {
    wire: Arc<Mutex<Wire>>,
    ended: Arc<AtomicWaker>,
}

impl std::fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ensemble").finish_non_exhaustive()
    }
}

impl Ensemble {
    /// An ensemble that holds only the root.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let wire = Wire::new(rules);
        Self {
            wire: Arc::new(Mutex::new(wire)),
            ended: Arc::new(AtomicWaker::new()),
        }
    }

    /// Looks at the tree, or changes it.
    pub fn with_tree<R>(&self, work: impl FnOnce(&mut ModelTree) -> R) -> R {
        work(&mut self.lock().tree)
    }

    /// Lets somebody act from now on, or nobody any more; requests are counted from 0 again, every server is there and
    /// up to date, and a client that was ended has its requests forgotten.
    pub fn set_meddler(&self, meddler: Option<Box<dyn Meddler>>) {
        self.lock().begin(meddler);
    }

    /// How many requests there were since the meddler was set.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.lock().requests()
    }

    /// What `work` returns, or `None` if its client was ended before: then it is dropped where it was.
    pub async fn unless_killed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        futures::future::poll_fn(|cx| {
            self.ended.register(cx.waker());
            if self.lock().is_killed() {
                return std::task::Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request when this is polled first, and has it carried out when it is polled again.
    pub(super) async fn ask(&self, connection: usize, request: Request) -> Result<Reply, Lost> {
        let ticket = self.lock().send(connection, request);
        let mut is_first = true;
        futures::future::poll_fn(|cx| {
            if std::mem::take(&mut is_first) {
                cx.waker().wake_by_ref();
                return std::task::Poll::Pending;
            }
            let mut wire = self.lock();
            match wire.answer(ticket) {
                Some(answer) => std::task::Poll::Ready(answer),
                None => {
                    self.ended.wake();
                    std::task::Poll::Pending
                }
            }
        })
        .await
    }
}
