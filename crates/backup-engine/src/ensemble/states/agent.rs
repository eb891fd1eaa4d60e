//! An agent beside each server, which copies its files here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::timeout;
use zk_snapshot::client::{BatchedConfig, four_letter_word};
use zk_snapshot::files::{DataDirs, Gathered};

use super::lineage::confirmed;
use super::looks::Looks;
use super::source::{StateError, StateSource};
use crate::ensemble::members::members;
use crate::ensemble::traits::Ensemble;

/// The longest that a server may take for a four-letter word.
const WORD: Duration = Duration::from_secs(2);
/// The longest that an agent may take to copy its server's data.
const COPYING: Duration = Duration::from_secs(600);
/// The longest that it may take to answer a connection, and to send what it says, which is short.
const CONNECTING: Duration = Duration::from_secs(10);
const SAYING: Duration = Duration::from_secs(10);
const SAID: u64 = 64 << 10;

/// Agents beside the servers that copy their data directory to a disk which is shared with us, as the predecessor
/// needs them.
///
/// The leader (or the one standalone server) is looked for with the words `conf`, which names all servers, and
/// `srvr`. Its agent is sent `POST /store` and copies the data directory to `<storage>/tmp`, which is used and
/// removed.
#[derive(Debug, Clone)]
pub struct AgentSource {
    config: BatchedConfig,
    port: u16,
    copy: PathBuf,
}

impl AgentSource {
    /// Looks for the servers as `config` says; their agents listen on `port`, and `storage` is the shared disk.
    #[must_use]
    pub fn new(config: BatchedConfig, port: u16, storage: &Path) -> Self {
        Self {
            config,
            port,
            copy: storage.join("tmp"),
        }
    }

    /// Looks for the leader, and whether anything answers where its agent is to be. Nothing is copied. Says what answers.
    ///
    /// # Errors
    /// [`StateError::Unavailable`]: why nothing does.
    pub async fn try_out(&self) -> Result<String, StateError> {
        let url = format!("http://{}:{}/", self.leader().await?, self.port);
        let asking = tokio::task::spawn_blocking(move || {
            let answer = agent(CONNECTING, SAYING).get(&url).call();
            match answer {
                Ok(answer) => Ok(format!("{url} answers ({})", answer.status())),
                Err(error) => Err(format!("{url}: {error}").into()),
            }
        });
        asking.await.map_err(|error| error.to_string())?
    }

    async fn word(&self, address: &str, word: &str) -> Result<String, String> {
        match timeout(WORD, four_letter_word(&self.config, address, word)).await {
            Ok(answer) => answer.map_err(|error| format!("{address}: {error}")),
            Err(_) => Err(format!("{address}: no answer in time")),
        }
    }

    /// The host of the server that leads.
    async fn leader(&self) -> Result<String, String> {
        let mut addresses: BTreeSet<String> = self
            .config
            .address
            .split(',')
            .map(|a| a.trim().to_owned())
            .collect();
        for address in addresses.clone() {
            if let Ok(answer) = self.word(&address, "conf").await {
                let port = address.rsplit_once(':').map_or("2181", |(_, port)| port);
                addresses.extend(members(&answer, port).flatten());
            }
        }
        let mut told = Vec::new();
        for address in addresses {
            match self.word(&address, "srvr").await {
                Ok(answer) => match mode(&answer) {
                    Some("leader" | "standalone") => {
                        let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host);
                        return Ok(host.to_owned());
                    }
                    Some(mode) => told.push(format!("{address} is a {mode}")),
                    None => told.push(format!("{address} does not say what it is")),
                },
                Err(error) => told.push(error),
            }
        }
        Err(format!("no leader was found: {}", told.join(", ")))
    }
}

fn mode(answer: &str) -> Option<&str> {
    answer
        .lines()
        .find_map(|line| line.strip_prefix("Mode:"))
        .map(str::trim)
}

/// What asks, and waits so long for the begin of an answer, and for the rest of it.
fn agent(first_byte: Duration, saying: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(first_byte + CONNECTING + saying))
        .timeout_connect(Some(CONNECTING))
        .timeout_recv_response(Some(first_byte))
        .timeout_recv_body(Some(saying))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into()
}

/// Has the agent copy; `saying` is how long it may take to say that it has.
fn ask(url: &str, saying: Duration) -> Result<(), String> {
    let mut answer = agent(COPYING, saying)
        .post(url)
        .send_empty()
        .map_err(|error| format!("{url}: {error}"))?;
    let status = answer.status();
    let text = answer
        .body_mut()
        .with_config()
        .limit(SAID)
        .lossy_utf8(true)
        .read_to_string()
        .map_err(|error| format!("{url}: {error}"))?;
    let says = serde_json::from_str::<Value>(&text).ok();
    if status.is_success() && says.is_some_and(|says| says.get("Status") == Some(&"Ok".into())) {
        return Ok(());
    }
    let text: String = text.chars().take(200).flat_map(char::escape_debug).collect();
    Err(format!("{url} answered {status}: {text}"))
}

