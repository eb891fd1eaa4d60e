//! From settings to a server that runs.

use std::ffi::OsString;
use std::net::TcpListener;
use std::sync::Arc;

use backup_engine::{
    AgentSource, Engine, EngineError, FilesSource, Recovery, SettingNames, StateSource, ZooKeeperEnsemble,
};
use tokio::signal::unix::{SignalKind, signal};
use zk_snapshot::tree::ZnodePath;

use crate::{Args, ServeOptions, Settings, SettingsError, logging, serve, tls};

/// The server did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The storage cannot be used.
    #[error("storage: {0}")]
    Engine(#[from] EngineError),
    /// A certificate or its key cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// The address cannot be listened on.
    #[error("{address}: {source}")]
    Listen {
        /// Address and port.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Signals cannot be waited for, or the listener failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs the server as `args` and the environment say, until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`].
pub async fn run(args: Args) -> Result<(), StartError> {
    let settings = Settings::new(&args, |name| std::env::var_os(name))?;
    logging::start(settings.log_level, settings.log_format);
    let tls = settings
        .tls
        .as_deref()
        .map(tls::server_config)
        .transpose()
        .map_err(StartError::Tls)?;
    let engine = engine(&settings)?;
    let address = std::net::SocketAddr::new(settings.address, settings.port);
    let listener = TcpListener::bind(address).map_err(|source| StartError::Listen {
        address: address.to_string(),
        source,
    })?;
    let address = listener.local_addr()?;
    if settings.access.is_anonymous() {
        log::warn!("no credentials are set: everybody who reaches {address} may do everything");
    }
    log::info!(
        "zk-backup-daemon {} listens on {address}",
        env!("CARGO_PKG_VERSION")
    );
    log::info!(
        "ZooKeeper {}{}, storage {}",
        settings.zookeeper.address,
        Some(&settings.chroot)
            .filter(|chroot| !chroot.is_root())
            .map_or("", ZnodePath::as_str),
        settings.storage.display()
    );
    let options = ServeOptions {
        tls,
        grace: settings.shutdown_grace,
        upload_directory: settings.storage.clone(),
        upload_limit: settings.upload_limit,
        external_root: settings.external_root.clone(),
        ..ServeOptions::new(settings.access)
    };
    serve(listener, engine, options, asked_to_stop()?).await?;
    log::info!("stopped");
    Ok(())
}

fn engine(settings: &Settings) -> Result<Engine, EngineError> {
    let ensemble =
        ZooKeeperEnsemble::new(settings.zookeeper.clone(), settings.driver).below(settings.chroot.clone());
    let mut builder = Engine::builder(Arc::new(ensemble))
        .storage(&settings.storage)?
        .full_policy(Arc::new(settings.eviction_policy.clone()))
        .granular_policy(Arc::new(settings.granular_eviction_policy.clone()))
        .full_restore(settings.full_restore)
        .consistency_rounds(settings.consistency_rounds)
        .sequence_limit(settings.sequence_limit)
        .max_queued(settings.max_queued_jobs)
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
    builder = builder.states(states).recovery(Recovery {
        directory: settings.storage.join("recover"),
        command: settings.restart_command.clone(),
        environment: handed_on(),
        patience: settings.restore_timeout,
    });
    if let Some(schedule) = settings.schedule.clone() {
        builder = builder.schedule(schedule);
    }
    builder.build()
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

/// What the restart command is given of our environment, which holds secrets.
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
