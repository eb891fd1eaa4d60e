//! How an ensemble that is lost is brought back by files.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How an ensemble is brought back by files.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Where the files are placed: a directory that only this process's user, who runs the command, may read.
    pub directory: PathBuf,
    /// A shell command that makes every server begin anew with these files; it finds their directory in
    /// the variable, and returns when that is done. Without one, people do it.
    pub command: Option<String>,
    /// All that the command is given of an environment, the variable apart: that of a server holds secrets. Without `PATH` it finds what
    /// the system finds by itself.
    pub environment: Vec<(OsString, OsString)>,
    /// The name of the variable.
    pub variable: String,
    /// How long the command, and the servers afterwards, may take.
    pub patience: Duration,
}

impl Recovery {
    /// By people, from files in `directory`. A command, if one is set, has no environment but `RECOVER_DIR`; it and the servers may take ten minutes.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            command: None,
            environment: Vec::new(),
            variable: "RECOVER_DIR".to_owned(),
            patience: Duration::from_mins(10),
        }
    }
}
