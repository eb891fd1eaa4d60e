//! `GET /`: where things are.

use actix_web::HttpResponse;

use crate::api;

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
    HttpResponse::Ok().json(api::Places::new(PLACES))
}
