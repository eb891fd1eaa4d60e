//! What is in backups, and how they differ.

use actix_web::http::header::ContentType;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use backup_engine::{CompareWith, Engine, EngineError, Page};

use super::{page, raw};
use crate::answer::{ApiError, no_backup};
use crate::api;
use crate::query::Asked;

pub(super) const ZNODE: &[&str] = &["path"];
pub(super) const ZNODES: &[&str] = &["path", "data", "offset", "limit"];
pub(super) const HISTORY: &[&str] = &["path", "offset", "limit"];
pub(super) const DIFF: &[&str] = &["from", "to", "offset", "limit"];

/// What stands for ZooKeeper as it is now, where a backup is named.
const LIVE: &str = "live";

/// The most znodes in one answer, and how many if nothing is said.
const MOST: usize = 100_000;
const USUAL: usize = 1_000;

fn page(query: &Asked) -> Result<Page, ApiError> {
    page::of(query, USUAL, MOST)
}

pub(super) async fn znodes(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let (id, query) = (request.match_info().query("id"), Asked::of(&request, ZNODES)?);
    let (path, page) = (page::path(&query)?, page(&query)?);
    let found = match query.truth("data")?.unwrap_or(false) {
        true => engine.whole_znodes(id, path, page).await?.into(),
        false => api::Znodes::from(engine.znodes(id, path, page).await?),
    };
    Ok(HttpResponse::Ok().json(found))
}

pub(super) async fn znode(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let (id, query) = (request.match_info().query("id"), Asked::of(&request, ZNODE)?);
    let found = match id {
        LIVE => engine.live_znode(page::path(&query)?).await?,
        id => engine.znode(id, page::path(&query)?).await?,
    };
    if raw::is_asked_for(&request) {
        return raw::answer(found);
    }
    Ok(HttpResponse::Ok().json(api::Znode::from(found)))
}

pub(super) async fn log(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
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

pub(super) async fn history(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let query = Asked::of(&request, HISTORY)?;
    let found = engine
        .history(page::path(&query)?, page::of(&query, 20, 100)?)
        .await?;
    Ok(HttpResponse::Ok().json(api::History::from(found)))
}

pub(super) async fn diff(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let query = Asked::of(&request, DIFF)?;
    let (from, to) = (query.needed("from")?, query.needed("to")?);
    let to = match to {
        LIVE => CompareWith::Live,
        id => CompareWith::Backup(id.to_owned()),
    };
    let found = engine.compare(from, to, page(&query)?).await?;
    Ok(HttpResponse::Ok().json(api::Diff::from(found)))
}
