//! The AdminServer of a ZooKeeper server, which takes a snapshot and sends it.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ureq::http::{HeaderValue, Response, StatusCode};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Body};
use zk_snapshot::client::Tls;
use zk_snapshot::files::{Gathered, ReceivedSnapshot, ReconciledSnapshot, Reconciler};

use super::source::{StateError, StateSource};
use super::spool::Spool;
use crate::ensemble::traits::{Client, Ensemble};

mod trial;

/// The longest that a server may take to write and send a snapshot.
const SENDING: Duration = Duration::from_secs(1_800);
/// The longest until an answer begins: by then the server has written its snapshot.
const FIRST_BYTE: Duration = Duration::from_secs(300);
/// The longest that is waited for a server that limits how often it may be asked, and between two attempts.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// Snapshots that are asked for until one is exact: each stays on the server's disk until it purges old ones. More than
/// the fewest only while they are small.
const FEWEST: usize = 2;
const MOST: usize = 5;
const MOST_BYTES: u64 = 256 << 20;
/// How much is read of what a server says where no snapshot comes.
const SAID: u64 = 4_096;

/// An AdminServer cannot be asked as it is said: what is wrong with which part of it. Secrets are not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AdminSourceError(String);

/// The AdminServer of a ZooKeeper server of 3.9 or newer, which takes a snapshot and sends it.
///
/// A snapshot that is taken while clients write mixes states. What changed meanwhile is read through the client API
/// then ([`Reconciler`]), and another snapshot tells what clients are not shown. Where that cannot be, it is fuzzy, and says
/// why.
#[derive(Clone)]
pub struct AdminSource {
    url: String,
    authorization: Option<HeaderValue>,
    tls: Option<TlsConfig>,
    spool: Spool,
}

impl AdminSource {
    /// At `url`, such as `http://zookeeper:8080`; `authorization` is what the header `Authorization` is to hold, such as
    /// `digest user:password`, for an identity that the ACL of `/` grants everything.
    ///
    /// # Errors
    /// Where `authorization` cannot be sent so; it is not told.
    pub fn new(url: &str, authorization: Option<&str>) -> Result<Self, AdminSourceError> {
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            authorization: authorization.map(header).transpose().map_err(AdminSourceError)?,
            tls: None,
            spool: Spool::within(std::env::temp_dir()),
        })
    }

    /// Keeps snapshots, as files without a name, in `directory` while they are needed: two at once. Else they are in the
    /// system's directory for temporary files.
    #[must_use]
    pub fn spooling_in(self, directory: &Path) -> Self {
        Self {
            spool: Spool::within(directory.to_owned()),
            ..self
        }
    }

    /// For a URL that begins with `https://`. The server's certificate must come from the authorities of `tls` and name the
    /// host of the URL; ours is shown where the server asks for one (`admin.needClientAuth`).
    ///
    /// # Errors
    /// What is wrong with the certificates or the key.
    pub fn with_tls(self, tls: &Tls) -> Result<Self, AdminSourceError> {
        let config = config(tls).map_err(AdminSourceError)?;
        Ok(Self {
            tls: Some(config),
            ..self
        })
    }

    /// The best that could be had, and why no further snapshot came.
    async fn settled(
        &self,
        ensemble: &dyn Ensemble,
        reader: &dyn Client,
    ) -> Result<(ReconciledSnapshot, Option<String>), String> {
        let mut settling = Reconciler::new(reader);
        let (mut taken, mut bytes, mut trouble) = (0, 0, None);
        while taken < FEWEST || taken < MOST && bytes < MOST_BYTES {
            match self.received_snapshot(ensemble, &mut settling).await {
                Ok((snapshot, size, session)) => {
                    (taken, bytes) = (taken + 1, bytes + size);
                    if let Some(settled) = settling.add(snapshot, session).await {
                        return Ok((settled, None));
                    }
                }
                // What there is may do.
                Err(why) => {
                    trouble = Some(why);
                    break;
                }
            }
        }
        match settling.finish() {
            Some(settled) => Ok((settled, trouble)),
            None => Err(trouble.unwrap_or_else(|| "no snapshot came".to_owned())),
        }
    }

    /// A snapshot, its length, and a session that had begun before it.
    async fn received_snapshot(
        &self,
        ensemble: &dyn Ensemble,
        settling: &mut Reconciler<'_>,
    ) -> Result<(ReceivedSnapshot, u64, Option<i64>), String> {
        settling.begin().await.map_err(|error| error.to_string())?;
        let marker = ensemble.connect().await.map_err(|error| error.to_string())?;
        let session = marker.session().await;
        let (asking, receiving) = (self.clone(), self.clone());
        let answer = settling.during(blocking(move || asking.ask())).await;
        marker.close().await;
        let (session, answer) = (session.map_err(|error| error.to_string())?, answer?);
        // It has been written now, and only has to come.
        let receive = blocking(move || receiving.receive(answer));
        let (snapshot, size) = tokio::join!(receive, settling.read_changes()).0?;
        Ok((snapshot, size, session))
    }

    fn command(&self) -> String {
        format!("{}/commands/snapshot?streaming=true", self.url)
    }

    /// The URL as it may be shown: what follows a `?` may be a secret.
    fn shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    /// Reads a snapshot that has been asked for. Returns its length, too.
    fn receive(&self, mut answer: Response<Body>) -> Result<(ReceivedSnapshot, u64), String> {
        let fail = |why: String| format!("{}: {why}", self.shown());
        let header = |name: &str| {
            let value = answer.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let zxid =
            header("last_zxid").and_then(|text| i64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
        let size = header("snapshot_size").and_then(|text| text.parse::<u64>().ok());
        let (Some(zxid), Some(size)) = (zxid, size) else {
            let mut text = Vec::new();
            let begun = answer
                .body_mut()
                .with_config()
                .limit(SAID)
                .lossy_utf8(true)
                .reader();
            let _ = begun.take(SAID).read_to_end(&mut text); // what came will do
            let text = String::from_utf8_lossy(&text);
            let text: String = text.chars().take(200).flat_map(char::escape_debug).collect();
            let why = format!("no snapshot came (servers before 3.9 send none); it said: {text}");
            return Err(fail(why));
        };
        let room = self.spool.room().map_err(fail)?;
        if size > room {
            return Err(fail(format!("it has {size} bytes, and there is room for {room}")));
        }
        let limit = size.saturating_add(1);
        let body = answer.into_body().into_with_config().limit(limit).reader();
        let (file, came) = self.spool.keep(body).map_err(fail)?;
        if came != size {
            return Err(fail(format!("{came} bytes of {size} came")));
        }
        let name = format!("snapshot.{zxid:x}");
        let snapshot = ReceivedSnapshot::read(&name, zxid, file).map_err(|error| fail(error.to_string()))?;
        Ok((snapshot, size))
    }

    /// What asks, and waits for all of an answer, and for its begin, for so long.
    fn agent(&self, global: Duration, first_byte: Duration) -> Agent {
        let mut config = Agent::config_builder()
            .timeout_global(Some(global))
            .timeout_recv_response(Some(first_byte))
            .timeout_connect(Some(PATIENCE))
            .max_redirects(0)
            .http_status_as_error(false);
        if let Some(tls) = &self.tls {
            config = config.tls_config(tls.clone());
        }
        config.build().into()
    }

    /// Asks for a snapshot. The answer begins when it has been written.
    fn ask(&self) -> Result<Response<Body>, String> {
        let agent = self.agent(SENDING, FIRST_BYTE);
        let (url, patience) = (self.command(), Instant::now() + PATIENCE);
        let fail = |why: &str| Err(format!("{}: {why}", self.shown()));
        loop {
            let mut request = agent.get(&url);
            if let Some(authorization) = &self.authorization {
                request = request.header("Authorization", authorization);
            }
            let answer = request
                .call()
                .map_err(|error| format!("{}: {error}", self.shown()))?;
            return match answer.status() {
                StatusCode::OK => Ok(answer),
                StatusCode::TOO_MANY_REQUESTS if Instant::now() < patience => {
                    sleep(PAUSE);
                    continue;
                }
                StatusCode::TOO_MANY_REQUESTS => fail(
                    "it was asked too often; zookeeper.admin.rateLimiterIntervalInMS says how often it may be",
                ),
                status => match refusal(status) {
                    Some(why) => fail(why),
                    None => fail(&format!("it answered {status}")),
                },
            };
        }
    }
}

impl std::fmt::Debug for AdminSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminSource")
            .field("url", &self.shown())
            .finish_non_exhaustive() // no secrets
    }
}

