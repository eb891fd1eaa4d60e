//! Why a job ends early, and what tells a check that it is to.

use job_queue::StopReason;
use tokio::sync::watch;

/// Why a job ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    /// Somebody called it off.
    #[error("it was called off")]
    Canceled,
    /// Its claim is lost, or nobody waits for it any more.
    #[error("it was given up, and how it ended is not for this server to say")]
    Lost,
    /// The engine is to end, and this can be done again later.
    #[error("it was stopped, as the process ends")]
    Ending,
}

impl From<StopReason> for Stopped {
    fn from(why: StopReason) -> Self {
        match why {
            StopReason::Canceled => Self::Canceled,
            StopReason::Lost => Self::Lost,
        }
    }
}

/// Tells a check when it is to end early: also when the engine is to end.
pub(super) struct CheckStop {
    job: job_queue::Stop,
    ending: watch::Receiver<bool>,
}

impl CheckStop {
    pub(super) fn new(job: job_queue::Stop, ending: watch::Receiver<bool>) -> Self {
        Self { job, ending }
    }

    /// An error if it is.
    pub(super) fn check(&self) -> Result<(), Stopped> {
        if *self.ending.borrow() {
            return Err(Stopped::Ending);
        }
        self.job.reason().map_or(Ok(()), |why| Err(why.into()))
    }

    /// Ends once it is.
    pub(super) async fn asked(&self) -> Stopped {
        let mut ending = self.ending.clone();
        let ended = async {
            if ending.wait_for(|ending| *ending).await.is_err() {
                std::future::pending::<()>().await; // nobody can say so any more
            }
        };
        tokio::select! {
            () = ended => Stopped::Ending,
            why = self.job.asked() => why.into(),
        }
    }
}
