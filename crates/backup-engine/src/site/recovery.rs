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
