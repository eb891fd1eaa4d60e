//! Secrets and certificates are read again at SIGHUP, and when their files change.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::Signal;

use crate::config_file::{ConfigFile, SECRETS};
use crate::ensemble::Replaceable;
use crate::settings::Settings;
use crate::{Access, Cli, tls};

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// Why what was to be read again is not in use. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Reread(Arc<Mutex<Option<String>>>);

impl Reread {
    /// `None` where what is in use is what there is.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, trouble: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// What is in use and can be replaced while the server runs.
pub(crate) struct InUse {
    pub(crate) cli: Cli,
    pub(crate) access: Access,
    pub(crate) certificate: Option<(PathBuf, Arc<tls::Shown>)>,
    pub(crate) ensemble: Arc<Replaceable>,
    /// Where the files for connections to ZooKeeper are, if there are any.
    pub(crate) zookeeper_tls: Option<PathBuf>,
    /// The secrets that files gave, by their names.
    pub(crate) secrets_in_files: Mutex<BTreeSet<String>>,
    pub(crate) outcome: Reread,
}

/// A file, and what changes when it is written or put in another's place; `None` where there is none.
type Look = (PathBuf, Option<(u64, u64, i64, i64)>);

impl InUse {
    /// Reads it again whenever that is asked for, or a file has changed. Never ends.
    pub(crate) async fn keep(self, mut asked: Signal) {
        let this = Arc::new(self);
        let mut seen = this.clone().looked().await;
        loop {
            let is_asked = tokio::select! {
                _ = asked.recv() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let now = this.clone().looked().await;
            // What could not be used may have been half written.
            if !is_asked && now == seen && this.outcome.trouble().is_none() {
                continue;
            }
            seen = now;
            let reading = Arc::clone(&this);
            let read = tokio::task::spawn_blocking(move || reading.read());
            let read = read.await.unwrap_or_else(|error| Err(error.to_string()));
            match &read {
                Ok(()) => log::info!("secrets and certificates were read again"),
                Err(why) => log::error!("secrets and certificates stay as they were: {why}"),
            }
            this.outcome.note(read.err());
        }
    }

    async fn looked(self: Arc<Self>) -> Vec<Look> {
        let looked = tokio::task::spawn_blocking(move || self.look()).await;
        looked.unwrap_or_default()
    }

    /// How the files are now.
    fn look(&self) -> Vec<Look> {
        let mut files = Vec::new();
        if let Some(path) = &self.cli.config {
            files.push(path.clone());
            // What cannot be read is told when it is read again.
            files.extend(
                ConfigFile::read(path)
                    .map(|file| file.secret_files)
                    .unwrap_or_default()
                    .into_values(),
            );
        }
        let secrets = self.cli.args.secrets_dir.as_deref().map(str::trim);
        if let Some(directory) = secrets.filter(|directory| !directory.is_empty()) {
            files.extend(SECRETS.map(|name| PathBuf::from(directory).join(name)));
        }
        let served = self.certificate.iter().map(|(directory, _)| directory);
        for directory in served.chain(&self.zookeeper_tls) {
            files.extend(["ca.crt", "tls.crt", "tls.key"].map(|name| directory.join(name)));
        }
        let look = |path: PathBuf| {
            let file = fs::metadata(&path).ok();
            let seen = file.map(|file| (file.ino(), file.len(), file.mtime(), file.mtime_nsec()));
            (path, seen)
        };
        files.into_iter().map(look).collect()
    }

    /// All of it is put to use, or none.
    fn read(&self) -> Result<(), String> {
        let (settings, _) = self.cli.settings().map_err(|error| error.to_string())?;
        self.check(&settings)?;
        let certificate = match &self.certificate {
            None => None,
            Some((directory, shown)) => Some((shown, tls::certified(directory)?)),
        };
        if let Some((shown, new)) = certificate {
            shown.replace(new);
        }
        self.access.replace(&settings.access);
        self.ensemble.replace(settings.ensemble());
        *self.in_files() = settings.secrets_in_files;
        Ok(())
    }

    fn in_files(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.secrets_in_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A secret that is gone must not open the server to everybody, nor bring back the one that it took the place of, nor may it be closed behind addresses that
    /// were chosen without.
    fn check(&self, settings: &Settings) -> Result<(), String> {
        let lost = self
            .in_files()
            .difference(&settings.secrets_in_files)
            .next()
            .cloned();
        if let Some(name) = lost {
            return Err(format!(
                "{name}: its file in BACKUP_DAEMON_SECRETS_DIR is gone, or empty"
            ));
        }
        match (self.access.is_anonymous(), settings.access.is_anonymous()) {
            (false, true) => Err("there are no credentials any more".to_owned()),
            (true, false) => Err("credentials were added, which a server takes at its start".to_owned()),
            _ => Ok(()),
        }
    }
}
