//! An S3 server as a process: versitygw over a directory.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use base64::Engine as _;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::Port;

const PACKAGE: &str = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";
/// The name of the copy below `target/`.
const COPY: &str = "versitygw-1.8.0";

/// The bucket that every server has.
pub const BUCKET: &str = "backups";
/// The id of the one key of every server.
pub const KEY_ID: &str = "backup";
/// Its secret.
pub const KEY_SECRET: &str = "a-secret-of-the-tests";

/// A server with one empty bucket. Dropping it kills its process and removes its directory.
#[derive(Debug)]
pub struct S3Server {
    program: PathBuf,
    setup: S3Setup,
    directory: TempDir,
    port: Port,
    process: Option<Child>,
}

/// What a server is to be besides the usual.
#[derive(Debug, Clone, Default)]
pub struct S3Setup {
    /// Whether the bucket keeps versions of its objects.
    pub versions: bool,
    /// For so many days no object can be deleted.
    pub locked_days: Option<u32>,
    /// A certificate and its key (PEM) for HTTPS.
    pub tls: Option<(String, String)>,
}

/// There is no server.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// The program cannot be had. The message says what to install.
    #[error(
        "no S3 server to test with: {0}. Set VERSITYGW to the program, or install Go 1.24 or newer \
         (https://go.dev/dl), which fetches it"
    )]
    Program(String),
    /// Its directory or its port could not be had.
    #[error("versitygw cannot be started: {0}")]
    Io(#[from] io::Error),
    /// It ended, or does not serve within a minute.
    #[error("versitygw does not serve; it said: {0}")]
    NotServing(String),
}

