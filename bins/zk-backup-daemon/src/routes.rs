use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Payload, Query, QueryConfig, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, Route, guard};
use backup_engine::{CompareWith, Engine, EngineError, JobState, Page};
use eviction_policy::{Action, Decision};
use serde::Deserialize;
use serde_json::json;
use zk_snapshot::ZnodePath;

use crate::access;
use crate::answer::{ApiError, bare_id, no_backup};
use crate::body;

/// Every endpoint.
pub(crate) fn configure(config: &mut ServiceConfig) {
    config
        .app_data(
            QueryConfig::default().error_handler(|error, _| ApiError::invalid(error.to_string()).into()),
        )
        .service(endpoint("/backup", web::post().to(backup)))
        .service(endpoint("/restore", web::post().to(restore)))
        .service(endpoint("/evict", web::post().to(evict)))
        .service(endpoint("/evict/{id:.*}", web::post().to(evict_one)))
        .service(endpoint("/jobstatus/{id:.*}", read().to(job_status)))
        .service(endpoint("/listbackups", read().to(list)))
        .service(endpoint("/listbackups/{id}/znodes", read().to(znodes)).wrap(from_fn(access::check_always)))
        .service(endpoint("/listbackups/{id}/znode", read().to(znode)).wrap(from_fn(access::check_always)))
        .service(endpoint("/diff", read().to(diff)).wrap(from_fn(access::check_always)))
        .service(endpoint("/listbackups/{id:.*}", read().to(describe)))
        .service(endpoint("/health", read().to(health)))
        .service(endpoint("/health/live", read().to(live)))
        .service(endpoint("/health/ready", read().to(ready)))
        .service(endpoint("/health/prometheus", read().to(metrics)))
        .service(endpoint("/metrics", read().to(metrics)))
        .default_service(web::to(nothing_here));
}

/// A path with its one method; others are told so.
fn endpoint(path: &str, route: Route) -> Resource {
    web::resource(path)
        .route(route)
        .default_service(web::to(wrong_method))
}

/// GET, and HEAD, whose answer goes without the body.
fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn backup(engine: Data<Engine>, body: Payload) -> Result<HttpResponse, ApiError> {
    let id = engine.backup(body::backup(&body::read(body).await?)?).await?;
    Ok(bare_id(&id))
}

async fn restore(engine: Data<Engine>, body: Payload) -> Result<HttpResponse, ApiError> {
    let task = engine.restore(body::restore(&body::read(body).await?)?).await?;
    Ok(bare_id(&task))
}

#[derive(Debug, Deserialize)]
struct EvictQuery {
    dry_run: Option<String>,
    trust_clock: Option<String>,
}

async fn evict(engine: Data<Engine>, query: Query<EvictQuery>) -> Result<HttpResponse, ApiError> {
    let truth = |text: &String| {
        matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "1" | "t" | "y" | "yes"
        )
    };
    let dry_run = query.dry_run.as_ref().is_some_and(truth);
    let decisions = if query.trust_clock.as_ref().is_some_and(truth) {
        engine.evict_trusting_clock(dry_run).await?
    } else {
        engine.evict(dry_run).await?
    };
    if !dry_run {
        return Ok(HttpResponse::Ok().json("Ok"));
    }
    let line = |decision: &Decision| {
        let action = if decision.action == Action::Evict {
            "evict"
        } else {
            "keep"
        };
        json!({ "id": decision.id, "action": action, "reason": decision.reason })
    };
    Ok(HttpResponse::Ok().json(decisions.iter().map(line).collect::<Vec<_>>()))
}

async fn evict_one(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    match engine.evict_one(id).await {
        Ok(()) => Ok(HttpResponse::Ok().json(format!("Backup {id} successfully removed"))),
        Err(EngineError::BackupNotFound(_)) => Ok(no_backup(id)),
        Err(error) => Err(error.into()),
    }
}

async fn job_status(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    let Some(job) = engine.job(id).await? else {
        let id: String = id.chars().take(100).collect();
        return Ok(HttpResponse::NotFound().json(json!({ "message": format!("job {id} not found") })));
    };
    let status = match job.status {
        JobState::Successful => StatusCode::OK,
        JobState::Queued | JobState::Processing => StatusCode::PARTIAL_CONTENT,
        JobState::Failed | JobState::Canceled => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Ok(HttpResponse::build(status).json(job))
}

async fn list(engine: Data<Engine>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(engine.list().await?))
}

async fn describe(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    Ok(engine
        .describe(id)
        .await?
        .map_or_else(|| no_backup(id), |info| HttpResponse::Ok().json(info)))
}

/// The most znodes in one answer, and how many if nothing is said.
const MOST: usize = 100_000;
const USUAL: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZnodeQuery {
    path: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

fn page(offset: Option<usize>, limit: Option<usize>) -> Result<Page, ApiError> {
    let (offset, limit) = (offset.unwrap_or(0), limit.unwrap_or(USUAL));
    if limit > MOST {
        return Err(ApiError::invalid(format!("limit: at most {MOST}")));
    }
    Ok(Page { offset, limit })
}

fn path(text: &str) -> Result<ZnodePath, ApiError> {
    ZnodePath::parse(text).map_err(|error| ApiError::invalid(format!("path: {error}")))
}

async fn znodes(
    engine: Data<Engine>,
    request: HttpRequest,
    query: Query<ZnodeQuery>,
) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    let page = page(query.offset, query.limit)?;
    Ok(HttpResponse::Ok().json(engine.znodes(id, path(&query.path)?, page).await?))
}

async fn znode(
    engine: Data<Engine>,
    request: HttpRequest,
    query: Query<ZnodeQuery>,
) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    Ok(HttpResponse::Ok().json(engine.znode(id, path(&query.path)?).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiffQuery {
    from: String,
    to: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

async fn diff(engine: Data<Engine>, query: Query<DiffQuery>) -> Result<HttpResponse, ApiError> {
    let page = page(query.offset, query.limit)?;
    let to = match query.to.as_str() {
        "live" => CompareWith::Live,
        id => CompareWith::Backup(id.to_owned()),
    };
    Ok(HttpResponse::Ok().json(engine.compare(&query.from, to, page).await?))
}

async fn health(engine: Data<Engine>) -> HttpResponse {
    HttpResponse::Ok().json(engine.health().await)
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "UP" }))
}

async fn ready(engine: Data<Engine>) -> HttpResponse {
    let health = engine.health().await;
    if health.hindrances.is_empty() {
        return HttpResponse::Ok().json(json!({ "status": "UP" }));
    }
    HttpResponse::ServiceUnavailable().json(json!({ "status": "DOWN", "problems": health.hindrances }))
}

async fn metrics(engine: Data<Engine>) -> Result<HttpResponse, ApiError> {
    let text = engine.metrics().await?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text))
}

async fn wrong_method(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let message = format!("{} does not take {}", request.path(), request.method());
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Err(ApiError::new(status, "method_not_allowed", message))
}

async fn nothing_here(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let message = format!("{} is no endpoint for {}", request.path(), request.method());
    Err(ApiError::new(StatusCode::NOT_FOUND, "no_such_endpoint", message))
}
