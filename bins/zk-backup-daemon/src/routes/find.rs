//! `GET /find`: a backup by a time, or all that have a znode.

use actix_web::guard::GuardContext;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use backup_engine::Engine;

use super::page;
use crate::answer::{ApiError, no_backup};
use crate::query::Asked;
use crate::{api, body};

/// Those of both: which go together is asked once the method is known to be right.
pub(super) const KEYS: &[&str] = &["ts", "path", "offset", "limit"];
const BY_TIME: &[&str] = &["ts"];
const BY_ZNODE: &[&str] = &["path", "offset", "limit"];

/// Whether a znode is asked for.
pub(super) fn asks_for_znode(context: &GuardContext<'_>) -> bool {
    let query = context.head().uri.query().unwrap_or_default();
    let mut keys = query.split('&').filter_map(|pair| pair.split('=').next());
    keys.any(|key| key == "path")
}

pub(super) async fn by_time(
    engine: Data<Engine>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    let asked = Asked::of(&request, BY_TIME)?;
    let ts = body::find(&body::read(body).await?, asked.text("ts"))?;
    Ok(engine.find(ts).await?.map_or_else(
        || no_backup(&format!("at or after {ts} ms")),
        |info| HttpResponse::Ok().json(api::Backup::from(info)),
    ))
}

pub(super) async fn by_znode(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let query = Asked::of(&request, BY_ZNODE)?;
    let found = engine
        .find_znode(page::path(&query)?, page::of(&query, 20, 100)?)
        .await?;
    Ok(HttpResponse::Ok().json(api::Finds::from(found)))
}
