//! The data of a znode as they are.

use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION, ContentType};
use actix_web::{HttpRequest, HttpResponse};
use backup_engine::{EngineError, ZnodeContent};
use zk_snapshot::archive::Role;

use crate::answer::ApiError;

/// Whether a request names `application/octet-stream` itself, and not by a wildcard.
pub(super) fn is_asked_for(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(ACCEPT);
    let mut ranges = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.any(|range| {
        let kind = range.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/octet-stream")
    })
}

/// Never shown by a browser as what it seems to be: whoever wrote the znode chose what is in it.
pub(super) fn answer(znode: ZnodeContent) -> Result<HttpResponse, ApiError> {
    if znode.info.role == Role::Unreadable {
        let what = format!(
            "{} could not be read, and its data are not known",
            znode.info.path
        );
        return Err(EngineError::ZnodeNotFound(what).into());
    }
    Ok(HttpResponse::Ok()
        .content_type(ContentType::octet_stream())
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header((CONTENT_DISPOSITION, "attachment"))
        .body(znode.data))
}
