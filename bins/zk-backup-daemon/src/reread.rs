//! Secrets and certificates are read again at SIGHUP, and when their files change.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::sign::CertifiedKey;
use tokio::signal::unix::Signal;

use crate::ensemble::Replaceable;
use crate::peers::{self, Peers};
use crate::settings::Settings;
use crate::watched::{Attempts, Looked};
use crate::webhook::{Receiver, Teller};
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
    /// Whether ZooKeeper is shown a certificate of ours.
    pub(crate) shows_certificate: AtomicBool,
    pub(crate) webhook: Option<Teller>,
    pub(crate) peers: Option<Peers>,
    /// The secrets that files gave, by their names.
    pub(crate) secrets_in_files: Mutex<BTreeSet<String>>,
    pub(crate) outcome: Reread,
}

/// What was read, and can be used.
struct New {
    settings: Settings,
    certificate: Option<Arc<CertifiedKey>>,
    webhook: Option<Receiver>,
    /// What asks the leader, where there are several servers.
    client: Option<reqwest::Client>,
}

impl InUse {
    /// Reads it again whenever that is asked for, or a file is not as it was `before` what is in use was read. Never ends.
    pub(crate) async fn keep(self, mut asked: Signal, before: Looked) {
        let (this, mut attempts, mut seen) = (Arc::new(self), Attempts::default(), before);
        let mut is_asked = false;
        loop {
            this.look(&mut attempts, &mut seen, is_asked).await;
            is_asked = tokio::select! {
                _ = asked.recv() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
        }
    }

    async fn look(self: &Arc<Self>, attempts: &mut Attempts, seen: &mut Looked, is_asked: bool) {
        let (looking, reading) = (Arc::clone(self), Arc::clone(self));
        let looked = attempts.within(move || Looked::at(&looking.cli)).await;
        let read = match looked {
            Ok(now) => {
                // What could not be used may have been half written; what hangs is not tried again as it is.
                let is_well = self.outcome.trouble().is_none() || attempts.wait() > 0;
                if !is_asked && now == *seen && is_well {
                    return;
                }
                *seen = now;
                attempts.within(move || reading.read()).await.flatten()
            }
            Err(why) => Err(why),
        };
        let used = read.map(|new| self.put_to_use(new));
        match &used {
            Ok(()) => log::info!("secrets and certificates were read again"),
            Err(why) => log::error!("secrets and certificates stay as they were: {why}"),
        }
        self.outcome.note(used.err());
    }

    /// All of it can be used, or none is. What comes too late is not.
    fn read(&self) -> Result<New, String> {
        let (settings, _) = self.cli.settings().map_err(|error| error.to_string())?;
        self.check(&settings)?;
        let certificate = self.certificate.as_ref();
        let certificate = certificate.map(|(directory, _)| tls::certified(directory));
        let webhook = settings.webhook.as_ref().map(Receiver::new).transpose();
        let client = settings.ha.as_ref();
        let client = client.map(|ha| peers::client(ha, settings.tls.as_deref()));
        Ok(New {
            certificate: certificate.transpose()?,
            webhook: webhook.map_err(|error| error.to_string())?,
            client: client.transpose().map_err(|error| error.to_string())?,
            settings,
        })
    }

    fn put_to_use(&self, new: New) {
        if let Some(((_, shown), certificate)) = self.certificate.as_ref().zip(new.certificate) {
            shown.replace(certificate);
        }
        if let Some((teller, webhook)) = self.webhook.as_ref().zip(new.webhook) {
            teller.replace(webhook);
        }
        if let Some((peers, client)) = self.peers.as_ref().zip(new.client) {
            peers.replace(client);
        }
        self.access.replace(&new.settings.access);
        self.shows_certificate
            .store(new.settings.shows_certificate(), Ordering::Relaxed);
        self.ensemble.replace(new.settings.ensemble());
        *self.in_files() = new.settings.secrets_in_files;
    }

    fn in_files(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.secrets_in_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A secret that is gone must not open the server to everybody, nor bring back the one that it took the place of, nor may it be closed behind addresses that
    /// were chosen without. So with the webhook, of which jobs are noted from the start on.
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
        if self.shows_certificate.load(Ordering::Relaxed) && !settings.shows_certificate() {
            return Err("there are no tls.crt and tls.key in ZOOKEEPER_TLS_PATH any more".to_owned());
        }
        match (self.access.is_anonymous(), settings.access.is_anonymous()) {
            (false, true) => return Err("there are no credentials any more".to_owned()),
            (true, false) => {
                return Err("credentials were added, which a server takes at its start".to_owned());
            }
            _ => {}
        }
        match (&self.webhook, &settings.webhook) {
            (Some(_), None) => Err("there is no WEBHOOK_URL any more".to_owned()),
            (None, Some(_)) => Err("WEBHOOK_URL was added, which a server takes at its start".to_owned()),
            (Some(now), Some(new)) if now.signs() && new.secret.is_none() => {
                Err("there is no WEBHOOK_SECRET any more".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::signal::unix::{SignalKind, signal};
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::Args;

    /// By the clock of the test, which goes on where everybody waits.
    #[tokio::test(start_paused = true)]
    async fn files_are_looked_at_each_minute_without_being_asked() {
        const PASSWORD: &str = "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD";
        const TICK: Duration = Duration::from_secs(1);
        let secrets = tempfile::tempdir().unwrap();
        let at = |name: &str| secrets.path().join(name);
        for (name, text) in [
            ("BACKUP_DAEMON_API_CREDENTIALS_USERNAME", "ann"),
            (PASSWORD, "one"),
            ("WEBHOOK_URL", "http://hooks.example/"),
        ] {
            fs::write(at(name), text).unwrap();
        }
        let cli = Cli::from(Args {
            secrets_dir: Some(secrets.path().display().to_string()),
            ..Args::default()
        });
        let before = Looked::at(&cli);
        let (settings, _) = cli.settings().unwrap();
        let webhook = Teller::new(settings.webhook.as_ref().unwrap()).unwrap();
        let outcome = Reread::default();
        let in_use = InUse {
            cli,
            access: settings.access.clone(),
            certificate: None,
            ensemble: Arc::new(Replaceable::new(settings.ensemble())),
            shows_certificate: settings.shows_certificate().into(),
            webhook: Some(webhook.clone()),
            peers: None,
            secrets_in_files: settings.secrets_in_files.clone().into(),
            outcome: outcome.clone(),
        };
        let keeping = tokio::spawn(in_use.keep(signal(SignalKind::hangup()).unwrap(), before));
        let within_a_minute = async |is_so: &dyn Fn() -> bool| {
            let begun = Instant::now();
            while !is_so() {
                assert!(begun.elapsed() <= EVERY + TICK, "{:?}", outcome.trouble());
                sleep(TICK).await;
            }
        };
        // What they were at the start has been looked at.
        sleep(TICK).await;
        assert!(!webhook.signs());
        fs::write(at("WEBHOOK_SECRET"), "secret").unwrap();
        within_a_minute(&|| webhook.signs()).await;
        fs::remove_file(at(PASSWORD)).unwrap();
        within_a_minute(&|| outcome.trouble().is_some_and(|why| why.contains(PASSWORD))).await;
        fs::write(at(PASSWORD), "another").unwrap();
        within_a_minute(&|| outcome.trouble().is_none()).await;
        keeping.abort();
    }
}
