//! Backups as a whole: which there are, what is removed, and what stays.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use backup_engine::{Engine, EngineError};

use crate::answer::{ApiError, no_backup};
use crate::api;
use crate::body;
use crate::query::Asked;

pub(super) const EVICT: &[&str] = &["dry_run", "trust_clock"];
pub(super) const EVICT_ONE: &[&str] = &["dry_run"];

pub(super) async fn list(engine: Data<Engine>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(engine.list().await?))
}

pub(super) async fn describe(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    Ok(engine.describe(id).await?.map_or_else(
        || no_backup(id),
        |info| HttpResponse::Ok().json(api::Backup::from(info)),
    ))
}

/// Whether a change is only to be told: in the query or in the body, so that it is found wherever it is looked for.
async fn dry_run(request: &HttpRequest, body: Payload) -> Result<bool, ApiError> {
    let in_query = Asked::of(request, EVICT)?.truth("dry_run")?;
    let in_body = body::evict(&body::read(body).await?)?;
    Ok(body::once("dry_run", in_query, in_body)?.unwrap_or(false))
}

pub(super) async fn evict(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
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

pub(super) async fn evict_one(
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

pub(super) async fn pin(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    change_pin(&engine, &request, body, true).await
}

pub(super) async fn unpin(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
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
