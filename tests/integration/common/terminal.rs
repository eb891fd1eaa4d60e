//! A terminal: what programs write to it, and what somebody types there.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

const PATIENCE: Duration = Duration::from_secs(60);

/// Which of a program's outputs are on the terminal, where its input is. The other one goes to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    Both,
    Stdout,
    Stderr,
}

/// A program that somebody has started on a terminal. Dropping it hangs the terminal up, which ends the program.
pub(crate) struct Session {
    script: Child,
    keyboard: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    file: NamedTempFile,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// By the terminal, what was typed among it.
    pub(crate) shown: String,
    /// What is in the file.
    pub(crate) kept: String,
}

impl Session {
    /// Runs what `asked` says in its environment, on a terminal that has colours unless that says otherwise.
    ///
    /// The terminal is that of `script`, which every Debian has (`bsdutils`).
    pub(crate) fn start(asked: &Command, outputs: Outputs) -> Self {
        let file = NamedTempFile::new().unwrap();
        let program = std::iter::once(asked.get_program()).chain(asked.get_args());
        let words: Vec<_> = program.map(|word| quoted(word.to_str().unwrap())).collect();
        let path = quoted(file.path().to_str().unwrap());
        let elsewhere = match outputs {
            Outputs::Both => String::new(),
            Outputs::Stdout => format!("2>{path}"),
            Outputs::Stderr => format!(">{path}"),
        };
        let line = format!("stty rows 24 cols 100 && exec {} {elsewhere}", words.join(" "));
        let mut script = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .envs(asked.get_envs().filter_map(|(key, value)| Some((key, value?))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of util-linux");
        let keyboard = script.stdin.take().unwrap();
        let mut screen = script.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        let reader = std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut some) {
                seen.lock().unwrap().extend_from_slice(&some[..read]);
            }
        });
        Self {
            script,
            keyboard,
            shown,
            reader,
            file,
        }
    }

    /// Everything so far, with lines that end as they were written.
    fn shown(&self) -> String {
        let shown = self.shown.lock().unwrap();
        String::from_utf8_lossy(&shown).replace("\r\n", "\n")
    }

    /// Waits until the terminal has shown this.
    pub(crate) fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.shown().contains(text) {
            assert!(Instant::now() < deadline, "{text:?} is not in {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Presses keys, `\n` for Enter.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Waits until the program has ended.
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let code = loop {
            if let (Some(status), true) = (self.script.try_wait().unwrap(), self.reader.is_finished()) {
                break status.code();
            }
            assert!(Instant::now() < deadline, "it goes on: {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(10));
        };
        let kept = std::fs::read_to_string(self.file.path()).unwrap();
        let shown = self.shown();
        Ended { code, shown, kept }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.script.kill(); // it may have ended already
        let _ = self.script.wait();
    }
}

/// A word of the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
