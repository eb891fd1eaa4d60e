//! Tells whoever listens at `WEBHOOK_URL` what has happened, until it says that it has heard.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use actix_web::http::header::HttpDate;
use backup_engine::{Engine, News, Outbox, SystemClock};
use reqwest::header::{AGE, DATE};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use ring::hmac;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::api;
use crate::contact::shown;
use crate::settings::{SettingsError, Webhook};

/// So long it may take to answer, and to take the connection.
const ANSWER: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// How soon it is tried again, at first and at last.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(300);
/// What is refused as it is so often is given up, as all else would wait for it.
const TRIES: u32 = 5;

const ID: &str = "x-zk-backup-id";
const TIMESTAMP: &str = "x-zk-backup-timestamp";
const SIGNATURE: &str = "x-zk-backup-signature";

/// Tells the one who listens. Clones tell the same one.
#[derive(Clone)]
pub(crate) struct Teller {
    to: Arc<RwLock<Arc<Receiver>>>,
    /// There is another one to tell.
    replaced: Arc<Notify>,
    server: String,
}

/// The one who listens.
pub(crate) struct Receiver {
    client: Client,
    url: Url,
    key: Option<hmac::Key>,
}

/// What it answers to who tells nothing.
pub(crate) struct Greeted {
    pub(crate) status: StatusCode,
    /// When it has answered, by its own clock, if it says so.
    pub(crate) at: Option<OffsetDateTime>,
}

impl Receiver {
    /// # Errors
    /// [`SettingsError`] where the URL cannot be used, or the machine has no certificates for `https://`.
    pub(crate) fn new(webhook: &Webhook) -> Result<Self, SettingsError> {
        let wrong = |why: &dyn std::fmt::Display| SettingsError::new(format!("WEBHOOK_URL: {why}"));
        // Unless the program has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = Url::parse(&webhook.url).map_err(|error| wrong(&error))?;
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER);
        let client = match url.scheme() {
            "https" => client,
            // Nothing is signed, and the machine may have no certificates.
            _ => client.tls_certs_only([]),
        };
        let secret = webhook.secret.as_deref();
        Ok(Self {
            client: client.build().map_err(|error| wrong(&error.without_url()))?,
            url,
            key: secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())),
        })
    }

    /// Asks for the head of what is there, by the way that news takes.
    ///
    /// # Errors
    /// Why it does not answer, without its URL.
    pub(crate) async fn greet(&self) -> Result<Greeted, String> {
        let answer = self.client.head(self.url.clone()).send().await;
        let answer = answer.map_err(shown)?;
        // One that was kept on the way says when it was made first.
        let is_kept = answer.headers().contains_key(AGE);
        let date = answer.headers().get(DATE).filter(|_| !is_kept);
        let date = date.and_then(|date| date.to_str().ok()?.parse::<HttpDate>().ok());
        Ok(Greeted {
            status: answer.status(),
            at: date.map(|date| SystemTime::from(date).into()),
        })
    }
}

impl Teller {
    /// # Errors
    /// As [`Receiver::new`].
    pub(crate) fn new(webhook: &Webhook) -> Result<Self, SettingsError> {
        Ok(Self {
            to: Arc::new(RwLock::new(Arc::new(Receiver::new(webhook)?))),
            replaced: Arc::default(),
            server: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        })
    }

