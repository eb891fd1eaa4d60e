//! `GET /backup/s3/<id>`: links to the files of a backup in a bucket.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use backup_engine::{Engine, EngineError};

use crate::answer::{ApiError, no_backup};
use crate::api;
use crate::query::Asked;

pub(super) const KEYS: &[&str] = &["expiration"];

/// For so many seconds links hold unless it is asked for another time, and at most: longer ones S3 does not sign.
const USUAL: u32 = 3_600;
const AT_MOST: u32 = 604_800;

pub(super) async fn links(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = request.match_info().query("id");
    let asked = Asked::of(&request, KEYS)?.number("expiration")?;
    let seconds = asked.unwrap_or(USUAL);
    if !(1..=AT_MOST).contains(&seconds) {
        let message = format!("expiration: 1 to {AT_MOST} seconds");
        return Err(ApiError::invalid(message));
    }
    match engine.links(id, Duration::from_secs(seconds.into())).await {
        // The predecessor's clients say how long, and are answered with a list.
        Ok(links) => Ok(HttpResponse::Ok().json(api::Links::new(links, asked.is_some()))),
        Err(EngineError::BackupNotFound(_)) => Ok(no_backup(id)),
        Err(error) => Err(error.into()),
    }
}
