//! The HTTP server itself: listeners, limits, and its end.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::Data;
use actix_web::{App, Error};
use actix_web_httpauth::extractors::basic;
use backup_engine::{Engine, Leadership as _};
use tokio::sync::watch;

use crate::access::{self, Access, REALM};
use crate::connections::{self, Connections};
use crate::listening;
use crate::origins::ListensAt;
use crate::peers::{self, Peers};
use crate::reread::Reread;
use crate::routes::{self, Listeners, Outside};

/// How to serve.
#[derive(Debug)]
pub struct ServeOptions {
    /// Who may do what.
    pub access: Access,
    /// Serve HTTPS with this, instead of HTTP.
    pub tls: Option<rustls::ServerConfig>,
    /// How long a running job has to end after the shutdown began.
    pub grace: Duration,
    /// The servers that share the bucket with this one, if there are others.
    pub peers: Option<Peers>,
    /// How long a client may take nothing of its answer. Its connection is closed after twice that time at the latest.
    pub patience: Duration,
    /// A directory where uploaded backups are kept while they are checked. They have no name there.
    pub upload_directory: PathBuf,
    /// The most bytes of a backup that is taken in.
    pub upload_limit: u64,
    /// The directory below which `externalBackupPath` names backups; without one there are none.
    pub external_root: Option<PathBuf>,
    /// Whether the web page is served at `/ui/`.
    pub ui: bool,
    /// What came of reading secrets again, for `/health`.
    pub reread: Reread,
}

impl ServeOptions {
    /// HTTP with the web page, 30 seconds for a running job, and 20 for a client; uploads of 16 GiB at most, in the directory for temporary files.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self {
            access,
            tls: None,
            peers: None,
            grace: Duration::from_secs(30),
            patience: Duration::from_secs(20),
            upload_directory: std::env::temp_dir(),
            upload_limit: 16 << 30,
            external_root: None,
            ui: true,
            reread: Reread::default(),
        }
    }
}

/// Serves the REST API on `listener` and does the engine's jobs until `shutdown` is ready.
///
/// Then no new request is taken, and a running job has the grace to end. One that has not ended by then is given up, as [`Engine::run`] says:
/// it ends where it next looks whether it may go on, has the storage until then, and is told as interrupted when the engine is built again.
///
/// Of several servers the one that leads gives the lead away at the end. Where a job was given up, what it had begun to write may still be under way: the others wait
/// until the lease has run out.
///
/// Where the future is dropped, the listener is closed, whatever is asked just then may have no answer, and a running job is given up at once. Of several servers
/// the others wait until the lease of this one has run out.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Connections::new();
    let (stop, stopped) = watch::channel(false);
    let listeners = Listeners::new(stopped.clone());
    let server = http_server(listener, &engine, &options, (&connections, listeners))?;
    let ServeOptions {
        peers,
        grace,
        patience,
        ..
    } = options;
    let handle = server.handle();
    let control = async {
        tokio::select! {
            () = shutdown => {}
            () = is_set(stopped.clone()) => {}
        }
        stop.send_replace(true);
        handle.stop(true).await;
    };
    let serving = async {
        let outcome = server.await;
        stop.send_replace(true);
        outcome
    };
    let working = work(&engine, &stopped, grace);
    let keeping = async {
        match &peers {
            Some(peers) => peers.keep().await,
            None => std::future::pending().await,
        }
    };
    let (served, has_ended) = tokio::select! {
        (served, (), has_ended) = async { tokio::join!(serving, control, working) } => (served, has_ended),
        () = give_up_clients(&connections, patience) => (Ok(()), false),
        () = keeping => (Ok(()), false),
    };
    if let Some(peers) = peers.as_ref().filter(|_| has_ended) {
        peers.lease.release().await;
    }
    served
}

/// What answers requests, until it is told to stop.
fn http_server(
    listener: TcpListener,
    engine: &Engine,
    options: &ServeOptions,
    (connections, listeners): (&Arc<Connections>, Listeners),
) -> io::Result<Server> {
    let outside = Outside {
        spool: options.upload_directory.clone(),
        limit: options.upload_limit,
        external: options.external_root.clone(),
    };
    let (engine, access, peers) = (engine.clone(), options.access.clone(), options.peers.clone());
    let (ui, reread) = (options.ui, options.reread.clone());
    let address = listener.local_addr()?;
    let app = move || {
        App::new()
            .app_data(Data::new(engine.clone()))
            .app_data(Data::new(access.clone()))
            .app_data(Data::new(outside.clone()))
            .app_data(Data::new(peers.clone()))
            .app_data(Data::new(reread.clone()))
            .app_data(Data::new(listeners.clone()))
            .app_data(ListensAt(address))
            .app_data(basic::Config::default().realm(REALM))
            // What is wrapped around it last comes first: who is refused here takes nobody's place.
            .wrap(from_fn(peers::hand_on))
            .wrap(from_fn(connections::count))
            .wrap(from_fn(access::check))
            .wrap(from_fn(log_request))
            .configure(|config| routes::configure(config, ui))
    };
    let (connections, patience) = (Arc::clone(connections), options.patience);
    listening::listen(listener, options.tls.clone(), connections, patience, app)
}

async fn is_set(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Does the engine's jobs until it is `stopped`, and waits for the running one as long as `grace`. Whether it has ended.
async fn work(engine: &Engine, stopped: &watch::Receiver<bool>, grace: Duration) -> bool {
    let out_of_patience = async {
        is_set(stopped.clone()).await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        () = engine.run(is_set(stopped.clone())) => true,
        // Which is given up, as the other is dropped.
        () = out_of_patience => {
            log::warn!("a job did not end in time and is left interrupted");
            false
        }
    }
}

/// Closes connections of clients that took nothing of their answers for as long as `patience`. It never ends.
async fn give_up_clients(connections: &Connections, patience: Duration) {
    loop {
        let begun = Instant::now();
        tokio::time::sleep(patience).await;
        // Where the whole process was stopped meanwhile nobody could take anything.
        connections.look(begun.elapsed() < patience * 2);
    }
}

/// One line for each request: no header, no query, no body, so no secret.
async fn log_request(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let peer = request
        .peer_addr()
        .map_or_else(|| "-".to_owned(), |peer| peer.ip().to_string());
    let (method, path) = (
        request.method().clone(),
        request.path().escape_debug().to_string(),
    );
    let path: String = path.chars().take(200).collect();
    let outcome = next.call(request).await;
    let status = match &outcome {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    // What monitors, whoever waits for a job, and an open page ask again and again is no story.
    let is_asked_again = access::is_health(&path)
        || path.starts_with("/jobstatus/")
        || matches!(&*path, "/jobs" | "/listbackups");
    let polls = matches!(method, Method::GET | Method::HEAD) && is_asked_again;
    let level = if polls {
        log::Level::Debug
    } else {
        log::Level::Info
    };
    log::log!(
        level,
        "{peer} {method} {path} {} {}ms",
        status.as_u16(),
        started.elapsed().as_millis()
    );
    outcome
}
