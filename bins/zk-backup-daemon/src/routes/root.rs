//! `GET /`: where things are.

use actix_web::HttpResponse;
use serde_json::json;

/// What is read, and where. `docs/API.md` has all of it.
const PLACES: [(&str, &str); 10] = [
    ("health", "/health"),
    ("metrics", "/metrics"),
    ("backups", "/listbackups"),
    ("backup", "/listbackups/{id}"),
    ("znodes", "/listbackups/{id}/znodes?path=/"),
    ("find", "/find?ts={ms}"),
    ("diff", "/diff?from={id}&to={id}|live"),
    ("history", "/history?path=/"),
    ("jobs", "/jobs"),
    ("job", "/jobstatus/{id}"),
];

pub(super) async fn places() -> HttpResponse {
    let places: serde_json::Map<_, _> = PLACES
        .into_iter()
        .map(|(name, path)| (name.to_owned(), path.into()))
        .collect();
    HttpResponse::Ok().json(json!({
        "name": "zk-backup", "version": env!("CARGO_PKG_VERSION"), "places": places,
    }))
}
