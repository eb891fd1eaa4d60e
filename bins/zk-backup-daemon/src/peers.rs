//! Several servers over one bucket: joining them, and handing on what only the leader does.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use actix_web::middleware::Next;
use actix_web::web::{Data, Payload};
use actix_web::{Error, HttpRequest, HttpResponse, ResponseError as _};
use backup_engine::{EngineBuilder, EngineError, LeaderLease};
use futures::StreamExt as _;
use job_queue::{JobStore as _, ObjectJobs, QueueError};
use reqwest::redirect::Policy;
use reqwest::{Body, Certificate, Client, Url};
use tokio::sync::mpsc;
use vault_store::ObjectVaults;

use crate::answer::ApiError;
use crate::body;
use crate::bucket::{self, BucketConfig, Purpose};
use crate::contact::{PATIENCE, in_time, shown};
use crate::{Ha, Settings, SettingsError, StartError};

/// Says that another server has handed the request on: it goes no further.
const HANDED_ON: &str = "x-zk-backup-handed-on";
/// From which address the request came to that server.
const CLIENT: &str = "x-zk-backup-client";
/// So long the leader has for its answer, and to take the connection.
const ANSWER: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(3);
/// The one body that is longer than those that are taken in whole, and so long the leader has for it: whether it goes on coming is for the leader to see.
const UPLOAD: &str = "/restore/backup";
const UPLOADED: Duration = Duration::from_secs(6 * 3_600);
/// So many pieces of it wait for the leader.
const AHEAD: usize = 4;
/// A request to the bucket that fails is sent again for so long; what waits for it has pauses and deadlines of its own.
const RETRIES: Duration = Duration::from_secs(5);
/// A bucket that cannot be written is tried again so soon.
const AGAIN: Duration = Duration::from_secs(2);
/// By then there usually is a leader, in seconds.
const SOON: HeaderValue = HeaderValue::from_static("5");

/// The servers that share a bucket, as one of them knows them. Clones know the same.
#[derive(Debug, Clone)]
pub struct Peers {
    pub(crate) lease: Arc<LeaderLease>,
    bucket: Arc<Bucket>,
    client: Arc<RwLock<Client>>,
}

/// Where the lease is.
#[derive(Debug)]
struct Bucket {
    config: BucketConfig,
    vaults: ObjectVaults,
}

/// Makes the engine one of those that share the bucket, if `settings` say that there are several. `listens` is the address of this server; what
/// it is to know of the others is for [`ServeOptions::peers`](crate::ServeOptions::peers). Where the bucket is away it is a standby until that is back.
///
/// # Errors
/// [`StartError`]: also where what an earlier server on this storage left unfinished has to be noted in the bucket, and cannot be.
pub fn join(
    builder: EngineBuilder,
    settings: &Settings,
    listens: SocketAddr,
) -> Result<(EngineBuilder, Option<Peers>), StartError> {
    let Some((ha, config)) = settings.ha.as_ref().zip(settings.bucket.as_ref()) else {
        return Ok((builder, None));
    };
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let port = listens.port();
    let name = ha.name.clone().unwrap_or_else(|| format!("{host}:{port}"));
    let address = ha.address.clone().unwrap_or_else(|| {
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        match listens.ip().is_unspecified() {
            true => format!("{scheme}://{host}:{port}"),
            false => format!("{scheme}://{listens}"),
        }
    });
    let config = config.clone().retrying_for(RETRIES);
    let objects = config.objects().map_err(EngineError::from)?;
    let vaults = config.vaults().map_err(EngineError::from)?;
    let zookeeper = &settings.zookeeper;
    let deadline = zookeeper.lands_within.unwrap_or(zookeeper.deadline);
    let timing = ha.timing;
    let known_by = (&*name, &*address);
    let lease = LeaderLease::new(Arc::clone(&objects), config.prefix(), known_by, timing, deadline);
    let lease = Arc::new(lease);
    let jobs = Arc::new(ObjectJobs::unread(&objects, config.prefix()).map_err(EngineError::from)?);
    look_at(&jobs)?;
    log::info!("{name} is one of several servers, and is reached at {address}");
    let client = Arc::new(RwLock::new(client(ha, settings.tls.as_deref())?));
    let builder = builder
        .shared_jobs(jobs)?
        .leadership(Arc::clone(&lease) as _)
        // Another one each time: what an earlier process was doing is failed by whoever leads.
        .worker(format!("{name}/{}", uuid::Uuid::new_v4()))
        .renewal(timing.renew_every, timing.ttl);
    let bucket = Arc::new(Bucket { config, vaults });
    let peers = Peers {
        lease,
        bucket,
        client,
    };
    Ok((builder, Some(peers)))
}

