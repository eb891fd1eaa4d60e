//! Requests, and what refusals mean.

use std::fs::File;
use std::io::{Cursor, Read as _};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::CertificateError;
use serde::Serialize;
use serde_json::Value;
use ureq::http::{HeaderValue, Request};
use ureq::{Agent, SendBody};
use uuid::Uuid;

use super::refusals::{Refusal, is_of_a_job};
use super::tls;
use crate::exit::{Exit, Failure, about};
use crate::text::clean;

/// The longest that a server may take to begin an answer: the first look into a large backup reads all of it.
const ANSWER: Duration = Duration::from_secs(900);
const CONNECT: Duration = Duration::from_secs(10);
/// Events are listened to for so long at once: a server that is gone without a word is noticed by then.
const LISTEN: Duration = Duration::from_secs(60);
/// The longest answer. Pages of znodes end after 8 MiB, and a znode's data are about as long at most.
const LONGEST: u64 = 256 << 20;

/// What came of a request.
type Answer = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

const MAY_BE_DONE: &str =
    "it may have been accepted all the same; look at `zk-backup jobs` and `ls` before you ask again";

/// Whether the server at `url` is on this machine, so that no proxy leads to it.
fn is_here(url: &str) -> bool {
    let host = ureq::http::Uri::try_from(url).ok();
    let host = host.as_ref().and_then(ureq::http::Uri::host).unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
}

/// Speaks HTTP with one server.
pub(crate) struct Http {
    agent: Agent,
    base: String,
    authorization: Option<HeaderValue>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http")
            .field("base", &self.base)
            .finish_non_exhaustive() // no secrets
    }
}

impl Http {
    /// Speaks with the server at `url`, as the user with the password, trusting the authorities in the file `ca`.
    ///
    /// # Errors
    /// [`Exit::Usage`] where these cannot be used.
    pub(crate) fn new(
        url: &str,
        credentials: Option<(&str, &str)>,
        ca: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            // The server closes what is idle for five seconds, and may do so just when we send.
            .max_idle_age(Duration::from_secs(1));
        let is_tls = url.starts_with("https://");
        if !is_tls && !url.starts_with("http://") {
            return Err(Failure::usage(
                "the server's URL has to begin with http:// or https://",
            ));
        }
        if url.contains('@') {
            let why = "credentials in the URL would be shown in messages: set ZK_BACKUP_USERNAME and ZK_BACKUP_PASSWORD";
            return Err(Failure::usage(why));
        }
        if is_tls {
            config = config.tls_config(tls::config(ca)?);
        }
        if is_here(url) {
            config = config.proxy(None);
        }
        let authorization = credentials.map(|(user, password)| {
            let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            let value = HeaderValue::from_str(&basic);
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        Ok(Self {
            agent: config.build().into(),
            base: url.trim_end_matches('/').to_owned(),
            authorization: authorization
                .transpose()
                .map_err(|_| Failure::usage("these credentials cannot be sent"))?,
        })
    }

    /// Asks for JSON.
    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (key, value) in query {
            request = request.query(key, value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let (status, text) = self.answer(request.call())?;
        self.accept(status, &text)?;
        serde_json::from_str(&text).map_err(super::not_understood)
    }

    /// Asks for a job, whose status code says how it is.
    pub(super) fn job(&self, path: &str) -> Result<Value, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let (status, text) = self.answer(request.call())?;
        if !is_of_a_job(&text) {
            self.accept(status, &text)?;
            return Err(super::not_understood("no job came"));
        }
        serde_json::from_str(&text).map_err(super::not_understood)
    }

    /// Listens to events; `None` where the server has none for us.
    pub(super) fn listen(&self, path: &str) -> Option<ureq::BodyReader<'static>> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let config = request
            .config()
            .timeout_recv_response(Some(CONNECT))
            .timeout_recv_body(Some(LISTEN));
        let answer = config.build().call().ok()?;
        let kind = answer.headers().get("content-type")?.to_str().ok()?;
        let is_stream = answer.status() == 200 && kind.starts_with("text/event-stream");
        is_stream.then(|| answer.into_body().into_reader())
    }

    /// Sends JSON, and returns the answer as it came.
    pub(super) fn post(&self, path: &str, body: &impl Serialize) -> Result<String, Failure> {
        let body = serde_json::to_string(body).map_err(|error| Failure::failed(error.to_string()))?;
        let request = Request::post(format!("{}{path}", self.base));
        let request = match &self.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        };
        let request = request
            .header("Content-Type", "application/json")
            .body(body)
            .map_err(|error| Failure::usage(error.to_string()))?;
        self.changed(self.agent.run(request))
    }

