//! `GET /ui/`: the web page, which is part of the program.

use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETag, EntityTag, Header, IfNoneMatch, LOCATION,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Bytes, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, HttpResponseBuilder, guard};

use super::endpoint::{NONE, data, endpoint, nothing_here, read, wrong_method};
use crate::access::{self, OnlyLooks};
use crate::answer::ApiError;
use crate::api::Caller;

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Scripts and styles come from here alone, and none is written in the page; nobody may put the page into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'";

/// A file of the page: name, type and text.
type File = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($name:literal: $kind:expr),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("../../ui/", $name)))),*]
    };
}

const INDEX: &str = "index.html";
const FILES: &[File] = files! {
    "index.html": HTML,
    "app.css": CSS,
    "icon.svg": SVG,
    "api.js": JS,
    "app.js": JS,
    "changes.js": JS,
    "compare.js": JS,
    "data.js": JS,
    "described.js": JS,
    "dom.js": JS,
    "format.js": JS,
    "lines.js": JS,
    "plot.js": JS,
    "poll.js": JS,
    "rows.js": JS,
    "stream.js": JS,
    "tree.js": JS,
    "watch.js": JS,
    "znode.js": JS,
    "znodes.js": JS,
    "pages/backup.js": JS,
    "pages/backups.js": JS,
    "pages/diff.js": JS,
    "pages/history.js": JS,
    "pages/jobs.js": JS,
    "pages/overview.js": JS,
    "pages/restore.js": JS,
    "pages/retention.js": JS,
};

/// The page, and the way to it from `/` for who asks with a browser.
pub(super) fn configure(config: &mut ServiceConfig) {
    let browser = guard::fn_guard(|context| {
        let accepted = context.head().headers().get(ACCEPT);
        accepted.is_some_and(|accepted| accepted.to_str().is_ok_and(|kinds| kinds.contains("text/html")))
    });
    config
        .service(web::resource("/").guard(guard::Get()).guard(browser).to(to_page))
        .service(endpoint("/ui", NONE, read().to(to_page)))
        .service(data("/ui/caller", NONE, read().to(caller)))
        .service(
            web::resource("/ui/{name:.*}")
                .route(read().to(file))
                .default_service(web::to(wrong_method))
                .wrap(from_fn(access::check_always)),
        );
}

/// Relative, so that it leads there below a path of a proxy too.
async fn to_page() -> HttpResponse {
    HttpResponse::Found()
        .insert_header((LOCATION, "ui/"))
        .insert_header((VARY, "Accept"))
        .finish()
}

/// Who looks at the page, so that it offers only what they may do.
async fn caller(request: HttpRequest) -> HttpResponse {
    let may_change = !request.extensions().contains::<OnlyLooks>();
    guarded(&mut HttpResponse::Ok(), POLICY).json(Caller::new(may_change))
}

async fn file(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = match request.match_info().query("name") {
        "" => INDEX,
        name => name,
    };
    let Some((_, kind, text)) = FILES.iter().find(|(file, ..)| *file == name) else {
        return nothing_here(request).await;
    };
    Ok(sent(&request, kind, Bytes::from_static(text.as_bytes()), POLICY))
}

/// A file, unless the client has it already, with what a browser may do with it.
pub(super) fn sent(
    request: &HttpRequest,
    kind: &'static str,
    bytes: Bytes,
    policy: &'static str,
) -> HttpResponse {
    let tag = tag(&bytes);
    let known = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
        Err(_) => false,
    };
    let status = if known {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::OK
    };
    let mut answer = HttpResponse::build(status);
    // Another version of the server has other files under the same names.
    answer.insert_header((CACHE_CONTROL, "no-cache"));
    answer.insert_header(ETag(tag));
    guarded(&mut answer, policy);
    match known {
        true => answer.finish(),
        false => answer.content_type(kind).body(bytes),
    }
}

fn tag(bytes: &[u8]) -> EntityTag {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    EntityTag::new_strong(format!("{:016x}", hasher.finish()))
}

/// With what keeps a browser from doing more with it than is meant.
fn guarded<'a>(answer: &'a mut HttpResponseBuilder, policy: &'static str) -> &'a mut HttpResponseBuilder {
    answer
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
}
