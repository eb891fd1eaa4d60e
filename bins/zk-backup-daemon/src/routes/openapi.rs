//! `GET /openapi.json`, and Swagger UI at `/swagger-ui/`, which is part of the program.

use std::sync::LazyLock;

use actix_web::http::header::LOCATION;
use actix_web::web::{Bytes, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::endpoint::{NONE, endpoint, nothing_here, read};
use super::ui::{CSS, HTML, JS, sent};
use crate::answer::ApiError;
use crate::openapi;

const JSON: &str = "application/json";
const PNG: &str = "image/png";

/// Swagger UI sets styles on its elements, and has images in its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
                      img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A file of Swagger UI, as the build script has unpacked it.
macro_rules! swagger {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

/// Name, type and bytes.
type File = (&'static str, &'static str, &'static [u8]);

const FILES: [File; 5] = [
    ("", HTML, include_bytes!("../../swagger/index.html")),
    ("start.js", JS, include_bytes!("../../swagger/start.js")),
    ("swagger-ui.css", CSS, swagger!("swagger-ui.css")),
    ("swagger-ui-bundle.js", JS, swagger!("swagger-ui-bundle.js")),
    ("favicon-32x32.png", PNG, swagger!("favicon-32x32.png")),
];

static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(format!("{:#}\n", *openapi::DOCUMENT)));

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(endpoint("/openapi.json", NONE, read().to(document)))
        .service(endpoint("/swagger-ui", NONE, read().to(to_swagger)))
        .service(endpoint("/swagger-ui/{name:.*}", NONE, read().to(file)));
}

async fn document(request: HttpRequest) -> HttpResponse {
    sent(&request, JSON, TEXT.clone(), POLICY)
}

/// Relative, so that it leads there below a path of a proxy too.
async fn to_swagger() -> HttpResponse {
    HttpResponse::Found()
        .insert_header((LOCATION, "swagger-ui/"))
        .finish()
}

async fn file(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = request.match_info().query("name");
    match FILES.iter().find(|(file, ..)| *file == name) {
        Some((_, kind, bytes)) => Ok(sent(&request, kind, Bytes::from_static(bytes), POLICY)),
        None => nothing_here(request).await,
    }
}
