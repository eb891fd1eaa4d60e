//! Who has asked for something.

use actix_web::{HttpMessage as _, HttpRequest};
use backup_engine::{BY, Labels, plain};

use crate::access::Known;
use crate::peers;

/// The label of a job that says it: user and address. A user is named whose credentials were right, and nobody else: what stands there may be a secret. From which address the request came first
/// is heard of other servers alone, where there are any: they are known by nothing but that they say so, and so the address that is seen here is named as well.
pub(crate) fn label(request: &HttpRequest) -> Labels {
    let user = user(request);
    let peer = request.peer_addr().map(|peer| peer.ip().to_string());
    let peer = peer.unwrap_or_else(|| "unknown".to_owned());
    let by = match peers::first_asked(request) {
        None => format!("{user} from {peer}"),
        Some(client) => format!("{user} from {client} through {peer}"),
    };
    Labels::from([(BY.to_owned(), plain(&by))])
}

/// The name of the user, or `anonymous`.
pub(crate) fn user(request: &HttpRequest) -> String {
    let known = request
        .extensions()
        .get::<Known>()
        .map(|known| known.0.chars().take(100).collect());
    known.unwrap_or_else(|| "anonymous".to_owned())
}
