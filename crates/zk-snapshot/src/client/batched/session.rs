//! One session of the batched client, made anew where it is lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use zookeeper_client as zk;

use super::config::{BatchedConfig, USUAL_SESSION};
use crate::client::relay::Relay;

/// Between two attempts to connect, or to send again what a lost connection took with it.
const PAUSE: Duration = Duration::from_millis(100);

/// A session that is replaced by a new one when its connection is lost.
pub(super) struct Session {
    addresses: Vec<String>,
    connector: zk::Connector,
    secure: bool,
    handle: Handle,
    current: Mutex<Option<zk::Client>>,
    epoch: AtomicU64,
}

impl Session {
    /// By way of `relay`, if there is one.
    pub(super) fn new(
        config: &BatchedConfig,
        relay: Option<&Relay>,
        handle: &Handle,
    ) -> Result<Self, String> {
        let mut connector = zk::Client::connector()
            .with_session_timeout(config.session_timeout)
            .with_fail_eagerly();
        if config.session_timeout < USUAL_SESSION {
            // Of a short session as much as the library takes: a server that waits for its disk is silent for a while.
            connector = connector.with_connection_timeout(config.session_timeout * 3 / 5);
        }
        if let Some(identity) = &config.digest_auth {
            connector = connector.with_auth("digest", identity.as_bytes());
        }
        if let Some((user, password)) = &config.sasl {
            connector = connector.with_sasl(zk::SaslOptions::digest_md5(user.clone(), password.clone()));
        }
        if let Some(tls) = &config.tls {
            // Where the process has chosen none, as the library would not know which of two to take.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let mut options = zk::TlsOptions::new()
                .with_pem_ca(&tls.ca)
                .map_err(|error| format!("the CA cannot be used: {error}"))?;
            if let Some((certificate, key)) = &tls.identity {
                options = options
                    .with_pem_identity(certificate, key)
                    .map_err(|error| format!("the client certificate cannot be used: {error}"))?;
            }
            connector = connector.with_tls(options);
        }
        Ok(Self {
            addresses: match relay {
                Some(relay) => relay.addresses().to_vec(),
                None => config.address.split(',').map(|a| a.trim().to_owned()).collect(),
            },
            connector,
            secure: config.tls.is_some(),
            handle: handle.clone(),
            current: Mutex::new(None),
            epoch: AtomicU64::new(0),
        })
    }

    /// Grows with every connection that was made.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// The client, connected, and the epoch that it belongs to.
    pub(super) async fn get(&self, deadline: Instant) -> Result<(zk::Client, u64), zk::Error> {
        let mut current = timeout_at(deadline, self.current.lock())
            .await
            .map_err(|_| zk::Error::Timeout)?;
        if let Some(client) = current.as_ref()
            && client.state() == zk::SessionState::SyncConnected
        {
            return Ok((client.clone(), self.epoch()));
        }
        *current = None;
        let client = self.connect(deadline).await?;
        *current = Some(client.clone());
        Ok((client, self.epoch.fetch_add(1, Ordering::SeqCst) + 1))
    }

    /// A new session with the first server that gives one.
    async fn connect(&self, deadline: Instant) -> Result<zk::Client, zk::Error> {
        loop {
            let mut last = zk::Error::NoHosts;
            for address in &self.addresses {
                let (connector, address) = (self.connector.clone(), address.clone());
                let secure = self.secure;
                // The session's own task is to run there.
                let connecting = self.handle.spawn(async move {
                    if secure {
                        connector.secure_connect(&address).await
                    } else {
                        connector.connect(&address).await
                    }
                });
                let share = match u32::try_from(self.addresses.len()) {
                    Ok(several @ 2..) => (deadline - Instant::now()) / several,
                    _ => deadline - Instant::now(),
                };
                match timeout_at(Instant::now() + share, connecting).await {
                    Ok(Ok(Ok(client))) => match timeout_at(deadline, client.sync("/")).await {
                        // What was acknowledged anywhere in the ensemble by now is seen here.
                        Ok(Ok(())) => return Ok(client),
                        Ok(Err(error)) => last = error,
                        Err(_) => last = zk::Error::Timeout,
                    },
                    Ok(Ok(Err(error @ (zk::Error::AuthFailed | zk::Error::Unimplemented)))) => {
                        return Err(error);
                    }
                    Ok(Ok(Err(error))) => last = error,
                    Ok(Err(error)) => last = zk::Error::UnexpectedError(error.to_string()),
                    Err(_) => last = zk::Error::Timeout,
                }
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(last);
            }
            sleep(PAUSE).await;
        }
    }

    /// One request, sent again over a new connection where one was lost. Only for what may be done twice.
    pub(super) async fn call<T>(
        &self,
        deadline: Instant,
        request: impl Fn(&zk::Client) -> BoxFuture<'_, Result<T, zk::Error>>,
    ) -> Result<T, zk::Error> {
        self.call_while(deadline, || true, request).await
    }

    /// The same, but sent again only while `again` says so.
    pub(super) async fn call_while<T>(
        &self,
        deadline: Instant,
        again: impl Fn() -> bool,
        request: impl Fn(&zk::Client) -> BoxFuture<'_, Result<T, zk::Error>>,
    ) -> Result<T, zk::Error> {
        loop {
            let (client, _) = self.get(deadline).await?;
            match timeout_at(deadline, request(&client)).await {
                Err(_) => return Err(zk::Error::Timeout),
                Ok(Err(error)) if cannot_be_decoded(&client, &error) => return Err(error),
                Ok(Err(error)) if is_lost(&error) && again() && Instant::now() + PAUSE < deadline => {
                    sleep(PAUSE).await;
                }
                Ok(answer) => return answer,
            }
        }
    }

    /// Ends the session, if there is one, and waits for that a second at most.
    pub(super) async fn close(&self) {
        let Some(client) = self.current.lock().await.take() else {
            return;
        };
        let mut state = client.state_watcher();
        drop(client);
        let ended = async { while !state.changed().await.is_terminated() {} };
        if timeout_at(Instant::now() + Duration::from_secs(1), ended)
            .await
            .is_err()
        {
            log::debug!("a session was left to expire");
        }
    }
}

/// Whether there was an answer, but none that the library understands: its connection goes on.
fn cannot_be_decoded(client: &zk::Client, error: &zk::Error) -> bool {
    is_undecodable(error) && client.state() == zk::SessionState::SyncConnected
}

/// Whether an answer may have come that the library does not understand. A connection may have been lost as well.
pub(super) fn is_undecodable(error: &zk::Error) -> bool {
    matches!(
        error,
        zk::Error::UnexpectedError(_) | zk::Error::UnmarshalError { .. }
    )
}

/// Whether a request may not have reached the server, or its answer not us.
pub(super) fn is_lost(error: &zk::Error) -> bool {
    use zk::Error;
    matches!(
        error,
        Error::ConnectionLoss
            | Error::SessionExpired
            | Error::SessionMoved
            | Error::ClientClosed
            | Error::Timeout
            | Error::NoHosts
            | Error::UnexpectedError(_)
            | Error::Custom(_)
    )
}
