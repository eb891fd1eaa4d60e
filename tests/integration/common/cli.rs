//! The command line under test as a process.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use zk_backup_testkit::{Daemon, PASSWORD, USER};

use super::buckets::{KEYS, is_sealed};

/// The command line and the server, as programs.
pub(crate) const PROGRAMS: [&str; 2] = [
    env!("CARGO_BIN_EXE_cli-under-test"),
    env!("CARGO_BIN_EXE_daemon-under-test"),
];

/// The command line, with nothing of this process's environment.
pub(crate) struct Cli {
    settings: Vec<(String, String)>,
    first: Vec<String>,
}

impl Cli {
    /// Told of a server and its credentials.
    pub(crate) fn of_server(daemon: &Daemon) -> Self {
        let url = format!("http://{}", daemon.address);
        let settings = [
            ("ZK_BACKUP_URL", &*url),
            ("ZK_BACKUP_USERNAME", USER),
            ("ZK_BACKUP_PASSWORD", PASSWORD),
        ];
        Self {
            settings: settings
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .to_vec(),
            first: Vec::new(),
        }
    }

    /// Told nothing.
    pub(crate) fn alone() -> Self {
        Self {
            settings: Vec::new(),
            first: Vec::new(),
        }
    }

    /// Told of a storage, and of ZooKeeper where that is given.
    pub(crate) fn of_storage(storage: &Path, zookeeper: Option<&str>) -> Self {
        let mut first = vec!["--storage".to_owned(), storage.to_str().unwrap().to_owned()];
        if let Some(zookeeper) = zookeeper {
            first.extend(["--zookeeper".to_owned(), zookeeper.to_owned()]);
        }
        let mut settings = Vec::new();
        if is_sealed() && storage.is_dir() {
            let identity = storage.join("identity.txt");
            fs::write(&identity, KEYS[0].1).unwrap();
            let identity = identity.to_str().unwrap().to_owned();
            settings.push(("ENCRYPTION_RECIPIENTS".to_owned(), KEYS[0].0.to_owned()));
            settings.push(("ENCRYPTION_IDENTITY_FILE".to_owned(), identity));
        }
        Self { settings, first }
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Put before whatever it is asked.
    pub(crate) fn first(mut self, args: &[&str]) -> Self {
        self.first.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAMS[0]);
        command
            .env_clear()
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .args(&self.first)
            .args(args);
        command
    }

    /// What is printed where it ends with `exit`.
    pub(crate) fn ends(&self, exit: i32, args: &[&str]) -> (String, String) {
        let output = self.run(args);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(exit), "{args:?}\n{out}\n{err}");
        assert!(!out.contains(PASSWORD) && !err.contains(PASSWORD), "{out}\n{err}");
        (out, err)
    }

    /// What is printed where it ends well and has nothing to complain about.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let (out, err) = self.ends(0, args);
        assert_eq!(err, "", "{args:?}: {out}");
        out
    }

    /// The JSON lines of what ends well.
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        lines(&self.ok(&[args, &["--json"]].concat()))
    }

    /// Takes a backup, and returns its id.
    pub(crate) fn back_up(&self, args: &[&str]) -> String {
        let lines = self.json(&[&["backup", "--wait"], args].concat());
        lines.last().unwrap()["task_id"].as_str().unwrap().to_owned()
    }
}

/// JSON lines, each of which says what it is.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    let line = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    let lines: Vec<_> = text.lines().map(line).collect();
    for line in &lines {
        assert!(line["message_type"].is_string(), "{line}");
    }
    lines
}
