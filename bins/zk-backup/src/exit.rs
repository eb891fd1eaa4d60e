//! How the program ends: exit codes, and failures in one line.

use std::fmt;
use std::io;
use std::process::ExitCode;

use serde_json::json;

use crate::text::{clean, clean_json};

/// What the caller's script is told. The numbers are promised in `--help` and `docs/CLI.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All of it was done.
    Done = 0,
    /// It was not done.
    Failed = 1,
    /// It was not asked for as it has to be.
    Usage = 2,
    /// It was done, and something is missing in it.
    Partial = 3,
    /// There is no such backup, znode or job.
    NotFound = 10,
    /// Somebody else works with the backup, or has the storage.
    InUse = 11,
    /// The credentials are missing or wrong.
    Credentials = 12,
    /// The user interrupted it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened, with what to do next, as one line.
    pub message: String,
    /// The server's own name for the kind of error, where it gave one.
    pub code: Option<String>,
    /// Whether asking again may do: the server was not reached, or answered with 5xx.
    pub may_pass: bool,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            code: None,
            may_pass: false,
        }
    }

    /// It could not be done.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// It was not asked for as it has to be.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Whether there is nothing to say: whoever read the output, such as `head`, has enough.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.message.is_empty()
    }

    /// Whether it was a backup's own storage that failed: others may be read all the same.
    #[must_use]
    pub(crate) fn is_of_one_backup(&self) -> bool {
        self.code.as_deref() == Some("storage_failed")
    }

    /// The line that the user, or a script, is told. Nothing in it moves the cursor.
    #[must_use]
    pub fn line(&self, is_json: bool) -> String {
        if !is_json {
            return format!("zk-backup: {}", clean(&self.message));
        }
        let line = json!({
            "message_type": "error",
            "message": self.message,
            "code": self.code,
            "exit_code": self.exit as u8,
        });
        clean_json(&line.to_string()).into_owned()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Only of what does nothing but show something: see `Command::only_shows`.
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, ""),
            _ => Self::failed(error.to_string()),
        }
    }
}

/// Puts what was being worked on in front of an error.
pub(crate) fn about<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::failed(format!("{what}: {error}"))
}