/// Jobs of a later program stop the start. Those that cannot be read just now do not.
fn look_at(jobs: &Arc<ObjectJobs>) -> Result<(), EngineError> {
    let asked = Arc::clone(jobs);
    match in_time(move || asked.counts()) {
        Some(Ok(_)) => {}
        Some(Err(error @ QueueError::Newer(_))) => return Err(error.into()),
        Some(Err(error)) => log::warn!("jobs cannot be read: {error}"),
        None => log::warn!("jobs cannot be read within {:?}", PATIENCE),
    }
    Ok(())
}

/// What asks the leader: it trusts what `ha` names, or else what this server shows itself, as these files are now.
pub(crate) fn client(ha: &Ha, own: Option<&Path>) -> Result<Client, SettingsError> {
    let wrong = |why: &dyn std::fmt::Display| SettingsError::new(format!("HA_CA_FILE: {why}"));
    let read = |file: &Path| {
        let shown = |why: &dyn std::fmt::Display| wrong(&format!("{}: {why}", file.display()));
        let bytes = fs::read(file).map_err(|error| shown(&error))?;
        let found = Certificate::from_pem_bundle(&bytes).map_err(|error| shown(&error))?;
        match found.is_empty() {
            true => Err(shown(&"there is no certificate in it")),
            false => Ok(found),
        }
    };
    let client = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        // Each thread of the server has a runtime of its own, and connections belong to one.
        .pool_max_idle_per_host(0);
    let client = match (ha.ca.as_deref(), own) {
        (Some(ca), _) => client.tls_certs_only(read(ca)?),
        (None, Some(own)) => client.tls_certs_merge(read(&own.join("tls.crt"))?),
        // Nothing is signed, and the machine may have no certificates.
        (None, None) => client.tls_certs_only([]),
    };
    client.build().map_err(|error| wrong(&error))
}

/// Hands what may change something to the leader, unless that is this one.
pub(crate) async fn hand_on<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let peers = request.app_data::<Data<Option<Peers>>>().cloned();
    let peers = peers.as_ref().and_then(|peers| peers.as_ref().as_ref());
    let Some(peers) = peers.filter(|peers| !request.method().is_safe() && !peers.lease.is_held()) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    let payload = request.extract::<Payload>().await?;
    let answer = match peers.ask_leader(&request, payload).await {
        Ok(answer) => answer,
        Err(refusal) => {
            let mut answer = refusal.error_response();
            answer.headers_mut().insert(RETRY_AFTER, SOON);
            answer
        }
    };
    Ok(request.into_response(answer).map_into_right_body())
}

/// The client of the server that has handed a request on, as that server says; `None` where none has, or there are no others.
pub(crate) fn first_asked(request: &HttpRequest) -> Option<IpAddr> {
    request.app_data::<Data<Option<Peers>>>()?.as_ref().as_ref()?;
    let headers = request.headers();
    headers.get(HANDED_ON)?;
    headers.get(CLIENT)?.to_str().ok()?.parse().ok()
}

impl Peers {
    /// Takes the lease when it is free, once the bucket has shown that it knows the conditions that the lease depends on, and keeps it. Never ends.
    pub(crate) async fn keep(&self) {
        while !self.bucket.knows_conditions().await {
            self.lease.look().await;
            tokio::time::sleep(AGAIN).await;
        }
        self.lease.keep().await;
    }

    /// Asks the leader by another client from now on.
    pub(crate) fn replace(&self, client: Client) {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
    }

