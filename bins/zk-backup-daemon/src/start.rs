//! From settings to a server that runs.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use backup_engine::{
    AgentSource, DEFAULT_STORAGE, Engine, EngineBuilder, Ensemble, FilesSource, HookVariables, Hooks,
    Recovery, RestoreTests, SettingNames, StateSource, TestEnsemble, ZooKeeperEnsemble,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use zk_snapshot::client::BatchedConfig;

use crate::bucket::{self, Purpose};
use crate::ensemble::Replaceable;
use crate::peers::join;
use crate::reread::{InUse, Reread};
use crate::summary::Summary;
use crate::watched::Looked;
use crate::webhook::Teller;
use crate::{
    Cli, LogFormat, Secondary, ServeOptions, Settings, StartError, logging, notify, second, serve, tls,
};

/// Runs the server as `cli`, which may be the settings alone, and the environment say, until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`].
pub async fn run(cli: impl Into<Cli>) -> Result<(), StartError> {
    let cli = cli.into();
    // From here on it ends nothing.
    let hangup = signal(SignalKind::hangup())?;
    // What changes from here on is not what is in use.
    let before = Looked::at(&cli);
    let settings = settings(&cli)?;
    let tls = settings.tls.as_deref().map(tls::server_config).transpose();
    let (tls, shown) = tls.map_err(StartError::Tls)?.unzip();
    log_places(&settings);
    let teller = settings.webhook.as_ref().map(Teller::new).transpose()?;
    let ensemble = Arc::new(Replaceable::new(settings.ensemble()));
    let builder = over(&settings, Arc::clone(&ensemble) as Arc<dyn Ensemble>, true)?;
    let listener = listen(SocketAddr::new(settings.address, settings.port), tls.is_some())?;
    let address = listener.local_addr()?;
    let (builder, peers) = join(builder, &settings, address)?;
    let engine = builder.build()?;
    // Of several servers the one that leads does that when it begins to.
    if peers.is_none() {
        forget_overruled_policies(&engine).await;
    }
    if settings.access.is_anonymous() {
        log::warn!("no credentials are set: everybody who reaches {address} may do everything");
    }
    log::info!(
        "zk-backup-daemon {} listens on {address}",
        env!("CARGO_PKG_VERSION")
    );
    tokio::spawn(Summary::of(&settings).tell());
    let in_use = InUse {
        cli,
        access: settings.access.clone(),
        certificate: settings.tls.clone().zip(shown),
        ensemble,
        shows_certificate: settings.shows_certificate().into(),
        webhook: teller.clone(),
        peers: peers.clone(),
        secrets_in_files: settings.secrets_in_files.clone().into(),
        outcome: Reread::default(),
    };
    let options = ServeOptions {
        tls,
        reread: in_use.outcome.clone(),
        grace: settings.shutdown_grace,
        upload_directory: settings.storage.clone(),
        upload_limit: settings.upload_limit,
        external_root: settings.external_root.clone(),
        peers,
        ui: settings.ui,
        ..ServeOptions::new(settings.access)
    };
    let stop = asked_to_stop()?;
    let keeping = tokio::spawn(in_use.keep(hangup, before));
    // Requests that come from here on wait in the listener until they are served.
    notify::tell("READY=1");
    let telling = tell(teller, engine.clone());
    let served = tokio::select! {
        served = serve(listener, engine, options, stop) => served,
        () = telling => Ok(()),
    };
    keeping.abort();
    served?;
    log::info!("stopped");
    Ok(())
}

/// The settings of `cli`, from which on the log is as they say.
fn settings(cli: &Cli) -> Result<Settings, StartError> {
    let (settings, hints) = cli.settings().inspect_err(|_| {
        // Whoever reads JSON lines reads why there are no more of them.
        if let Ok(format @ LogFormat::Json) = Settings::log_format(&cli.args) {
            logging::start(log::LevelFilter::Info, format);
        }
    })?;
    logging::start(settings.log_level, settings.log_format);
    for hint in hints {
        log::warn!("{hint}");
    }
    Ok(settings)
}

