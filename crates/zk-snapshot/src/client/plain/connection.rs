//! One connection of the plain client, made anew where it is lost.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use zookeeper_async::{WatchedEvent, ZkError, ZkState, ZooKeeper};

use super::config::PlainConfig;
use crate::client::reach::reachable;
use crate::client::relay::Relay;
use crate::tree::ClientErrorKind;

/// Between two attempts to connect, or to send again what a lost connection took with it.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest time to end a session in order.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection that is replaced when it is lost.
///
/// The library reconnects by itself, but then it may take what is left of the old connection for answers on the
/// new one, and it forgets our identity. So whatever it answers after a loss is thrown away, and it with that.
pub(super) struct Connection {
    config: PlainConfig,
    relay: Arc<Relay>,
    handle: Handle,
    current: Mutex<Option<Live>>,
    epoch: AtomicU64,
}

#[derive(Clone)]
struct Live {
    zookeeper: Arc<ZooKeeper>,
    lost: Arc<AtomicBool>,
}

/// Why a request has no answer.
pub(super) enum Trouble {
    TooLate,
    Lost,
    Unreachable(String),
    /// The library has panicked over the answer.
    Undecodable,
    Server(ZkError),
}

impl Trouble {
    /// Whether it may be because a connection was lost.
    pub(super) fn may_be_lost(&self) -> bool {
        match self {
            Self::TooLate | Self::Lost | Self::Unreachable(_) => true,
            Self::Undecodable => false,
            Self::Server(error) => is_lost(*error),
        }
    }

    pub(super) fn kind(&self) -> ClientErrorKind {
        match self {
            Self::Server(ZkError::AuthFailed | ZkError::NoAuth) => ClientErrorKind::Credentials,
            Self::Undecodable => ClientErrorKind::Answer,
            Self::Server(error) if !is_lost(*error) => ClientErrorKind::Answer,
            _ => ClientErrorKind::Unanswered,
        }
    }

    pub(super) fn plain_words(&self) -> String {
        match self {
            Self::TooLate => "no answer in time".to_owned(),
            Self::Lost => "the connection was lost".to_owned(),
            Self::Unreachable(cause) => cause.clone(),
            Self::Undecodable => "the answer cannot be decoded".to_owned(),
            Self::Server(error) => error.to_string(),
        }
    }
}

impl Connection {
    pub(super) fn new(config: &PlainConfig, relay: &Arc<Relay>, handle: &Handle) -> Self {
        Self {
            config: config.clone(),
            relay: Arc::clone(relay),
            handle: handle.clone(),
            current: Mutex::new(None),
            epoch: AtomicU64::new(0),
        }
    }