/// The directory below `copy` that holds snapshots.
fn within(copy: &Path) -> PathBuf {
    let inner = fs::read_dir(copy).into_iter().flatten().flatten();
    let nested = inner
        .map(|entry| entry.path())
        .find(|path| path.join("version-2").is_dir());
    match nested {
        Some(nested) if !copy.join("version-2").is_dir() => nested,
        _ => copy.to_owned(),
    }
}

/// A disk that others write to may hold links to anywhere.
fn refuse_links(directory: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_symlink() {
            return Err(format!(
                "{} is a link, and is not followed",
                entry.path().display()
            ));
        }
        if kind.is_dir() {
            refuse_links(&entry.path())?;
        }
    }
    Ok(())
}

fn clear(copy: &Path) -> Result<(), String> {
    match fs::remove_dir_all(copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", copy.display()))
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl StateSource for AgentSource {
    fn name(&self) -> &'static str {
        "agent"
    }

    async fn gather(&self, ensemble: &dyn Ensemble) -> Result<Gathered, StateError> {
        let host = self.leader().await?;
        let mut looks = Looks::default();
        loop {
            // What is committed by now is in the copy that is made afterwards.
            let committed = ensemble.committed_zxid().await;
            let (url, copy) = (format!("http://{host}:{}/store", self.port), self.copy.clone());
            let read = looks.reading();
            let work = move || {
                clear(&copy)?;
                let gathered = ask(&url, SAYING).map_err(StateError::from).and_then(|()| {
                    let directory = within(&copy);
                    refuse_links(&copy)?;
                    Ok(read(&DataDirs::same(directory), committed)?)
                });
                // The snapshot is still open, and a disk over a network keeps such a file until it is closed: the next copy begins with what is left.
                if let Err(why) = clear(&copy) {
                    log::warn!("what an agent has copied stays until the next one does: {why}");
                }
                gathered
            };
            let found = tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| error.to_string())?;
            if let Some(kept) = looks.keep(found) {
                return confirmed(kept?, committed, ensemble).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_what_it_is() {
        assert_eq!(mode("Latency: 1\nMode: leader\nNode count: 5"), Some("leader"));
        assert_eq!(mode("not currently serving"), None);
    }

    /// What an agent may say, and what is made of it.
    #[test]
    fn an_agent_that_stalls_redirects_or_talks_without_end_is_given_up() {
        let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let (other, endless) = (elsewhere.local_addr().unwrap(), "x".repeat(1 << 20));
        let cases = [
            ("200 OK\r\nContent-Length: 15\r\n\r\n{\"Sta".to_owned(), "timeout"),
            (
                format!("302 Found\r\nLocation: http://{other}/\r\nContent-Length: 0\r\n\r\n"),
                "answered 302",
            ),
            (format!("200 OK\r\n\r\n{endless}"), "limit"),
            (
                "500 No\r\n\r\n\u{1b}[2J\nall is well".to_owned(),
                "\\u{1b}[2J\\nall",
            ),
        ];
        for (answer, expected) in cases {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/store", listener.local_addr().unwrap());
            let (done, wait) = std::sync::mpsc::channel::<()>();
            let agent = std::thread::spawn(move || {
                use std::io::{Read, Write};
                let (mut socket, _) = listener.accept().unwrap();
                let mut head = [0; 1_024];
                let _ = socket.read(&mut head).unwrap();
                let _ = socket.write_all(format!("HTTP/1.1 {answer}").as_bytes()); // it may be given up
                if expected == "timeout" {
                    let _ = wait.recv(); // the end is an error
                }
            });
            let saying = match expected {
                "timeout" => Duration::from_millis(300),
                _ => Duration::from_secs(60),
            };
            let why = ask(&url, saying).unwrap_err();
            assert!(why.contains(expected) && why.len() < 500, "{expected}: {why}");
            drop(done);
            agent.join().unwrap();
        }
        assert!(elsewhere.accept().is_err(), "a redirect was followed");
    }

    #[test]
    fn links_are_not_followed() {
        let directory = std::env::temp_dir().join(format!("zk-backup-links-{}", std::process::id()));
        fs::create_dir_all(directory.join("version-2")).unwrap();
        fs::write(directory.join("version-2/log.1"), b"").unwrap();
        let without = refuse_links(&directory);
        std::os::unix::fs::symlink("/etc/passwd", directory.join("version-2/snapshot.1")).unwrap();
        let with = refuse_links(&directory);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(without, Ok(()));
        assert!(with.unwrap_err().contains("snapshot.1 is a link"));
    }
}