    /// Sends a file as a form, and returns the answer as it came.
    pub(super) fn upload(&self, path: &str, query: &[(&str, &str)], file: &Path) -> Result<String, Failure> {
        let at = file.display();
        let content = File::open(file).map_err(about(&at))?;
        let length = content.metadata().map_err(about(&at))?.len();
        // It is only a name; whatever else is in it does not get into the form.
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-', "_");
        // What parts of the form are told apart by: nobody can have put it into the file.
        let boundary = format!("zk-backup-{}", Uuid::new_v4().simple());
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/zip\r\n\r\n"
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let all = head.len() as u64 + length + tail.len() as u64;
        let form = Cursor::new(head)
            .chain(content.take(length))
            .chain(Cursor::new(tail));
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (key, value) in query {
            request = request.query(key, value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let answer = request
            .header(
                "Content-Type",
                format!("multipart/form-data; boundary={boundary}"),
            )
            .header("Content-Length", all.to_string())
            .send(SendBody::from_owned_reader(form));
        self.changed(answer)
    }

    /// The answer to what changes something. Where there is none it may have been done.
    fn changed(&self, answer: Answer) -> Result<String, Failure> {
        let was_sent = answer.as_ref().err().is_none_or(may_have_come);
        let lost = |failure: Failure| match was_sent {
            true => Failure {
                message: format!("{}: {MAY_BE_DONE}", failure.message),
                ..failure
            },
            false => failure,
        };
        let (status, text) = self.answer(answer).map_err(lost)?;
        // What is in between has heard nothing of the server.
        let is_from_between = matches!(status, 502 | 504) && Refusal::of(status, &text).code.is_none();
        match is_from_between {
            true => Err(Failure::failed(format!("the answer is {status}: {MAY_BE_DONE}"))),
            false => self.accept(status, &text).map(|()| text),
        }
    }

    fn answer(&self, answer: Answer) -> Result<(u16, String), Failure> {
        let unreachable = |error: ureq::Error| {
            let refused = of_certificate(&error);
            let next = refused.map_or(
                "does the server run there? (--url or ZK_BACKUP_URL names another, --storage DIR does without)",
                what_is_wrong,
            );
            Failure {
                may_pass: refused.is_none(),
                ..Failure::failed(format!("{}: {error}; {next}", self.base))
            }
        };
        let mut answer = answer.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(LONGEST);
        let text = body.read_to_string().map_err(unreachable)?;
        Ok((status, text))
    }

    /// Makes a failure of what is not a success.
    fn accept(&self, status: u16, text: &str) -> Result<(), Failure> {
        if (200..300).contains(&status) {
            return Ok(());
        }
        let Refusal { code, message } = Refusal::of(status, text);
        let is_told = message.is_some();
        let said = message.map_or_else(
            || format!("the server answered {status}"),
            |said| clean(&said).into_owned(),
        );
        let (exit, next) = match status {
            404 if !is_told => (Exit::Failed, "is it a zk-backup server?"),
            _ => self.meaning(status, code.as_deref()),
        };
        let message = match next {
            "" => said,
            next => format!("{said}: {next}"),
        };
        Err(Failure {
            exit,
            message,
            code,
            may_pass: (500..600).contains(&status),
        })
    }

    /// What a refusal means for the caller, and what to do next.
    fn meaning(&self, status: u16, code: Option<&str>) -> (Exit, &'static str) {
        match (status, code) {
            (401, _) if self.authorization.is_none() => (
                Exit::Credentials,
                "set ZK_BACKUP_USERNAME and ZK_BACKUP_PASSWORD (or ZK_BACKUP_PASSWORD_FILE), or take a --profile",
            ),
            (401, _) => (
                Exit::Credentials,
                "check ZK_BACKUP_USERNAME and ZK_BACKUP_PASSWORD, or the profile",
            ),
            (429, Some("too_many_guesses")) => {
                (Exit::Credentials, "wait a little, and check the credentials")
            }
            (403, Some("read_only" | "forbidden")) => {
                (Exit::Credentials, "take credentials that may change things")
            }
            (429, _) => (Exit::InUse, "wait for some to end (`zk-backup status`)"),
            (404 | 405, Some("no_such_endpoint" | "method_not_allowed")) => (
                Exit::Failed,
                "this server is older than the command, or it is something else",
            ),
            (404, Some("znode_not_found")) => (Exit::NotFound, "`zk-backup browse` shows what a backup has"),
            (404, Some("job_not_found")) => (Exit::NotFound, "it may have ended long ago"),
            (404, _) => (Exit::NotFound, "`zk-backup ls` shows the backups that there are"),
            (406, _) => (Exit::Failed, ""),
            (409, None | Some("backup_in_use")) => (Exit::InUse, "wait until that job has ended"),
            (409, Some("backup_exists")) => (Exit::Failed, "--force replaces it"),
            (400, _) => (Exit::Usage, ""),
            (502, Some(_)) => (Exit::Failed, "`zk-backup status` shows what ZooKeeper says"),
            (300..400, _) => (
                Exit::Failed,
                "redirects are not followed; give the URL that it leads to",
            ),
            _ => (Exit::Failed, ""),
        }
    }
}

/// Whether the server may have taken a request that failed so.
fn may_have_come(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
    match error {
        ureq::Error::Io(io) => {
            let not_reached = [
                AddrNotAvailable,
                ConnectionRefused,
                HostUnreachable,
                NetworkUnreachable,
            ];
            !not_reached.contains(&io.kind()) && of_certificate(error).is_none()
        }
        ureq::Error::Timeout(timeout) => !matches!(timeout, ureq::Timeout::Resolve | ureq::Timeout::Connect),
        ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

/// Why a server that was reached did not prove who it is, if that is what is wrong.
fn of_certificate(error: &ureq::Error) -> Option<&CertificateError> {
    let of_tls = match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    match of_tls {
        Some(rustls::Error::InvalidCertificate(why)) => Some(why),
        _ => None,
    }
}

fn what_is_wrong(why: &CertificateError) -> &'static str {
    match why {
        // Where an authority has the name of the right one, it is the signature that is wrong.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not accepted: --ca or ZK_BACKUP_CA names the authorities to trust"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is of another name: --url or ZK_BACKUP_URL is to have one that is in it"
        }
        _ => "its certificate is not accepted",
    }
}

#[cfg(test)]
mod tests {
    use super::is_here;

    #[test]
    fn what_is_on_this_machine_needs_no_proxy() {
        for url in [
            "http://127.0.0.1:8080",
            "http://127.8.0.1/zk",
            "https://LocalHost:8443",
            "http://[::1]:8080/",
        ] {
            assert!(is_here(url), "{url}");
        }
        for url in [
            "http://zk-backup:8080",
            "https://localhost.example/",
            "http://10.0.0.1",
            "http://",
        ] {
            assert!(!is_here(url), "{url}");
        }
    }
}
