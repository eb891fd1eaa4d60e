//! What each path and method does.

use actix_web::body::MessageBody;
use actix_web::dev::{HttpServiceFactory, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, ContentType};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse, Resource, Route, guard};
use backup_engine::{
    CompareWith, Engine, EngineError, JobState, Page, RestoreTestPlace, RestoreTestRequest, Share,
    VerifyRequest, plain,
};
use health_metrics::Problem;
use serde_json::json;
use zk_snapshot::tree::ZnodePath;

use crate::access;
use crate::answer::{ApiError, ErrorBody, bare_id, no_backup};
use crate::api;
use crate::body;
use crate::caller;
use crate::query::{self, Asked};
use crate::reread::Reread;

mod archives;
mod events;
mod external;
mod find;
mod links;
mod openapi;
mod policies;
mod raw;
mod root;
mod ui;
mod v1;

pub(crate) use self::archives::Outside;
pub(crate) use self::events::Listeners;

/// What stands for ZooKeeper as it is now, where a backup is named.
const LIVE: &str = "live";

const NONE: &[&str] = &[];
const PAGE: &[&str] = &["offset", "limit"];
const EVICT: &[&str] = &["dry_run", "trust_clock"];
const EVICT_ONE: &[&str] = &["dry_run"];
const ZNODE: &[&str] = &["path"];
const ZNODES: &[&str] = &["path", "offset", "limit"];
const VERIFY: &[&str] = &["share"];
const RESTORE_TEST: &[&str] = &["in"];
const DIFF: &[&str] = &["from", "to", "offset", "limit"];

/// Every endpoint, with the keys that its query may have, and the web page and the description of the API if they are wanted.
pub(crate) fn configure(config: &mut ServiceConfig, with_ui: bool) {
    if with_ui {
        ui::configure(config);
        openapi::configure(config);
    }
    config
        .service(endpoint("/backup", NONE, web::post().to(backup)))
        .service(whole("/backup/s3/{id:.*}", links::KEYS, read().to(links::links)))
        .service(whole("/backup/{id}", NONE, read().to(archives::download)))
        .service(data(
            "/restore/backup",
            archives::KEYS,
            web::post().to(archives::upload),
        ))
        .service(endpoint(
            "/external/restore",
            NONE,
            web::post().to(external::external),
        ))
        .service(web::scope("/incremental").default_service(web::to(external::incremental)))
        .service(endpoint("/restore", NONE, web::post().to(restore)))
        .service(endpoint("/verify", VERIFY, web::post().to(verify)))
        .service(endpoint("/verify/{id:.*}", NONE, web::post().to(verify_one)))
        .service(endpoint(
            "/restoretest/{id:.*}",
            RESTORE_TEST,
            web::post().to(restore_test),
        ))
        .service(endpoint("/evict", EVICT, web::post().to(evict)))
        .service(endpoint("/evict/{id:.*}", EVICT_ONE, web::post().to(evict_one)))
        .service(endpoint("/terminate/{id:.*}", NONE, web::post().to(terminate)))
        .service(endpoint("/jobstatus/{id:.*}", NONE, read().to(job_status)))
        .service(endpoint("/api/v1/backup", NONE, web::post().to(v1::backup)))
        .service(resource(
            "/api/v1/backup/{id}",
            v1::BLOB,
            [read().to(v1::backup_status), web::delete().to(v1::remove)],
        ))
        .service(resource(
            "/api/v1/restore/{id}",
            v1::BLOB,
            [
                web::post().to(v1::restore),
                read().to(v1::restore_status),
                web::delete().to(v1::forget),
            ],
        ))
        .service(endpoint("/jobs", PAGE, read().to(jobs)))
        .service(data("/events", NONE, read().to(events::events)))
        .service(
            resource("/find", find::KEYS, [read().to(find::by_znode)])
                .guard(guard::fn_guard(find::asks_for_znode))
                .wrap(from_fn(access::check_always)),
        )
        .service(endpoint("/find", find::KEYS, read().to(find::by_time)))
        .service(endpoint("/", NONE, read().to(root::places)))
        .service(resource(
            "/evictionpolicy",
            policies::KEYS,
            [web::post().to(policies::change), read().to(policies::told)],
        ))
        .service(endpoint("/listbackups/{id}/pin", NONE, web::post().to(pin)))
        .service(endpoint("/listbackups/{id}/unpin", NONE, web::post().to(unpin)))
        .service(endpoint("/listbackups", NONE, read().to(list)))
        .service(data("/listbackups/{id}/znodes", ZNODES, read().to(znodes)))
        .service(data("/listbackups/{id}/znode", ZNODE, read().to(znode)))
        .service(data("/listbackups/{id}/log", NONE, read().to(log)))
        .service(data("/history", ZNODES, read().to(history)))
        .service(data("/diff", DIFF, read().to(diff)))
        .service(endpoint("/listbackups/{id:.*}", NONE, read().to(describe)))
        .service(endpoint("/health", NONE, read().to(health)))
        .service(endpoint("/health/live", NONE, read().to(live)))
        .service(endpoint("/health/ready", NONE, read().to(ready)))
        .service(endpoint("/health/prometheus", NONE, read().to(metrics)))
        .service(endpoint("/metrics", NONE, read().to(metrics)))
        .default_service(web::to(nothing_here));
}

