//! Requests that pages of other sites make a browser send.

use std::net::{IpAddr, SocketAddr};

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HOST, ORIGIN};
use actix_web::http::uri::Authority;
use actix_web::http::{Method, StatusCode};

use crate::answer::ApiError;

/// Where the server listens, as data of the application. Without it a request is judged as one to the loopback.
#[derive(Clone, Copy)]
pub(crate) struct ListensAt(pub(crate) SocketAddr);

/// Why a request is refused, if it is: a browser says that another site sends it and it may change something, or another site has given
/// its own name to this server, which lets in everybody who is on this machine (`is_open`).
pub(crate) fn refusal(request: &ServiceRequest, is_open: bool) -> Option<ApiError> {
    let host = host(request);
    let (code, message) = if is_open && is_for_this_machine(request) && !host.is_none_or(is_of_this_machine) {
        let message = "without credentials only localhost, IP addresses and the name of this machine are answered: any site \
                       may give another name to this server, and would be let in by it";
        ("foreign_host", message)
    } else if !reads(request.method()) && is_foreign(request, host.unwrap_or_default()) {
        let message =
            "a page of another site may not ask for this: browsers send the credentials by themselves";
        ("foreign_site", message)
    } else {
        return None;
    };
    Some(ApiError::new(StatusCode::FORBIDDEN, code, message))
}

fn reads(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// The host that a request asks, with its port. A target that has one itself goes first (RFC 9112, 3.2.2).
fn host(request: &ServiceRequest) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str());
    }
    let host = request.headers().get(HOST)?;
    Some(host.to_str().unwrap_or("?"))
}

/// Whether only this machine reaches the server, and the request is for more than to know whether it works.
fn is_for_this_machine(request: &ServiceRequest) -> bool {
    let listens = request.app_data::<ListensAt>();
    let at_loopback = listens.is_none_or(|at| at.0.ip().to_canonical().is_loopback());
    at_loopback && !["/health/live", "/health/ready"].contains(&request.path())
}

/// Whether a host is one that nobody else can have named: an address, `localhost` or this machine's name.
fn is_of_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(&name);
    name == "localhost"
        || name.ends_with(".localhost")
        || rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .eq_ignore_ascii_case(name)
}

/// Whether a browser says that a page of another site has made it send this. Other clients say nothing of the kind.
fn is_foreign(request: &ServiceRequest, host: &str) -> bool {
    let header = |name: &str| {
        request
            .headers()
            .get_all(name)
            .map(|value| value.to_str().unwrap_or("?"))
    };
    header("sec-fetch-site").any(|site| !matches!(site, "same-origin" | "none"))
        || header(ORIGIN.as_str()).any(|origin| !is_same(origin, host))
}

/// Whether an origin is that of a host. A port that goes without saying may be said by one of them only.
fn is_same(origin: &str, host: &str) -> bool {
    let Some((scheme, whose)) = origin.split_once("://") else {
        return false;
    };
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let short = |name: &str| name.strip_suffix(usual).unwrap_or(name).to_ascii_lowercase();
    short(whose) == short(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_site_may_give_are_not_of_this_machine() {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let own = [
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "a.localhost:1",
            "127.0.0.1",
            "10.1.2.3:8080",
            "[::1]:8080",
            &name,
        ];
        for host in own {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "",
            "?",
            "a b",
        ] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_port_that_goes_without_saying_makes_no_other_site() {
        for (origin, host) in [
            ("https://a.example", "a.example:443"),
            ("http://A.example", "a.example:80"),
            ("http://a.example:8080", "a.example:8080"),
        ] {
            assert!(is_same(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://a.example", "a.example:443"),
            ("https://a.example", "a.example:80"),
            ("https://a.example", "a.example:8443"),
            ("https://b.example", "a.example"),
            ("null", "null"),
        ] {
            assert!(!is_same(origin, host), "{origin} {host}");
        }
    }
}
