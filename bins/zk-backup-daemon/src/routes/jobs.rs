//! What is asked for, and the jobs that come of it.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use backup_engine::{
    Engine, EngineError, JobState, RestoreTestPlace, RestoreTestRequest, Share, VerifyRequest, plain,
};

use super::archives::Outside;
use super::{external, page};
use crate::answer::{ApiError, bare_id, no_backup};
use crate::api;
use crate::body;
use crate::caller;
use crate::query::Asked;

pub(super) const VERIFY: &[&str] = &["share"];
pub(super) const RESTORE_TEST: &[&str] = &["in"];

pub(super) async fn backup(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    let asked = body::backup(&body::read(body).await?)?;
    let id = engine.backup_labelled(asked, caller::label(&request)).await?;
    Ok(bare_id(&id))
}

pub(super) async fn restore(
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

pub(super) async fn verify(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
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

pub(super) async fn verify_one(
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

pub(super) async fn restore_test(
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

pub(super) async fn terminate(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    body::nothing(&body::read(body).await?)?;
    let id = request.match_info().query("id");
    let state = engine.cancel(id).await.map_err(|error| match error {
        EngineError::JobNotFound(id) => EngineError::JobNotFound(id.chars().take(100).collect()),
        error => error,
    })?;
    Ok(HttpResponse::Ok().json(api::Terminated::new(id, state)))
}

pub(super) async fn job_status(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    let Some(job) = engine.job(id).await? else {
        return Ok(HttpResponse::NotFound().json(api::NoJob::new(id)));
    };
    let status = match job.status {
        JobState::Successful => StatusCode::OK,
        JobState::Queued | JobState::Processing => StatusCode::PARTIAL_CONTENT,
        JobState::Failed | JobState::Canceled => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Ok(HttpResponse::build(status).json(api::Job::from(job)))
}

pub(super) async fn jobs(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let page = page::of(&Asked::of(&request, page::KEYS)?, 100, 1_000)?;
    Ok(HttpResponse::Ok().json(api::Jobs::from(engine.jobs(page).await?)))
}
