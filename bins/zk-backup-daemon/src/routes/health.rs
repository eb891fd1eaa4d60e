//! How the server and what it watches are.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use backup_engine::Engine;
use health_metrics::Problem;

use crate::answer::ApiError;
use crate::api;
use crate::reread::Reread;

pub(super) async fn health(engine: Data<Engine>, reread: Data<Reread>) -> HttpResponse {
    let mut health = engine.health().await;
    health
        .problems
        .extend(reread.trouble().map(Problem::NotReadAgain));
    HttpResponse::Ok().json(api::Health::from(health))
}

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(api::Live::new())
}

pub(super) async fn ready(engine: Data<Engine>) -> HttpResponse {
    let ready = api::Ready::from(&engine.health().await);
    let status = if ready.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    HttpResponse::build(status).json(ready)
}

pub(super) async fn metrics(engine: Data<Engine>) -> Result<HttpResponse, ApiError> {
    let text = engine.metrics().await?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text))
}
