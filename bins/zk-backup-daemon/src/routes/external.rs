//! `POST /external/restore`, and what the predecessor has and we have not: `/incremental`.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use backup_engine::{Engine, Labels, RestoreRequest};

use super::archives::Outside;
use crate::answer::{ApiError, bare_id};
use crate::{body, caller};

pub(super) async fn external(
    engine: Data<Engine>,
    outside: Data<Outside>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    let (asked, path) = body::external(&body::read(body).await?)?;
    let labels = caller::label(&request);
    Ok(bare_id(&restore(&engine, &outside, &path, asked, labels).await?))
}

/// Queues a restore of a backup in a directory that is none of ours.
pub(super) async fn restore(
    engine: &Engine,
    outside: &Outside,
    path: &str,
    request: RestoreRequest,
    labels: Labels,
) -> Result<String, ApiError> {
    let Some(root) = &outside.external else {
        let message =
            "restoring from directories is turned off: EXTERNAL_ROOT names the one that they are below";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "refused", message));
    };
    Ok(engine
        .restore_external_labelled(root, path, request, outside.limit, labels)
        .await?)
}

pub(super) async fn incremental(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let plain = request.path().trim_start_matches("/incremental");
    let plain: String = match plain {
        "" | "/" => "the path without /incremental".to_owned(),
        plain => plain.chars().take(100).collect(),
    };
    let message = format!(
        "there are no incremental backups: each one is whole, and a restore writes only what differs. Use {plain} instead"
    );
    Err(ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "not_incremental",
        message,
    ))
}
