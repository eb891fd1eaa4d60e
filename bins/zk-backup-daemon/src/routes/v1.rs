//! `/api/v1`, the API of the predecessor's Go version.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use backup_engine::{Engine, EngineError, JobKind, JobState};

use crate::answer::ApiError;
use crate::query::Asked;
use crate::{api, body, caller};

/// What the query of a removal may have.
pub(super) const BLOB: &[&str] = &["blobPath"];

pub(super) async fn backup(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    let (asked, mut labels) = body::v1::backup(&body::read(body).await?, &engine.storages())?;
    labels.extend(caller::label(&request));
    let id = engine.backup_labelled(asked, labels).await?;
    job(&engine, &id, JobKind::Backup).await
}

pub(super) async fn restore(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    Asked::of(&request, &[])?;
    let id = request.match_info().query("id");
    let (asked, mut labels) = body::v1::restore(id, &body::read(body).await?, &engine.storages())?;
    labels.extend(caller::label(&request));
    let task = engine.restore_labelled(asked, labels).await?;
    job(&engine, &task, JobKind::Restore).await
}

pub(super) async fn backup_status(
    engine: Data<Engine>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    job(&engine, request.match_info().query("id"), JobKind::Backup).await
}

pub(super) async fn restore_status(
    engine: Data<Engine>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    job(&engine, request.match_info().query("id"), JobKind::Restore).await
}

/// Answers as if the record of a restore were gone. It goes with those of other jobs, when they are too many: until then it tells what was
/// changed.
pub(super) async fn forget(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    body::nothing(&body::read(body).await?)?;
    let id = request.match_info().query("id");
    let asked = Asked::of(&request, BLOB)?;
    let job = engine.job(id).await?.filter(|job| job.kind == JobKind::Restore);
    let Some(job) = job else {
        return Err(EngineError::JobNotFound(id.chars().take(100).collect()).into());
    };
    if matches!(job.status, JobState::Queued | JobState::Processing) {
        return Err(EngineError::InUse(job.vault).into());
    }
    let told = job.labels.get(body::v1::BLOB).map(String::as_str);
    let blob = asked.text("blobPath").or(told).unwrap_or_default();
    Ok(HttpResponse::Ok().json(api::ForgottenV1::new(id, blob)))
}

/// What there is to say of a job; of a backup also where its job is forgotten.
async fn job(engine: &Engine, id: &str, kind: JobKind) -> Result<HttpResponse, ApiError> {
    if let Some(job) = engine.job(id).await?.filter(|job| job.kind == kind) {
        // What was made well may have been evicted, or damaged, since.
        if kind == JobKind::Backup && job.status == JobState::Successful {
            match engine.describe(id).await? {
                None => return Err(EngineError::BackupNotFound(job.id).into()),
                Some(info) => {
                    let lost = (!info.is_valid()).then(|| info.damage.clone().unwrap_or_default());
                    return Ok(HttpResponse::Ok().json(api::JobV1::of_backup(job, lost)));
                }
            }
        }
        return Ok(HttpResponse::Ok().json(api::JobV1::from(job)));
    }
    let id: String = id.chars().take(100).collect();
    if kind == JobKind::Restore {
        return Err(EngineError::JobNotFound(id).into());
    }
    match engine.describe(&id).await? {
        Some(info) => Ok(HttpResponse::Ok().json(api::JobV1::from(info))),
        None => Err(EngineError::BackupNotFound(id).into()),
    }
}

pub(super) async fn remove(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    body::nothing(&body::read(body).await?)?;
    let id = request.match_info().query("id");
    let asked = Asked::of(&request, BLOB)?;
    let job = engine.job(id).await?;
    engine.evict_one(id).await?;
    let told = job.as_ref().and_then(|job| job.labels.get(body::v1::BLOB));
    let blob = asked.text("blobPath").or(told.map(String::as_str));
    Ok(HttpResponse::Ok().json(api::RemovedV1::new(id, blob.unwrap_or_default())))
}
