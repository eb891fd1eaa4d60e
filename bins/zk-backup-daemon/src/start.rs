//! From settings to a server that runs.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use backup_engine::{DEFAULT_STORAGE, Engine, Ensemble};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::assemble::over;
use crate::contact::PATIENCE;
use crate::ensemble::Replaceable;
use crate::peers::join;
use crate::reread::{InUse, Reread};
use crate::summary::Summary;
use crate::watched::Looked;
use crate::webhook::Teller;
use crate::{Cli, LogFormat, ServeOptions, Settings, StartError, logging, notify, serve, tls};

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
    match timeout(PATIENCE, engine.forget_overruled_policies()).await {
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
