//! The server as a process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Answer, Http};

/// Whom [`Daemon`] lets in.
pub const USER: &str = "operator";
/// And with which password.
pub const PASSWORD: &str = "canary-api-password";

/// The server as a process of its own. Dropping it kills the process.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    output: Arc<Output>,
    /// `127.0.0.1:<port>`.
    pub address: String,
    /// A client that has the credentials.
    pub http: Http,
}

/// The server did not start, or did not do in time what it should have done.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The process cannot be run.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The process ended; what it had said.
    #[error("the server ended: {0}")]
    Ended(String),
    /// Nothing came within the deadline; what had come.
    #[error("waited too long: {0}")]
    Late(String),
    /// The server does not answer.
    #[error(transparent)]
    Http(#[from] ureq::Error),
}

#[derive(Debug, Default)]
struct Output {
    text: Mutex<String>,
    more: Condvar,
}

impl Output {
    fn collect(self: &Arc<Self>, from: impl Read + Send + 'static) -> thread::JoinHandle<()> {
        let output = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut text = output.text.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
                output.more.notify_all();
            }
            output.more.notify_all();
        })
    }
}

impl Daemon {
    /// Starts `program` on a free port, with credentials, without a schedule, and with `settings`; waits until it
    /// listens. Nothing of this process's environment reaches it.
    ///
    /// # Errors
    /// [`DaemonError`], with what it said.
    pub fn start(
        program: &str,
        zookeeper: &str,
        storage: &Path,
        settings: &[(&str, &str)],
    ) -> Result<Self, DaemonError> {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("BACKUP_SCHEDULE", "None")
            .env("PORT", "0")
            .env("BROADCAST_ADDRESS", "127.0.0.1")
            .env("BACKUP_DAEMON_API_CREDENTIALS_USERNAME", USER)
            .env("BACKUP_DAEMON_API_CREDENTIALS_PASSWORD", PASSWORD)
            .env("ZOOKEEPER_HOST", zookeeper)
            .env("STORAGE", storage)
            .envs(settings.iter().copied());
        Self::run(command)
    }

    /// Starts what `command` says, and waits until it listens.
    ///
    /// # Errors
    /// [`DaemonError`], with what it said.
    pub fn run(mut command: Command) -> Result<Self, DaemonError> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = Arc::new(Output::default());
        let readers: Vec<_> = [
            process.stdout.take().map(|out| output.collect(out)),
            process.stderr.take().map(|err| output.collect(err)),
        ]
        .into();
        let mut daemon = Self {
            process,
            output,
            address: String::new(),
            http: Http::new(""),
        };
        let listens = daemon.wait_for_line(" listens on ");
        if let Err(DaemonError::Ended(_)) = listens {
            for reader in readers.into_iter().flatten() {
                let _ = reader.join(); // everything was said
            }
            return Err(DaemonError::Ended(daemon.said()));
        }
        let line = listens?;
        // A line of JSON goes on behind it.
        let address = line.rsplit_once(" listens on ").map(|(_, rest)| rest);
        let address = address.and_then(|rest| rest.split('"').next());
        address.unwrap_or_default().clone_into(&mut daemon.address);
        daemon.http = Http::new(&daemon.address).with_credentials(USER, PASSWORD);
        Ok(daemon)
    }

    /// Everything that it has printed.
    #[must_use]
    pub fn said(&self) -> String {
        self.output
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The first line that holds `what`, as soon as there is one.
    ///
    /// # Errors
    /// [`DaemonError::Ended`], or [`DaemonError::Late`] after a minute.
    pub fn wait_for_line(&mut self, what: &str) -> Result<String, DaemonError> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ended = self.process.try_wait()?.is_some();
            let text = self.output.text.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(line) = text.lines().find(|line| line.contains(what)) {
                return Ok(line.to_owned());
            }
            if ended {
                return Err(DaemonError::Ended(text.clone()));
            }
            if Instant::now() > deadline {
                return Err(DaemonError::Late(text.clone()));
            }
            drop(self.output.more.wait_timeout(text, Duration::from_millis(100)));
        }
    }

    /// Asks for a backup or a restore, and waits until that job has ended: its id, and its state.
    ///
    /// # Errors
    /// [`DaemonError`]; a refused request too, with the answer.
    pub fn do_job(&self, path: &str, body: &str) -> Result<(String, Answer), DaemonError> {
        let answer = self.http.post(path, body)?;
        if answer.status != 200 {
            return Err(DaemonError::Late(format!("{} {}", answer.status, answer.text)));
        }
        let state = self.wait_for_job(&answer.text)?;
        Ok((answer.text, state))
    }

    /// Waits until a job has ended.
    ///
    /// # Errors
    /// [`DaemonError::Late`] after five minutes.
    pub fn wait_for_job(&self, id: &str) -> Result<Answer, DaemonError> {
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            let answer = self.http.get(&format!("/jobstatus/{id}"))?;
            if answer.status != 206 {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                return Err(DaemonError::Late(answer.text));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What `/health` tells once ZooKeeper has answered, which is asked in the background.
    ///
    /// # Errors
    /// [`DaemonError::Late`] after a minute.
    pub fn health_with_zookeeper(&self) -> Result<Value, DaemonError> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.http.get("/health")?;
            let health = answer.json();
            if health["zookeeper"]["reachable"] == true {
                return Ok(health);
            }
            if Instant::now() > deadline {
                return Err(DaemonError::Late(answer.text));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What `GET /listbackups/<id>` answers.
    ///
    /// # Errors
    /// When nothing answers.
    pub fn describe(&self, id: &str) -> Result<Value, DaemonError> {
        Ok(self.http.get(&format!("/listbackups/{id}"))?.json())
    }

    /// Peak resident memory in KiB, where the system tells.
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    }

    /// Lets [`peak_memory`](Self::peak_memory) begin anew, where the system can.
    pub fn forget_peak_memory(&self) {
        // See proc(5), clear_refs. Without it the peak is that since the start.
        if let Err(error) = std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5") {
            log::debug!("the peak of memory is that since the start: {error}");
        }
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// [`DaemonError::Late`] after a minute.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus, DaemonError> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(DaemonError::Late(self.said()));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the process, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.process.kill(); // it may have ended already
        let _ = self.process.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