/// What is to be known of where backups and jobs are kept.
fn log_places(settings: &Settings) {
    if let Some(encryption) = &settings.encryption {
        log::info!("{encryption}");
        if settings.ha.is_some() {
            log::warn!(
                "jobs are in the bucket and not encrypted: requests, reasons, and paths of znodes that a restore has left unfinished"
            );
        }
    }
    if settings.bucket.is_none() && !settings.aliases.is_empty() {
        log::warn!(
            "no alias is called {DEFAULT_STORAGE}: backups without a storageName are kept in the directory {}",
            settings.storage.display()
        );
    }
}

/// It goes on where nobody waits for it any more.
async fn forget_overruled_policies(engine: &Engine) {
    match timeout(bucket::PATIENCE, engine.forget_overruled_policies()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::warn!("whether policies were overruled is not known: {error}"),
        Err(_) => log::warn!("whether policies were overruled is not known yet"),
    }
}

/// Never ends.
async fn tell(teller: Option<Teller>, engine: Engine) {
    match teller {
        Some(teller) => teller.keep_telling(&engine).await,
        None => std::future::pending().await,
    }
}

/// Begins an engine as `settings` say, over the storage that they name, which is locked from here on.
///
/// # Errors
/// [`StartError`].
pub fn builder(settings: &Settings) -> Result<EngineBuilder, StartError> {
    over(settings, Arc::new(settings.ensemble()), true)
}

/// The same with jobs in memory, where backups are in a directory: for who needs none of those that are kept there.
///
/// # Errors
/// [`StartError`].
pub fn builder_without_jobs(settings: &Settings) -> Result<EngineBuilder, StartError> {
    over(settings, Arc::new(settings.ensemble()), false)
}

/// The same over `ensemble`, which is that of the settings.
fn over(
    settings: &Settings,
    ensemble: Arc<dyn Ensemble>,
    with_jobs: bool,
) -> Result<EngineBuilder, StartError> {
    let mut builder = placed(Engine::builder(ensemble), settings, with_jobs)?
        .full_policy(Arc::new(settings.eviction_policy.clone()))
        .granular_policy(Arc::new(settings.granular_eviction_policy.clone()))
        .full_restore(settings.full_restore)
        .consistency_rounds(settings.consistency_rounds)
        .sequence_limit(settings.sequence_limit)
        .max_queued(settings.max_queued_jobs)
        .keep_news(settings.webhook.is_some())
        .hooks(Hooks {
            before: settings.hook_before.clone(),
            after: settings.hook_after.clone(),
            timeout: settings.hook_timeout,
            environment: handed_on(),
            variables: hook_variables(),
        })
        .setting_names(names());
    let mut states: Vec<Arc<dyn StateSource>> = Vec::new();
    if let Some(dirs) = settings.data_dirs.clone() {
        states.push(Arc::new(FilesSource(dirs)));
    }
    if let Some(admin) = settings.admin.clone() {
        states.push(Arc::new(admin.spooling_in(&settings.storage)));
    }
    if let Some(port) = settings.agent_port {
        let config = settings.zookeeper.clone();
        states.push(Arc::new(AgentSource::new(config, port, &settings.storage)));
    }
    if let Some(encryption) = settings.encryption.clone() {
        builder = builder.around_vaults(move |below| encryption.around(below));
    }
    builder = builder.states(states).recovery(Recovery {
        directory: settings.storage.join("recover"),
        command: settings.restart_command.clone(),
        environment: handed_on(),
        variable: "RECOVER_DIR".to_owned(),
        patience: settings.restore_timeout,
    });
    if let Some(schedule) = settings.schedule.clone() {
        builder = builder.schedule(schedule);
    }
    let checks = &settings.checks;
    builder = builder.restore_tests(RestoreTests {
        ensemble: test_ensemble(settings),
        memory: checks.test_memory,
    });
    builder = builder.verify_new(checks.verify_new_backups);
    if let Some(schedule) = checks.verify_schedule.clone() {
        builder = builder.verify_schedule(schedule, checks.verify_share);
    }
    if let Some(schedule) = checks.test_schedule.clone() {
        builder = builder.restore_test_schedule(schedule);
    }
    Ok(builder)
}