#[async_trait]
impl StateSource for AdminSource {
    fn name(&self) -> &'static str {
        "admin"
    }

    async fn gather(&self, ensemble: &dyn Ensemble) -> Result<Gathered, StateError> {
        let reader = ensemble.connect().await?;
        let settled = self.settled(ensemble, &*reader).await;
        reader.close().await;
        let (settled, trouble) = settled?;
        let gathered = blocking(move || settled.gathered().map_err(|error| error.to_string())).await;
        let mut gathered = gathered.map_err(|why| format!("{}: {why}", self.shown()))?;
        gathered.report.passed_over.extend(trouble);
        Ok(gathered)
    }
}

/// Why nothing comes, where the answer says so by its status.
fn refusal(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED => Some("it does not take our authorization"),
        StatusCode::FORBIDDEN => Some("the ACL of / does not grant our identity everything"),
        StatusCode::SERVICE_UNAVAILABLE => {
            Some("snapshots are disabled there (zookeeper.admin.snapshot.enabled)")
        }
        _ => None,
    }
}

fn header(text: &str) -> Result<HeaderValue, String> {
    if !text.is_ascii() {
        return Err("it holds characters that are not ASCII, which cannot be sent".to_owned());
    }
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| "it holds a control character, which a header cannot")?;
    value.set_sensitive(true);
    Ok(value)
}

fn config(tls: &Tls) -> Result<TlsConfig, String> {
    let authorities = pem(&tls.ca, "ca.crt")?;
    let ours = tls.identity.as_ref().map(|(certificates, key)| {
        let key = PrivateKey::from_pem(key.as_bytes()).map_err(|error| format!("tls.key: {error}"))?;
        Ok::<_, String>(ClientCert::new_with_certs(&pem(certificates, "tls.crt")?, key))
    });
    let config = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&authorities))
        .client_cert(ours.transpose()?);
    Ok(config.build())
}

/// All certificates in `text`, which is the file `name`.
fn pem(text: &str, name: &str) -> Result<Vec<Certificate<'static>>, String> {
    let mut found = Vec::new();
    for item in parse_pem(text.as_bytes()) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| format!("{name}: {error}"))? {
            found.push(certificate);
        }
    }
    match found.is_empty() {
        true => Err(format!("{name} holds no certificate")),
        false => Ok(found),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| error.to_string())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_that_cannot_be_sent_is_refused_without_being_told() {
        let url = "http://localhost:8080";
        assert!(AdminSource::new(url, Some("digest ann:password")).is_ok());
        for secret in [
            "digest ann:pässword",
            "digest ann:pass\nword",
            "digest ann:\u{7f}word",
        ] {
            let why = AdminSource::new(url, Some(secret)).unwrap_err().to_string();
            assert!(!why.contains("ann:") && !why.contains("word"), "{why}");
        }
    }
}
