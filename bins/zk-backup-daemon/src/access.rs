use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, ResponseError as _};
use actix_web_httpauth::extractors::basic::BasicAuth;
use subtle::ConstantTimeEq;

/// The longest that a wrong attempt waits for its answer.
const MOST_DELAY: Duration = Duration::from_secs(1);

/// A user name and a password. Debug output shows neither.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// The only ones that are accepted.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    /// Compares both in a time that does not depend on where they differ.
    fn are(&self, user: &str, password: &str) -> bool {
        let user = self.user.as_bytes().ct_eq(user.as_bytes());
        let password = self.password.as_bytes().ct_eq(password.as_bytes());
        (user & password).into()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Who may do what. Clones count wrong attempts together.
#[derive(Debug, Clone)]
pub struct Access {
    credentials: Option<Credentials>,
    protect_reads: bool,
    wrong: Arc<AtomicU32>,
}

impl Access {
    /// Everything that changes something needs `credentials`; with `protect_reads` everything but health and
    /// metrics does.
    #[must_use]
    pub fn new(credentials: Credentials, protect_reads: bool) -> Self {
        Self {
            credentials: Some(credentials),
            protect_reads,
            wrong: Arc::default(),
        }
    }

    /// Everybody may do everything.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            credentials: None,
            protect_reads: false,
            wrong: Arc::default(),
        }
    }

    /// Whether credentials are asked for at all.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.credentials.is_none()
    }

    fn is_open(&self, method: &Method, path: &str) -> bool {
        let reads = method == Method::GET || method == Method::HEAD;
        let health = path == "/metrics" || path == "/health" || path.starts_with("/health/");
        reads && (health || !self.protect_reads)
    }
}

/// Lets a request through, or answers 401.
pub(crate) async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let open = rules(&request)?.is_open(request.method(), request.path());
    decide(request, next, open).await
}

/// As [`check`], for what hands out data: no method is open.
pub(crate) async fn check_always(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    decide(request, next, false).await
}

fn rules(request: &ServiceRequest) -> Result<Data<Access>, Error> {
    let access = request.app_data::<Data<Access>>().cloned();
    access.ok_or_else(|| actix_web::error::ErrorInternalServerError("no access rules"))
}

async fn decide<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
    open: bool,
) -> Result<ServiceResponse<EitherBody<B, String>>, Error> {
    let access = rules(&request)?;
    let Some(credentials) = access.credentials.as_ref().filter(|_| !open) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    let refusal = match request.extract::<BasicAuth>().await {
        Ok(given) if credentials.are(given.user_id(), given.password().unwrap_or_default()) => {
            access.wrong.store(0, Ordering::Relaxed);
            return Ok(next.call(request).await?.map_into_left_body());
        }
        Ok(given) => {
            let peer = request
                .peer_addr()
                .map_or_else(|| "unknown".to_owned(), |peer| peer.ip().to_string());
            log::warn!("wrong credentials from {peer}");
            let wrong = access.wrong.fetch_add(1, Ordering::Relaxed).min(100);
            tokio::time::sleep((Duration::from_millis(20) * wrong).min(MOST_DELAY)).await;
            let config = actix_web_httpauth::extractors::basic::Config::default().realm(REALM);
            drop(given);
            actix_web_httpauth::extractors::AuthenticationError::from(config)
        }
        Err(error) => error,
    };
    let mut answer = refusal.error_response();
    let body = serde_json::json!({
        "status": "Failed", "message": "user name and password are needed", "code": "unauthorized"
    });
    let json = actix_web::http::header::HeaderValue::from_static("application/json");
    answer
        .headers_mut()
        .insert(actix_web::http::header::CONTENT_TYPE, json);
    let answer = answer.set_body(body.to_string());
    Ok(request.into_response(answer).map_into_right_body())
}

/// What a client is told that the credentials are for.
pub(crate) const REALM: &str = "zk-backup";
