//! The files that secrets and certificates are from: how they were, and what is done with them as long as they answer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;

use crate::Cli;
use crate::config_file::ConfigFile;
use crate::names::SECRETS;
use crate::settings::{aliases_file, authority_file, certificate_directories};

/// So long they have to be looked at, and to be read.
const PATIENCE: Duration = Duration::from_secs(10);
/// Threads that may wait for files at once.
const MOST: usize = 8;

/// How the files are. It changes when one is written, or put in another's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Looked(BTreeMap<PathBuf, Option<(u64, u64, i64, i64)>>);

impl Looked {
    /// Looks at all that `cli` asks for. None is opened but that of settings: one may be a pipe by now.
    pub(crate) fn at(cli: &Cli) -> Self {
        let mut files = Vec::new();
        if let Some(path) = &cli.config {
            // What cannot be read is told when it is read again.
            files.extend(ConfigFile::names(path).unwrap_or_default());
            files.push(path.clone());
        }
        let secrets = cli.args.secrets_dir.as_deref().map(str::trim);
        if let Some(directory) = secrets.filter(|directory| !directory.is_empty()) {
            files.extend(SECRETS.map(|name| PathBuf::from(directory).join(name)));
        }
        for directory in certificate_directories(&cli.args) {
            files.extend(["ca.crt", "tls.crt", "tls.key"].map(|name| directory.join(name)));
        }
        files.extend(aliases_file(&cli.args));
        files.extend(authority_file(&cli.args));
        let look = |path: PathBuf| {
            let file = fs::metadata(&path).ok();
            let seen = file.map(|file| (file.ino(), file.len(), file.mtime(), file.mtime_nsec()));
            (path, seen)
        };
        Self(files.into_iter().map(look).collect())
    }
}

/// Work on files, each given up where they do not answer: what hangs once may hang for ever.
#[derive(Debug)]
pub(crate) struct Attempts {
    patience: Duration,
    given_up: Vec<AbortHandle>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            given_up: Vec::new(),
        }
    }
}

impl Attempts {
    /// What comes of `work`.
    ///
    /// # Errors
    /// It has not ended in time, or too many before it have not.
    pub(crate) async fn within<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        if self.wait() >= MOST {
            return Err(format!("{MOST} attempts to read files have not ended"));
        }
        let mut work = spawn_blocking(work);
        match timeout(self.patience, &mut work).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => {
                self.given_up.push(work.abort_handle());
                Err(format!(
                    "files could not be read within {:?}: one may be a pipe, or on a file system that hangs",
                    self.patience
                ))
            }
        }
    }

    /// How many that were given up still wait.
    pub(crate) fn wait(&mut self) -> usize {
        self.given_up.retain(|work| !work.is_finished());
        self.given_up.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_hangs_keeps_nothing_else_from_being_done_until_it_is_too_much() {
        let mut attempts = Attempts::default();
        let mut gates = Vec::new();
        for hung in 0..MOST {
            assert_eq!(attempts.within(move || hung).await, Ok(hung));
            let (gate, wait) = mpsc::channel::<()>();
            gates.push(gate);
            attempts.patience = Duration::from_millis(1);
            let late = attempts.within(move || wait.recv().is_err()).await;
            assert!(late.unwrap_err().contains("within 1ms"));
            attempts.patience = PATIENCE;
        }
        assert!(attempts.within(|| ()).await.is_err());
        drop(gates);
        while attempts.wait() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(attempts.within(|| 1).await, Ok(1));
    }
}