/// A path with its one method; others are told so.
fn endpoint(path: &'static str, allowed: &'static [&'static str], route: Route) -> impl HttpServiceFactory {
    resource(path, allowed, [route])
}

/// The same for what hands out data.
fn data(path: &'static str, allowed: &'static [&'static str], route: Route) -> impl HttpServiceFactory {
    // What is wrapped around it last is asked first.
    resource(path, allowed, [route]).wrap(from_fn(access::check_always))
}

/// The same for what takes a whole backup away.
fn whole(path: &'static str, allowed: &'static [&'static str], route: Route) -> impl HttpServiceFactory {
    resource(path, allowed, [route])
        .wrap(from_fn(access::check_operator))
        .wrap(from_fn(access::check_always))
}

fn resource(
    path: &'static str,
    allowed: &'static [&'static str],
    routes: impl IntoIterator<Item = Route>,
) -> Resource<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let methods = routes.into_iter();
    methods
        .fold(web::resource(path), Resource::route)
        .default_service(web::to(wrong_method))
        .wrap(from_fn(move |request, next| query::check(allowed, request, next)))
}

/// GET, and HEAD, whose answer goes without the body.
fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn backup(engine: Data<Engine>, request: HttpRequest, body: Payload) -> Result<HttpResponse, ApiError> {
    let asked = body::backup(&body::read(body).await?)?;
    let id = engine.backup_labelled(asked, caller::label(&request)).await?;
    Ok(bare_id(&id))
}

async fn restore(
    engine: Data<Engine>,
    outside: Data<Outside>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    let task = match body::restore(&body::read(body).await?)? {
        (asked, None) => engine.restore_labelled(asked, caller::label(&request)).await?,
        (asked, Some(path)) => {
            external::restore(&engine, &outside, &path, asked, caller::label(&request)).await?
        }
    };
    Ok(bare_id(&task))
}

async fn verify(engine: Data<Engine>, request: HttpRequest, body: Payload) -> Result<HttpResponse, ApiError> {
    let in_query = Asked::of(&request, VERIFY)?.text("share").map(str::to_owned);
    let in_body = body::verify(&body::read(body).await?)?;
    let share = match body::once("share", in_query, in_body)? {
        None => Share::ALL,
        Some(text) => text
            .parse()
            .map_err(|error| ApiError::invalid(format!("share: {error}")))?,
    };
    let asked = VerifyRequest { vault: None, share };
    let task = engine.verify_labelled(asked, caller::label(&request)).await?;
    Ok(bare_id(&task))
}

async fn verify_one(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    body::nothing(&body::read(body).await?)?;
    let id = request.match_info().query("id");
    let asked = VerifyRequest {
        vault: Some(id.to_owned()),
        ..VerifyRequest::default()
    };
    match engine.verify_labelled(asked, caller::label(&request)).await {
        Ok(task) => Ok(bare_id(&task)),
        Err(EngineError::BackupNotFound(_)) => Ok(no_backup(id)),
        Err(error) => Err(error.into()),
    }
}

async fn restore_test(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    body::nothing(&body::read(body).await?)?;
    let id = request.match_info().query("id");
    let place = match Asked::of(&request, RESTORE_TEST)?.text("in") {
        None => None,
        Some("memory") => Some(RestoreTestPlace::Memory),
        Some("ensemble") => Some(RestoreTestPlace::Ensemble),
        Some(other) => {
            let message = format!("in: {other:?} is not one of memory, ensemble");
            return Err(ApiError::invalid(message));
        }
    };
    let (by, vault) = (plain(&caller::user(&request)), id.to_owned());
    let asked = RestoreTestRequest { vault, place, by };
    match engine.restore_test_labelled(asked, caller::label(&request)).await {
        Ok(task) => Ok(bare_id(&task)),
        Err(EngineError::BackupNotFound(_)) => Ok(no_backup(id)),
        Err(error) => Err(error.into()),
    }
}

/// Whether a change is only to be told: in the query or in the body, so that it is found wherever it is looked for.
async fn dry_run(request: &HttpRequest, body: Payload) -> Result<bool, ApiError> {
    let in_query = Asked::of(request, EVICT)?.truth("dry_run")?;
    let in_body = body::evict(&body::read(body).await?)?;
    Ok(body::once("dry_run", in_query, in_body)?.unwrap_or(false))
}

async fn evict(engine: Data<Engine>, request: HttpRequest, body: Payload) -> Result<HttpResponse, ApiError> {
    let dry_run = dry_run(&request, body).await?;
    let trusts = Asked::of(&request, EVICT)?.truth("trust_clock")?;
    let decisions = match trusts {
        Some(true) => engine.evict_trusting_clock(dry_run).await?,
        _ => engine.evict(dry_run).await?,
    };
    if !dry_run {
        return Ok(HttpResponse::Ok().json("Ok"));
    }
    let evictions: Vec<_> = decisions.into_iter().map(api::Eviction::from).collect();
    Ok(HttpResponse::Ok().json(evictions))
}

async fn evict_one(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    if dry_run(&request, body).await? {
        return match engine.would_evict_one(id).await {
            Ok(decision) => Ok(HttpResponse::Ok().json([api::Eviction::from(decision)])),
            Err(EngineError::BackupNotFound(_)) => Ok(no_backup(id)),
            Err(error) => Err(error.into()),
        };
    }
    match engine.evict_one(id).await {
        Ok(()) => Ok(HttpResponse::Ok().json(format!("Backup {id} successfully removed"))),
        Err(EngineError::BackupNotFound(_)) => Ok(no_backup(id)),
        Err(error) => Err(error.into()),
    }
}

async fn terminate(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    let state = engine.cancel(id).await.map_err(|error| match error {
        EngineError::JobNotFound(id) => EngineError::JobNotFound(id.chars().take(100).collect()),
        error => error,
    })?;
    Ok(HttpResponse::Ok().json(api::Terminated::new(id, state)))
}

async fn job_status(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    let Some(job) = engine.job(id).await? else {
        let id: String = id.chars().take(100).collect();
        return Ok(HttpResponse::NotFound()
            .json(json!({ "message": format!("job {id} not found"), "code": "job_not_found" })));
    };
    let status = match job.status {
        JobState::Successful => StatusCode::OK,
        JobState::Queued | JobState::Processing => StatusCode::PARTIAL_CONTENT,
        JobState::Failed | JobState::Canceled => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Ok(HttpResponse::build(status).json(api::Job::from(job)))
}

async fn list(engine: Data<Engine>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(engine.list().await?))
}

async fn describe(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    Ok(engine.describe(id).await?.map_or_else(
        || no_backup(id),
        |info| HttpResponse::Ok().json(api::Backup::from(info)),
    ))
}

async fn jobs(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let page = page_of(&Asked::of(&request, PAGE)?, 100, 1_000)?;
    Ok(HttpResponse::Ok().json(api::Jobs::from(engine.jobs(page).await?)))
}

async fn pin(engine: Data<Engine>, request: HttpRequest, body: Payload) -> Result<HttpResponse, ApiError> {
    change_pin(&engine, &request, body, true).await
}

async fn unpin(engine: Data<Engine>, request: HttpRequest, body: Payload) -> Result<HttpResponse, ApiError> {
    change_pin(&engine, &request, body, false).await
}

async fn change_pin(
    engine: &Engine,
    request: &HttpRequest,
    body: Payload,
    pinned: bool,
) -> Result<HttpResponse, ApiError> {
    body::nothing(&body::read(body).await?)?;
    let id = request.match_info().query("id");
    match engine.pin(id, pinned).await {
        Ok(info) => Ok(HttpResponse::Ok().json(api::Backup::from(info))),
        Err(EngineError::BackupNotFound(_)) => Ok(no_backup(id)),
        Err(error) => Err(error.into()),
    }
}

/// The most znodes in one answer, and how many if nothing is said.
const MOST: usize = 100_000;
const USUAL: usize = 1_000;

fn page(query: &Asked) -> Result<Page, ApiError> {
    page_of(query, USUAL, MOST)
}

fn page_of(query: &Asked, usual: usize, most: usize) -> Result<Page, ApiError> {
    let (offset, limit) = (query.number("offset")?, query.number("limit")?);
    let (offset, limit) = (offset.unwrap_or(0), limit.unwrap_or(usual));
    if limit > most {
        return Err(ApiError::invalid(format!("limit: at most {most}")));
    }
    Ok(Page { offset, limit })
}

fn path(query: &Asked) -> Result<ZnodePath, ApiError> {
    ZnodePath::parse(query.needed("path")?).map_err(|error| ApiError::invalid(format!("path: {error}")))
}

async fn znodes(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let (id, query) = (request.match_info().query("id"), Asked::of(&request, ZNODES)?);
    let found = engine.znodes(id, path(&query)?, page(&query)?).await?;
    Ok(HttpResponse::Ok().json(api::Znodes::from(found)))
}

async fn znode(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let (id, query) = (request.match_info().query("id"), Asked::of(&request, ZNODE)?);
    let found = match id {
        LIVE => engine.live_znode(path(&query)?).await?,
        id => engine.znode(id, path(&query)?).await?,
    };
    if raw::is_asked_for(&request) {
        return raw::answer(found);
    }
    Ok(HttpResponse::Ok().json(api::Znode::from(found)))
}

async fn log(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    match engine.log(id).await {
        Ok(text) => Ok(HttpResponse::Ok()
            .content_type(ContentType::plaintext())
            .insert_header(("X-Content-Type-Options", "nosniff"))
            .body(text)),
        Err(EngineError::BackupNotFound(_)) => Ok(no_backup(id)),
        Err(error) => Err(error.into()),
    }
}

async fn history(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let query = Asked::of(&request, ZNODES)?;
    let found = engine.history(path(&query)?, page_of(&query, 20, 100)?).await?;
    Ok(HttpResponse::Ok().json(api::History::from(found)))
}

async fn diff(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let query = Asked::of(&request, DIFF)?;
    let (from, to) = (query.needed("from")?, query.needed("to")?);
    let to = match to {
        LIVE => CompareWith::Live,
        id => CompareWith::Backup(id.to_owned()),
    };
    let found = engine.compare(from, to, page(&query)?).await?;
    Ok(HttpResponse::Ok().json(api::Diff::from(found)))
}

async fn health(engine: Data<Engine>, reread: Data<Reread>) -> HttpResponse {
    let mut health = engine.health().await;
    health
        .problems
        .extend(reread.trouble().map(Problem::NotReadAgain));
    HttpResponse::Ok().json(api::Health::from(health))
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(api::Live::new())
}

async fn ready(engine: Data<Engine>) -> HttpResponse {
    let ready = api::Ready::from(&engine.health().await);
    let status = if ready.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    HttpResponse::build(status).json(ready)
}

async fn metrics(engine: Data<Engine>) -> Result<HttpResponse, ApiError> {
    let text = engine.metrics().await?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text))
}

async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let message = format!("{} does not take {}", request.path(), request.method());
    let pattern = request.match_pattern().unwrap_or_default();
    HttpResponse::MethodNotAllowed()
        .insert_header((ALLOW, crate::openapi::allowed(&pattern)))
        .json(ErrorBody::new("method_not_allowed", &message))
}

async fn nothing_here(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let message = format!("{} is no endpoint for {}", request.path(), request.method());
    Err(ApiError::new(StatusCode::NOT_FOUND, "no_such_endpoint", message))
}
