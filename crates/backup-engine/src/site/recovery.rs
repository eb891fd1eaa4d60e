//! How an ensemble that is lost is brought back by files.

use std::path::PathBuf;
use std::time::Duration;

/// How an ensemble is brought back by files.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Where the files are placed: a directory that only this process's user, who runs the command, may read.
    pub directory: PathBuf,
    /// A shell command that makes every server begin anew with these files; it finds their directory in
    /// `RECOVER_DIR`, and returns when that is done. Without one, people do it.
    pub command: Option<String>,
    /// How long the command, and the servers afterwards, may take.
    pub patience: Duration,
}