impl S3Server {
    /// Starts a server on a free port and waits until it serves.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn start() -> Result<Self, S3Error> {
        Self::start_with(&S3Setup::default())
    }

    /// Starts a server that is something special.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn start_with(setup: &S3Setup) -> Result<Self, S3Error> {
        let program = locate().map_err(S3Error::Program)?;
        // Somebody who is no test of ours may have taken its port meanwhile.
        let mut left = 3;
        loop {
            left -= 1;
            match Self::start_once(&program, setup) {
                Err(S3Error::NotServing(_)) if left > 0 => {}
                outcome => return outcome,
            }
        }
    }

    fn start_once(program: &Path, setup: &S3Setup) -> Result<Self, S3Error> {
        let directory = tempfile::tempdir()?;
        fs::create_dir(directory.path().join("versions"))?;
        fs::create_dir(directory.path().join("data"))?;
        if let Some((certificate, key)) = &setup.tls {
            fs::write(directory.path().join("cert.pem"), certificate)?;
            fs::write(directory.path().join("key.pem"), key)?;
        }
        let mut server = Self {
            program: program.to_owned(),
            setup: setup.clone(),
            directory,
            port: Port::take()?,
            process: None,
        };
        server.restart()?;
        match setup.locked_days {
            None => fs::create_dir(server.bucket())?,
            Some(days) => server.lock(days)?,
        }
        if setup.versions && setup.locked_days.is_none() {
            server.configure(
                "?versioning=",
                "VersioningConfiguration",
                "<Status>Enabled</Status>",
            )?;
        }
        Ok(server)
    }

    /// Starts the server again on the same port and data, and waits until it serves.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn restart(&mut self) -> Result<(), S3Error> {
        self.kill();
        let log = self.path("log");
        let output = File::create(&log)?;
        let mut command = Command::new(&self.program);
        command
            .args([
                "--quiet",
                "--keep-alive",
                "--access",
                KEY_ID,
                "--secret",
                KEY_SECRET,
            ])
            .args(["--port", &self.port.address()]);
        if self.setup.tls.is_some() {
            command.arg("--cert").arg(self.path("cert.pem"));
            command.arg("--key").arg(self.path("key.pem"));
        }
        command.arg("posix");
        if self.setup.versions {
            command.arg("--versioning-dir").arg(self.path("versions"));
        }
        let process = command
            .arg(self.path("data"))
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .spawn()?;
        self.process = Some(process);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let serves = self.serves();
            let running = self
                .process
                .as_mut()
                .is_some_and(|p| matches!(p.try_wait(), Ok(None)));
            if serves && running {
                return Ok(());
            }
            if !running || Instant::now() > deadline {
                self.kill();
                return Err(S3Error::NotServing(fs::read_to_string(&log).unwrap_or_default()));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the process, as `kill -9` does. The data stay.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill(); // it may have ended already
            let _ = process.wait();
        }
    }

    /// The number of its process, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Its URL, without the bucket.
    #[must_use]
    pub fn url(&self) -> String {
        match self.setup.tls {
            None => format!("http://{}", self.port.address()),
            Some(_) => format!("https://{}", self.port.address()),
        }
    }

    /// Where the objects of the bucket are, as files under their keys.
    #[must_use]
    pub fn bucket(&self) -> PathBuf {
        self.path("data").join(BUCKET)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Whether a program of this kind answers.
    fn serves(&self) -> bool {
        let ask = || -> io::Result<String> {
            let mut socket = TcpStream::connect(self.port.address())?;
            if self.setup.tls.is_some() {
                return Ok("VERSITYGW".to_owned());
            }
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.write_all(b"GET / HTTP/1.1\r\nHost: tests\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains("VERSITYGW"))
    }

    /// Keeps an object from being deleted until then, such as `2036-01-02T03:04:05Z`, where the bucket is locked.
    ///
    /// # Errors
    /// [`S3Error`].
    pub fn retain(&self, key: &str, until: &str) -> Result<(), S3Error> {
        let rule = format!("<Mode>COMPLIANCE</Mode><RetainUntilDate>{until}</RetainUntilDate>");
        self.configure(&format!("/{key}?retention="), "Retention", &rule)
    }

    fn lock(&self, days: u32) -> Result<(), S3Error> {
        self.ask("", &["-H", "x-amz-bucket-object-lock-enabled: true"])?;
        let rule = format!(
            "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode>\
             <Days>{days}</Days></DefaultRetention></Rule>"
        );
        self.configure("?object-lock=", "ObjectLockConfiguration", &rule)
    }

    fn configure(&self, what: &str, element: &str, text: &str) -> Result<(), S3Error> {
        let body = format!("<{element} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{text}</{element}>");
        let sum = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&body));
        let sum = format!("x-amz-checksum-sha256: {sum}");
        self.ask(what, &["-H", &sum, "--data", &body])
    }

    /// A `PUT` to the bucket.
    fn ask(&self, query: &str, more: &[&str]) -> Result<(), S3Error> {
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail-with-body",
                "--insecure",
                "-X",
                "PUT",
            ])
            .args(["--aws-sigv4", "aws:amz:us-east-1:s3"])
            .args(["--user", &format!("{KEY_ID}:{KEY_SECRET}")])
            .args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
            .args(more)
            .arg(format!("{}/{BUCKET}{query}", self.url()))
            .output()
            .map_err(|error| io::Error::other(format!("curl does not start: {error}")))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(S3Error::NotServing(
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            )),
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Finds the program: `VERSITYGW`, the path, a copy fetched before under `target/`, Go.
fn locate() -> Result<PathBuf, String> {
    if let Some(program) = env::var_os("VERSITYGW") {
        let program = PathBuf::from(program);
        return match program.is_file() {
            true => Ok(program),
            false => Err(format!("VERSITYGW={} is no file", program.display())),
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = env::split_paths(&path).map(|folder| folder.join("versitygw"));
    if let Some(program) = candidates.find(|program| program.is_file()) {
        return Ok(program);
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let copy = target.join(COPY);
    if !copy.is_file() {
        fetch(&target, &copy).map_err(|error| error.to_string())?;
    }
    Ok(copy)
}

/// Builds it with Go next to where it belongs, and renames it into place. Of several processes one does it.
fn fetch(target: &Path, copy: &Path) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let lock = File::create(target.join(format!("{COPY}.lock")))?;
    lock.lock()?;
    if copy.is_file() {
        return Ok(());
    }
    let stage = tempfile::tempdir_in(target)?;
    let output = Command::new("go")
        .args(["install", PACKAGE])
        .env("GOBIN", stage.path())
        .env_remove("GOFLAGS")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::other(format!("go does not start: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let end: Vec<_> = said.lines().rev().take(3).collect();
        return Err(io::Error::other(format!(
            "go install {PACKAGE} failed: {}",
            end.join(" / ")
        )));
    }
    fs::rename(stage.path().join("versitygw"), copy)
}
