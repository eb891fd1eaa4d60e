//! How the work on a job is told to stop.

use tokio::sync::watch;

/// Why the work on a job is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody called it off.
    Canceled,
    /// Its claim is lost, or was [given up](crate::Runner::give_up): somebody else ends it, or has. What it still does may meet another's work.
    Lost,
}

/// Tells the work on a job that it is to stop. Clones tell the same.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Option<StopReason>>);

impl Stop {
    /// One that never tells anything.
    #[must_use]
    pub fn never() -> Self {
        Stopper::new().1
    }

    /// Why the work is to stop, if it is.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        *self.0.borrow()
    }

    /// Waits until the work is to stop, for ever if it never is, and says why.
    pub async fn asked(&self) -> StopReason {
        let mut told = self.0.clone();
        match told.wait_for(Option::is_some).await.map(|reason| *reason) {
            Ok(Some(reason)) => reason,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Waits until the claim is lost, for ever if it never is.
    pub async fn lost(&self) {
        let mut told = self.0.clone();
        let lost = told.wait_for(|told| *told == Some(StopReason::Lost));
        if lost.await.is_err() {
            std::future::pending::<()>().await; // nobody can say so any more
        }
    }
}

/// What tells.
#[derive(Debug, Clone)]
pub(crate) struct Stopper(watch::Sender<Option<StopReason>>);

impl Stopper {
    pub(crate) fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), Stop(receiver))
    }

    /// A claim that is lost is so whatever else is told.
    pub(crate) fn tell(&self, reason: StopReason) {
        self.0.send_if_modified(|told| {
            let is_news = *told != Some(StopReason::Lost) && *told != Some(reason);
            if is_news {
                *told = Some(reason);
            }
            is_news
        });
    }
}
