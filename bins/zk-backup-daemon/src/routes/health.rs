//! How the server and what it watches are.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use backup_engine::Engine;
use health_metrics::{Health, Problem};

use crate::answer::ApiError;
use crate::api;
use crate::reread::Reread;

/// How the engine is, and what else is wrong with the server.
pub(super) async fn of(engine: &Engine, reread: &Reread) -> Health {
    let mut health = engine.health().await;
    health
        .problems
        .extend(reread.trouble().map(Problem::NotReadAgain));
    health
}

pub(super) async fn health(engine: Data<Engine>, reread: Data<Reread>) -> HttpResponse {
    HttpResponse::Ok().json(api::Health::from(of(&engine, &reread).await))
}

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(api::Live::new())
}

pub(super) async fn ready(engine: Data<Engine>, reread: Data<Reread>) -> HttpResponse {
    let ready = api::Ready::from(&of(&engine, &reread).await);
    let status = if ready.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    HttpResponse::build(status).json(ready)
}

pub(super) async fn metrics(engine: Data<Engine>, reread: Data<Reread>) -> Result<HttpResponse, ApiError> {
    let text = engine.render(&of(&engine, &reread).await)?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text))
}
