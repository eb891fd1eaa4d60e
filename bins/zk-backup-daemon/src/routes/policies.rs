//! `/evictionpolicy`.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use backup_engine::Engine;

use crate::answer::ApiError;
use crate::query::Asked;
use crate::{api, body};

/// What the query of a change may have.
pub(super) const KEYS: &[&str] = &["dry_run"];

pub(super) async fn current(engine: Data<Engine>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(api::Policies::from(engine.policies().await?)))
}

/// Answers a text that begins with `Ok`, as the predecessor does, or the plan.
pub(super) async fn change(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    let in_query = Asked::of(&request, KEYS)?.truth("dry_run")?;
    let (change, in_body) = body::policies(request.headers(), body::read(body).await?).await?;
    let dry_run = body::once("dry_run", in_query, in_body)?.unwrap_or(false);
    let outcome = engine.set_policies(change, dry_run).await?;
    if dry_run {
        let plan: Vec<_> = outcome.decisions.into_iter().map(api::Eviction::from).collect();
        return Ok(HttpResponse::Ok().json(plan));
    }
    Ok(HttpResponse::Ok().json(match outcome.good_evicted {
        0 => "Ok".to_owned(),
        1 => "Ok: the next eviction removes 1 good backup by it".to_owned(),
        good => format!("Ok: the next eviction removes {good} good backups by it"),
    }))
}