    /// Grows with every connection that was made.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    async fn get(&self, deadline: Instant) -> Result<Live, Trouble> {
        let mut current = timeout_at(deadline, self.current.lock())
            .await
            .map_err(|_| Trouble::TooLate)?;
        match current.take() {
            Some(live) if !live.lost.load(Ordering::SeqCst) => *current = Some(live),
            Some(live) => {
                // It would go on reconnecting.
                self.handle.spawn(async move { end(&live.zookeeper).await });
                *current = Some(self.connect(deadline).await?);
            }
            None => *current = Some(self.connect(deadline).await?),
        }
        current.clone().ok_or(Trouble::Lost)
    }

    /// A connection to the first server that takes one, with our identity known there.
    async fn connect(&self, deadline: Instant) -> Result<Live, Trouble> {
        let mut first = 0;
        loop {
            let found = reachable(self.relay.servers(), first, deadline).await;
            let trouble = match found.map(|number| (number, &self.relay.addresses()[number])) {
                Err(cause) => Trouble::Unreachable(cause),
                Ok((number, address)) => match timeout_at(deadline, self.connect_to(address)).await {
                    Ok(Ok(live)) => {
                        self.epoch.fetch_add(1, Ordering::SeqCst);
                        return Ok(live);
                    }
                    Ok(Err(trouble)) => {
                        first = number + 1; // it takes connections, but maybe no requests
                        trouble
                    }
                    Err(_) => Trouble::Unreachable("no connection in time".to_owned()),
                },
            };
            let refused = matches!(trouble, Trouble::Server(ZkError::AuthFailed));
            if refused || Instant::now() + PAUSE >= deadline {
                return Err(trouble);
            }
            sleep(PAUSE).await;
            if Instant::now() >= deadline {
                return Err(trouble); // another look would only find that it is too late
            }
        }
    }

    async fn connect_to(&self, address: &str) -> Result<Live, Trouble> {
        let (session, address) = (self.config.session_timeout, address.to_owned());
        let connecting = self.handle.spawn(async move {
            ZooKeeper::connect_with_retry_time(&address, session, |_: WatchedEvent| {}, PAUSE).await
        });
        let zookeeper = connecting
            .await
            .map_err(|error| Trouble::Unreachable(error.to_string()))?
            .map_err(Trouble::Server)?;
        let (lost, connected) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
        let told = Arc::clone(&lost);
        zookeeper.add_listener(move |state| {
            let again = connected.swap(true, Ordering::SeqCst);
            if !matches!(state, ZkState::Connected) || again {
                told.store(true, Ordering::SeqCst);
            }
        });
        let zookeeper = Arc::new(zookeeper);
        match self.introduce(&zookeeper).await {
            Ok(()) => Ok(Live { zookeeper, lost }),
            Err(trouble) => {
                self.handle.spawn(async move { end(&zookeeper).await }); // as it would go on reconnecting
                Err(trouble)
            }
        }
    }

    async fn introduce(&self, zookeeper: &ZooKeeper) -> Result<(), Trouble> {
        if let Some(identity) = &self.config.digest_auth {
            let proof = identity.as_bytes().to_vec();
            let known = zookeeper.add_auth("digest", proof).await;
            known.map_err(Trouble::Server)?;
        }
        catch_up(zookeeper).await
    }

    /// One request, sent again after a lost connection until `deadline`. Only for what may be done twice.
    pub(super) async fn call<R, F>(
        &self,
        deadline: Instant,
        request: impl Fn(Arc<ZooKeeper>) -> F,
    ) -> Result<R, Trouble>
    where
        F: Future<Output = Result<R, ZkError>>,
    {
        loop {
            match self.once(deadline, &request).await {
                Err(Trouble::Lost) if Instant::now() + PAUSE < deadline => sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    /// One request, sent once. [`Trouble::Lost`] leaves it open whether it was carried out.
    pub(super) async fn once<R, F>(
        &self,
        deadline: Instant,
        request: &impl Fn(Arc<ZooKeeper>) -> F,
    ) -> Result<R, Trouble>
    where
        F: Future<Output = Result<R, ZkError>>,
    {
        let live = self.get(deadline).await?;
        // The library decodes an answer where it is waited for, and takes it for granted that a text is UTF-8.
        let asked = AssertUnwindSafe(request(Arc::clone(&live.zookeeper))).catch_unwind();
        let outcome = match timeout_at(deadline, asked).await {
            Ok(Ok(outcome)) => Ok(outcome),
            // What is left of a lost connection may have been taken for the answer.
            Ok(Err(_)) if live.lost.load(Ordering::SeqCst) => return Err(Trouble::Lost),
            Ok(Err(_)) => return Err(Trouble::Undecodable),
            Err(late) => Err(late),
        };
        match outcome {
            _ if live.lost.load(Ordering::SeqCst) => Err(Trouble::Lost),
            Err(_) => Err(Trouble::TooLate),
            Ok(Err(error)) if is_lost(error) => {
                live.lost.store(true, Ordering::SeqCst);
                Err(Trouble::Lost)
            }
            Ok(answer) => answer.map_err(Trouble::Server),
        }
    }

    /// Ends the session, if there is one.
    pub(super) async fn close(&self) {
        if let Some(live) = self.current.lock().await.take() {
            end(&live.zookeeper).await;
        }
    }
}

/// Returns when the server has caught up with what was acknowledged anywhere in the ensemble by now.
///
/// The library has no `sync`. A write is answered by a server when it has done all that the leader had ordered before it,
/// also one that changes nothing: deleting what is not there, at a version that it would not have either.
async fn catch_up(zookeeper: &ZooKeeper) -> Result<(), Trouble> {
    match zookeeper
        .delete("/zookeeper/zk-backup-sync", Some(i32::MAX))
        .await
    {
        Ok(()) | Err(ZkError::NoNode | ZkError::NoAuth | ZkError::BadVersion) => Ok(()),
        Err(error) => Err(Trouble::Server(error)),
    }
}

async fn end(zookeeper: &ZooKeeper) {
    let deadline = Instant::now() + FAREWELL;
    if !matches!(timeout_at(deadline, zookeeper.close()).await, Ok(Ok(()))) {
        log::debug!("a session was left to expire");
    }
}

fn is_lost(error: ZkError) -> bool {
    matches!(
        error,
        ZkError::ConnectionLoss | ZkError::SessionExpired | ZkError::SessionMoved | ZkError::OperationTimeout
    )
}
