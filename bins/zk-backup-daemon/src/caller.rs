//! Who has asked for something.

use actix_web::HttpRequest;
use actix_web::http::header::Header as _;
use actix_web_httpauth::headers::authorization::{Authorization, Basic};
use backup_engine::{BY, Labels, plain};

/// The label of a job that says it: user and address.
pub(crate) fn label(request: &HttpRequest) -> Labels {
    let user = Authorization::<Basic>::parse(request).map_or_else(
        |_| "anonymous".to_owned(),
        |given| given.as_ref().user_id().chars().take(100).collect(),
    );
    let address = request.peer_addr().map(|peer| peer.ip().to_string());
    let by = format!("{user} from {}", address.unwrap_or_else(|| "unknown".to_owned()));
    Labels::from([(BY.to_owned(), plain(&by))])
}
