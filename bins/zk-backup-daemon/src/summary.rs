//! What a server has come to at its start, in one line.

use std::time::Duration;

use backup_engine::{Ensemble, ZooKeeperEnsemble};
use tokio::time::timeout;
use zk_snapshot::client::BatchedConfig;

use crate::identity::untaken;
use crate::{BucketConfig, Secondary, Settings};

/// The longest that ZooKeeper is waited for; what it says then is missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is logged once ZooKeeper has been asked as whom it knows us. It begins with the version.
pub(crate) struct Summary {
    ensemble: ZooKeeperEnsemble,
    config: BatchedConfig,
    /// All that needs nobody's answer.
    rest: String,
}

impl Summary {
    pub(crate) fn of(settings: &Settings) -> Self {
        let schedule = settings
            .schedule
            .as_ref()
            .map_or("None", |schedule| schedule.as_str());
        let backups = match &settings.bucket {
            None => String::new(),
            Some(bucket) => format!(", backups in {bucket}"),
        };
        let named = |(name, bucket): (&String, &BucketConfig)| format!(", alias {name} in {bucket}");
        let aliases: String = settings.aliases.iter().map(named).collect();
        let copies = match &settings.secondary {
            Some(Secondary::Bucket(bucket)) => format!(", second copies in {bucket}"),
            Some(Secondary::Directory(path)) => format!(", second copies in {}", path.display()),
            None => String::new(),
        };
        let tls = |on: bool| if on { "with TLS" } else { "without TLS" };
        Self {
            ensemble: settings.ensemble(),
            config: settings.zookeeper.clone(),
            rest: format!(
                "driver {}, {}; storage {}{backups}{aliases}{copies}; schedule {schedule}; policies {} and {} for granular backups; served {}",
                format!("{:?}", settings.driver).to_lowercase(),
                tls(settings.zookeeper.tls.is_some()),
                settings.storage.display(),
                settings.eviction_policy,
                settings.granular_eviction_policy,
                tls(settings.tls.is_some())
            ),
        }
    }

    /// Asks ZooKeeper once, and logs it.
    pub(crate) async fn tell(self) {
        let name = self.ensemble.name();
        let version = self.ensemble.probe().await.version;
        let version = version.map_or(String::new(), |version| format!(" {version}"));
        let identity = timeout(PATIENCE, self.identity()).await;
        let identity = identity.unwrap_or_else(|_| "which has not answered yet".to_owned());
        log::info!(
            "zk-backup-daemon {}: ZooKeeper{version} at {name}, {identity}; {}",
            env!("CARGO_PKG_VERSION"),
            self.rest
        );
    }

    async fn identity(&self) -> String {
        let client = match self.ensemble.connect().await {
            Ok(client) => client,
            Err(error) => return format!("which cannot be reached ({})", error.cause),
        };
        let identities = client.identities().await;
        client.close().await;
        match identities {
            Ok(Some(identities)) if !identities.is_empty() => {
                if let Some(untaken) = untaken(&self.config, &identities) {
                    log::warn!("ZooKeeper at {}: {untaken}", self.ensemble.name());
                }
                format!("which knows us as {}", identities.join(", "))
            }
            Ok(_) => "which does not tell as whom it knows us".to_owned(),
            Err(error) => format!("which cannot be asked ({})", error.cause),
        }
    }
}
