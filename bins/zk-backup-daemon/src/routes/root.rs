//! `GET /`: where things are.

use actix_web::HttpResponse;

use crate::api;

/// What is read, and where. `docs/API.md` has all of it.
const PLACES: [(&str, &str); 12] = [
    ("health", "/health"),
    ("metrics", "/metrics"),
    ("backups", "/listbackups"),
    ("backup", "/listbackups/{id}"),
    ("znodes", "/listbackups/{id}/znodes?path=/"),
    ("find", "/find?ts={ms}"),
    ("find_znode", "/find?path=/"),
    ("diff", "/diff?from={id}&to={id}|live"),
    ("history", "/history?path=/"),
    ("jobs", "/jobs"),
    ("job", "/jobstatus/{id}"),
    ("events", "/events"),
];

/// What is there with the web page alone.
const WITH_UI: [(&str, &str); 2] = [("page", "/ui/"), ("openapi", "/openapi.json")];

pub(super) async fn places(with_ui: bool) -> HttpResponse {
    let more = with_ui.then_some(WITH_UI).into_iter().flatten();
    HttpResponse::Ok().json(api::Places::new(PLACES.into_iter().chain(more)))
}