/// With where vaults, their second copies and jobs are.
fn placed(builder: EngineBuilder, settings: &Settings, with_jobs: bool) -> Result<EngineBuilder, StartError> {
    let builder = match &settings.bucket {
        None if with_jobs => builder.storage(&settings.storage)?,
        None => builder.storage_without_jobs(&settings.storage)?,
        // First what only this process may have: it may have been started twice.
        Some(config) => {
            let builder = builder.local_state(&settings.storage)?;
            let purpose = settings
                .ha
                .as_ref()
                .map_or(Purpose::Backups, |_| Purpose::Sharing);
            builder.objects(bucket::open(config, purpose)?, config.to_string())
        }
    };
    let mut builder = builder;
    for (name, config) in &settings.aliases {
        builder = builder.further_objects(name, bucket::open(config, Purpose::Backups)?);
    }
    Ok(match &settings.secondary {
        None => builder,
        Some(Secondary::Bucket(config)) => {
            builder.second_objects(bucket::open(config, Purpose::Copies)?, config.to_string())
        }
        Some(Secondary::Directory(path)) => {
            let copies = second::open(path, &settings.storage)?;
            builder.second_copy(copies, path.display().to_string())
        }
    })
}

/// Where backups are restored for a test, reached as the ensemble is that is backed up.
fn test_ensemble(settings: &Settings) -> Option<TestEnsemble> {
    let place = settings.checks.test_place.clone()?;
    let live = &settings.zookeeper;
    let to = |config: BatchedConfig| ZooKeeperEnsemble::new(config, settings.driver);
    let all = || Arc::new(to(live.clone())) as Arc<dyn Ensemble>;
    let address = place.servers.clone().unwrap_or_else(|| live.address.clone());
    let ensemble = to(BatchedConfig {
        address,
        ..live.clone()
    });
    Some(TestEnsemble {
        ensemble: Arc::new(ensemble.below(place.root)),
        never: (!place.is_live).then(all),
        is_live: place.is_live,
    })
}

pub(crate) fn listen(address: SocketAddr, with_tls: bool) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| StartError::Listen {
        setting: match source.kind() {
            ErrorKind::AddrNotAvailable => "BROADCAST_ADDRESS",
            _ if with_tls => "TLS_PORT",
            _ => "PORT",
        },
        address: address.to_string(),
        source,
    })
}

/// Ready at the first SIGTERM or SIGINT. The second ends the process at once.
fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        log::info!("asked to stop");
        notify::tell("STOPPING=1");
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            log::warn!("asked again: stopping at once");
            std::process::exit(130);
        });
    })
}

/// What the engine's settings are called here.
fn names() -> SettingNames {
    SettingNames {
        states: "ZOOKEEPER_DATA_DIR names the data directory of a server".to_owned(),
        restart_command: "RESTORE_RESTART_COMMAND".to_owned(),
        trust_clock: "If it is right now, say so: POST /evict?trust_clock=true".to_owned(),
    }
}

/// What tells the commands around jobs of their job.
fn hook_variables() -> HookVariables {
    HookVariables {
        job: "ZK_BACKUP_JOB".to_owned(),
        job_type: "ZK_BACKUP_JOB_TYPE".to_owned(),
        vault: "ZK_BACKUP_VAULT".to_owned(),
        job_status: "ZK_BACKUP_JOB_STATUS".to_owned(),
        job_message: "ZK_BACKUP_JOB_MESSAGE".to_owned(),
    }
}

/// What commands are given of our environment, which holds secrets.
const HANDED_ON: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    // Where `kubectl` and `ssh` find what they talk to; none of them is a secret.
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "JAVA_HOME",
];

fn handed_on() -> Vec<(OsString, OsString)> {
    let value = |name: &str| Some((name.into(), std::env::var_os(name)?));
    HANDED_ON.into_iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_listened_on_names_its_setting() {
        let taken = listen(([127, 0, 0, 1], 0).into(), false).unwrap();
        let address = taken.local_addr().unwrap();
        // An address for documents (RFC 5737), which no machine has.
        let elsewhere = ([192, 0, 2, 1], 0).into();
        for (address, with_tls, setting, why) in [
            (address, false, "PORT", "Address already in use"),
            (address, true, "TLS_PORT", "Address already in use"),
            (elsewhere, true, "BROADCAST_ADDRESS", "Cannot assign"),
        ] {
            let refused = listen(address, with_tls).unwrap_err().to_string();
            let told = format!("{setting}: cannot listen on {address}: {why}");
            assert!(refused.starts_with(&told), "{refused}");
        }
    }
}
