//! A ZooKeeper server as a process.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Distribution, Port};

/// The password of the user `super`, whom no ACL binds, on every server started here.
pub const SUPER_PASSWORD: &str = "secret";
/// What the server is told of it: `super:` and base64 of SHA-1 of `super:secret`.
pub const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

/// A standalone server. Dropping it kills its process and removes its directory.
#[derive(Debug)]
pub struct ZooKeeper {
    class_path: String,
    directory: TempDir,
    /// Where clients come, and what `{port}` stood for.
    ports: [Port; 2],
    options: Vec<String>,
    main: &'static str,
    process: Option<Child>,
}

/// What a server is to be besides the usual.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Lines for its configuration. `{dir}` stands for its directory, `{port}` for a second free port.
    pub config: String,
    /// Options for Java, with the same two stand-ins.
    pub java: Vec<String>,
    /// Files in its directory.
    pub files: Vec<(String, String)>,
    /// Whether it is one of several: its configuration names them all.
    pub quorum: bool,
    /// Whether it has an AdminServer, on the second port and the loopback address.
    pub admin: bool,
    /// Snapshots and logs to begin with.
    pub data: Vec<PathBuf>,
}

/// A server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its directory or its port could not be had.
    #[error("ZooKeeper cannot be started: {0}")]
    Io(#[from] io::Error),
    /// There is no `java`.
    #[error("java does not start: {0}. Install a Java runtime (`apt-get install default-jre-headless`)")]
    Java(io::Error),
    /// It ended before it served, as one does whose port was taken meanwhile.
    #[error("ZooKeeper ended; it said: {0}")]
    Ended(String),
    /// It did not serve within a minute.
    #[error("ZooKeeper does not serve; it said: {0}")]
    NotServing(String),
}

impl ZooKeeper {
    /// Starts a server on a free port and waits until it serves.
    ///
    /// # Errors
    /// [`StartError`], with the end of the server's log.
    pub fn start(distribution: &Distribution) -> Result<Self, StartError> {
        Ok(Self::start_with(distribution, &Setup::default())?.0)
    }