    fn client(&self) -> Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn ask_leader(&self, request: &ServiceRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
        let leader = match self.lease.leader() {
            _ if request.headers().contains_key(HANDED_ON) => None,
            // There may be one since the last look.
            None => self.lease.look().await,
            known => known,
        };
        let leader = leader.ok_or_else(|| no_leader("no server leads just now"))?;
        let asked = request.uri().path_and_query();
        let asked = asked.map_or(request.path(), |asked| asked.as_str());
        let url = Url::parse(&format!("{}{asked}", leader.address))
            .map_err(|error| no_leader(format!("the leader {} cannot be asked: {error}", leader.name)))?;
        // A URL takes `..` for a step up, also in percent, and `\` for a slash: the leader would be asked for another endpoint.
        if url.path() != request.path() {
            return Ok(ApiError::no_such_endpoint(request.path(), request.method()).error_response());
        }
        let is_upload = request.path() == UPLOAD;
        let (body, patience) = match is_upload {
            true => (in_pieces(payload), UPLOADED),
            false => (Body::from(body::read(payload).await?), ANSWER),
        };
        let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())
            .map_err(|error| ApiError::invalid(error.to_string()))?;
        let mut handed_on = self
            .client()
            .request(method, url)
            .header(HANDED_ON, "1")
            .timeout(patience)
            .body(body);
        if let Some(client) = request.peer_addr() {
            handed_on = handed_on.header(CLIENT, client.ip().to_string());
        }
        let length = is_upload.then_some(CONTENT_LENGTH);
        for name in [AUTHORIZATION, CONTENT_TYPE].into_iter().chain(length) {
            if let Some(value) = request.headers().get(&name) {
                handed_on = handed_on.header(name.as_str(), value.as_bytes());
            }
        }
        let answer = match handed_on.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => {
                let why = format!("the leader {} cannot be reached: {}", leader.name, shown(error));
                return Err(no_leader(why));
            }
            Err(error) => return Err(unanswered(&leader.name, &shown(error))),
        };
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut headers = HeaderMap::new();
        for name in [ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE] {
            let value = answer.headers().get(name.as_str());
            if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()) {
                headers.insert(name, value);
            }
        }
        let bytes = answer.bytes().await;
        let bytes = bytes.map_err(|error| unanswered(&leader.name, &shown(error)))?;
        let mut passed_on = HttpResponse::build(status).body(bytes);
        for (name, value) in headers {
            passed_on.headers_mut().insert(name, value);
        }
        Ok(passed_on)
    }
}

/// A body that is passed on as it comes.
fn in_pieces(mut payload: Payload) -> Body {
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    // A payload stays on the thread of its connection.
    actix_web::rt::spawn(async move {
        while let Some(piece) = payload.next().await {
            let piece = piece.map_err(io::Error::other);
            let is_last = piece.is_err();
            if sender.send(piece).await.is_err() || is_last {
                return;
            }
        }
    });
    Body::wrap_stream(futures::stream::poll_fn(move |context| {
        receiver.poll_recv(context)
    }))
}

impl Bucket {
    async fn knows_conditions(self: &Arc<Self>) -> bool {
        let asked = Arc::clone(self);
        match tokio::task::spawn_blocking(move || asked.vaults.ignored_condition(true)).await {
            Ok(Ok(None)) => return true,
            Ok(Ok(Some(condition))) => {
                let why = bucket::ignores(&self.config, Purpose::Sharing, condition);
                log::error!("this server does not lead: {why}");
            }
            Ok(Err(error)) => {
                log::warn!("this server does not lead yet: the bucket cannot be tried: {error}");
            }
            Err(error) => log::error!("this server does not lead yet: {error}"),
        }
        false
    }
}

fn no_leader(why: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "no_leader", why)
}

fn unanswered(leader: &str, why: &str) -> ApiError {
    let why = format!("the leader {leader} has not answered, and may have done it all the same: {why}");
    ApiError::new(StatusCode::BAD_GATEWAY, "leader_silent", why)
}