    fn to(&self) -> Arc<Receiver> {
        Arc::clone(&self.to.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From here on `to` is told, at once where the last one did not hear.
    pub(crate) fn replace(&self, to: Receiver) {
        *self.to.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(to);
        self.replaced.notify_one();
    }

    /// Whether what is told is signed.
    pub(crate) fn signs(&self) -> bool {
        self.to().key.is_some()
    }

    /// Tells what there is to be told, in order, each until it was heard. Never ends.
    pub(crate) async fn keep_telling(&self, engine: &Engine) {
        let (mut outbox, mut refused) = (engine.outbox(), Refused::default());
        let mut pause = SOON;
        loop {
            match self.tell_all(&mut outbox, &mut refused).await {
                Ok(heard) => {
                    if heard && pause > SOON {
                        log::info!("the webhook is told again");
                    }
                    pause = SOON;
                    outbox.changed().await;
                }
                Err(why) => {
                    log::warn!("the webhook could not be told, and is in {pause:?} again: {why}");
                    pause = tokio::select! {
                        () = wait(&mut outbox, pause) => (pause * 2).min(LATER),
                        () = self.replaced.notified() => SOON,
                    };
                }
            }
        }
    }

    /// Tells until nothing is left, and says whether any of it was heard.
    async fn tell_all(&self, outbox: &mut Outbox, refused: &mut Refused) -> Result<bool, String> {
        let mut heard = false;
        loop {
            let owed = outbox.owed().await.map_err(|error| error.to_string())?;
            if owed.is_empty() {
                return Ok(heard);
            }
            for news in owed {
                let status = self.tell(&news).await?;
                heard |= status.is_success();
                if !status.is_success() {
                    let (id, why) = (news.id(), format!("{}: the answer was {status}", news.id()));
                    if !refused.is_for_good(&id, status) {
                        return Err(why);
                    }
                    log::error!(
                        "the webhook has refused this {TRIES} times, and is not told it any more: {why}"
                    );
                }
                outbox.delivered(&news).await.map_err(|error| error.to_string())?;
            }
        }
    }

    async fn tell(&self, news: &News) -> Result<StatusCode, String> {
        let id = news.id();
        // In the order of the names, as ever.
        let body = serde_json::to_value(api::Notification::new(news, &self.server))
            .map_err(|error| format!("{id}: {error}"))?
            .to_string();
        let timestamp = SystemClock::now().unix_timestamp().to_string();
        let to = self.to();
        let mut request = to
            .client
            .post(to.url.clone())
            .header("content-type", "application/json")
            .header(ID, &id)
            .header(TIMESTAMP, &timestamp);
        if let Some(key) = &to.key {
            request = request.header(SIGNATURE, signature(key, &timestamp, &body));
        }
        let failed = |error: reqwest::Error| format!("{id}: {}", shown(error));
        Ok(request.body(body).send().await.map_err(failed)?.status())
    }
}

/// Waits until it is tried again, and counts what comes to be owed meanwhile.
async fn wait(outbox: &mut Outbox, pause: Duration) {
    let again = tokio::time::sleep(pause);
    tokio::pin!(again);
    loop {
        tokio::select! {
            () = &mut again => return,
            () = outbox.changed() => {}
        }
        if let Err(error) = outbox.count().await {
            log::warn!("what the webhook is owed could not be counted: {error}");
        }
    }
}

/// What was refused last as it is, and how often.
#[derive(Default)]
struct Refused {
    id: String,
    times: u32,
}

impl Refused {
    /// Whether one more answer of this `status` says that it will never be taken.
    fn is_for_good(&mut self, id: &str, status: StatusCode) -> bool {
        // Of the others some come from a wrong setting, and some pass by themselves.
        if !status.is_client_error() || [401, 403, 404, 408, 429].contains(&status.as_u16()) {
            return false;
        }
        if self.id != id {
            *self = Self {
                id: id.to_owned(),
                times: 0,
            };
        }
        self.times += 1;
        self.times >= TRIES
    }
}

/// `sha256=` with the HMAC of the timestamp, a dot and the body, in hexadecimal digits.
fn signature(key: &hmac::Key, timestamp: &str, body: &str) -> String {
    use std::fmt::Write as _;

    let mac = hmac::sign(key, format!("{timestamp}.{body}").as_bytes());
    mac.as_ref().iter().fold("sha256=".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a text takes whatever is written to it
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use backup_engine::{BackupRequest, MemoryEnsemble};

    use super::*;

    /// Where each connection is answered by the next of these.
    fn answering(statuses: Vec<u16>) -> Teller {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for status in statuses {
                let (mut socket, _) = listener.accept().unwrap();
                let mut asked = Vec::new();
                // The body is JSON, and all of it is read: what is closed before it is read is reset.
                while !asked.ends_with(b"}") {
                    let mut some = [0; 4096];
                    let read = socket.read(&mut some).unwrap();
                    asked.extend_from_slice(&some[..read]);
                }
                let answer =
                    format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                socket.write_all(answer.as_bytes()).unwrap();
            }
        });
        Teller::new(&Webhook { url, secret: None }).unwrap()
    }

    #[tokio::test]
    async fn what_was_given_up_was_not_heard() {
        let ensemble = Arc::new(MemoryEnsemble::new(Arc::default()));
        let engine = Engine::builder(ensemble).keep_news(true).build().unwrap();
        let (mut outbox, mut refused) = (engine.outbox(), Refused::default());
        let teller = answering(vec![400, 400, 400, 400, 400, 200]);
        let mut outcomes = Vec::new();
        for tries in [TRIES, 1] {
            engine.backup(BackupRequest::default()).await.unwrap();
            while engine.step().await.unwrap() {}
            for _ in 0..tries {
                outcomes.push(teller.tell_all(&mut outbox, &mut refused).await.ok());
            }
        }
        assert_eq!(outcomes, [None, None, None, None, Some(false), Some(true)]);
    }

    #[test]
    fn what_is_refused_as_it_is_is_given_up_and_nothing_else() {
        let mut refused = Refused::default();
        let mut answers = |id: &str, status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            (0..TRIES)
                .map(|_| refused.is_for_good(id, status))
                .collect::<Vec<_>>()
        };
        let at_last = [false, false, false, false, true];
        assert_eq!(answers("job/1", 400), at_last);
        assert_eq!(answers("job/2", 413), at_last);
        for passing in [301, 401, 403, 404, 408, 429, 500, 503] {
            assert_eq!(answers("job/3", passing), [false; 5], "{passing}");
        }
    }

    /// As `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret` says.
    #[test]
    fn signatures_are_those_of_openssl() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        assert_eq!(
            signature(&key, "1700000000", r#"{"a":1}"#),
            "sha256=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
    }
}