    /// Starts a server that is something special, and tells the port that `{port}` stood for.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(distribution: &Distribution, setup: &Setup) -> Result<(Self, u16), StartError> {
        // Somebody who is no test of ours may have taken its port meanwhile.
        let mut left = 3;
        loop {
            left -= 1;
            match Self::start_once(distribution, setup) {
                Err(StartError::Ended(_)) if left > 0 => {}
                outcome => return outcome,
            }
        }
    }

    fn start_once(distribution: &Distribution, setup: &Setup) -> Result<(Self, u16), StartError> {
        let (mut server, second) = Self::prepare(distribution, setup)?;
        server.spawn()?;
        server.wait()?;
        Ok((server, second))
    }

    /// All but starting it.
    pub(crate) fn prepare(distribution: &Distribution, setup: &Setup) -> Result<(Self, u16), StartError> {
        let directory = tempfile::tempdir()?;
        let ports = [Port::take()?, Port::take()?];
        let [port, second] = [ports[0].number(), ports[1].number()];
        let fill = |text: &str| {
            text.replace("{dir}", &directory.path().display().to_string())
                .replace("{port}", &second.to_string())
        };
        let version_2 = directory.path().join("data/version-2");
        fs::create_dir_all(&version_2)?;
        for (name, text) in &setup.files {
            fs::write(directory.path().join(name), text)?;
        }
        for file in &setup.data {
            fs::copy(file, version_2.join(file.file_name().unwrap_or_default()))?;
        }
        let config = format!(
            "tickTime=2000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer={}\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n{}",
            directory.path().join("data").display(),
            setup.admin,
            fill(&setup.config)
        );
        fs::write(directory.path().join("zoo.cfg"), config)?;
        let admin = setup.admin.then(|| {
            [
                format!("-Dzookeeper.admin.serverPort={second}"),
                "-Dzookeeper.admin.serverAddress=127.0.0.1".to_owned(),
            ]
        });
        let admin = admin.into_iter().flatten();
        let server = Self {
            class_path: distribution.class_path.clone(),
            options: setup
                .java
                .iter()
                .map(|option| fill(option))
                .chain(admin)
                .collect(),
            directory,
            ports,
            main: if setup.quorum {
                "org.apache.zookeeper.server.quorum.QuorumPeerMain"
            } else {
                "org.apache.zookeeper.server.ZooKeeperServerMain"
            },
            process: None,
        };
        Ok((server, second))
    }

    /// Kills the process, as `kill -9` does. The data stay.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill(); // it may have ended already
            let _ = process.wait();
        }
    }

    /// Stops the process, as `kill -STOP` does, and waits until none of its threads runs. What it has not done by then it
    /// does not do before it is killed.
    pub(crate) fn suspend(&self) -> io::Result<()> {
        let Some(process) = &self.process else {
            return Ok(());
        };
        let status = Command::new("kill")
            .args(["-STOP", &process.id().to_string()])
            .status()?;
        if !status.success() {
            return Err(io::Error::other("it cannot be stopped"));
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_suspended(process.id())? {
            if Instant::now() > deadline {
                return Err(io::Error::other("it does not stop"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Starts the server again on the same port and data, and waits until it serves.
    ///
    /// # Errors
    /// [`StartError`], with the end of the server's log.
    pub fn restart(&mut self) -> Result<(), StartError> {
        self.kill();
        self.spawn()?;
        self.wait()
    }

    /// Kills it, and puts the files in `directory` in the place of all that it had.
    ///
    /// # Errors
    /// When files cannot be removed or copied.
    pub fn replace_data(&mut self, directory: &Path) -> io::Result<()> {
        self.kill();
        fs::remove_dir_all(self.data_directory())?;
        fs::create_dir_all(self.data_directory())?;
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            fs::copy(&path, self.data_directory().join(name))?;
        }
        Ok(())
    }

    /// Where its snapshots and logs are.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data/version-2")
    }

    /// Has ZooKeeper's own tool remove all but the three newest snapshots, and the logs that only older ones need.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn purge(&self) -> io::Result<()> {
        let data = self.directory.path().join("data");
        let output = Command::new("java")
            .args(["-cp", &self.class_path, "org.apache.zookeeper.server.PurgeTxnLog"])
            .args([&data, &data])
            .args(["-n", "3"])
            .stdin(Stdio::null())
            .output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )),
        }
    }

    /// `127.0.0.1:<port>`.
    #[must_use]
    pub fn address(&self) -> String {
        self.ports[0].address()
    }

    /// The answer to a four-letter word such as `srvr`.
    ///
    /// # Errors
    /// When nothing answers.
    pub fn four_letter(&self, word: &str) -> io::Result<String> {
        let mut socket = TcpStream::connect(self.address())?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(word.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }

    pub(crate) fn spawn(&mut self) -> Result<(), StartError> {
        let log = self.directory.path().join("log");
        let output = File::create(&log)?;
        let process = Command::new("java")
            .args(["-Xmx2g", "-XX:+ExitOnOutOfMemoryError", "-cp", &self.class_path])
            .arg(format!(
                "-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"
            ))
            .args(&self.options)
            .arg(self.main)
            .arg(self.directory.path().join("zoo.cfg"))
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .spawn()
            .map_err(StartError::Java)?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until it serves.
    pub(crate) fn wait(&mut self) -> Result<(), StartError> {
        let log = self.directory.path().join("log");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.serves() {
            let ended = self
                .process
                .as_mut()
                .is_none_or(|p| !matches!(p.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                self.kill();
                let said = tail(&log);
                return Err(match ended {
                    true => StartError::Ended(said),
                    false => StartError::NotServing(said),
                });
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether it answers, and no other server that has its port.
    fn serves(&self) -> bool {
        let says = |word: &str, what: &str| {
            let answer = self.four_letter(word);
            answer.is_ok_and(|answer| answer.contains(what))
        };
        says("srvr", "Mode:") && says("conf", &format!("dataDir={}\n", self.data_directory().display()))
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether each thread of a process is stopped.
fn is_suspended(process: u32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('T'));
        if state != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
