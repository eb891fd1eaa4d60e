//! Who may do what: credentials, and those that only look.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError as _};
use actix_web_httpauth::extractors::AuthenticationError;
use actix_web_httpauth::extractors::basic::BasicAuth;
use actix_web_httpauth::headers::www_authenticate::basic::Basic;
use subtle::{Choice, ConstantTimeEq as _};

use crate::answer::{ApiError, ErrorBody};
use crate::guesses::{Attempt, Guesses};
use crate::hashes::{self, HashError, Hashed};
use crate::origins;

/// How long a wrong attempt waits for its answer.
const DELAY: Duration = Duration::from_millis(500);

/// A user name and a password. Debug output shows neither.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: Password,
}

#[derive(Clone)]
enum Password {
    Known(String),
    Hashed(Arc<Hashed>),
}

impl Credentials {
    /// The only ones that are accepted.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: Password::Known(password.to_owned()),
        }
    }

    /// The only ones that are accepted, where an argon2 hash of the password is known, as in `$argon2id$v=19$m=65536,t=3,p=1$…`.
    ///
    /// # Errors
    /// [`HashError`]: what is wrong with the hash.
    pub fn hashed(user: &str, hash: &str) -> Result<Self, HashError> {
        Ok(Self {
            user: user.to_owned(),
            password: Password::Hashed(Arc::new(Hashed::parse(hash)?)),
        })
    }

    fn hash(&self) -> Option<&Arc<Hashed>> {
        match &self.password {
            Password::Known(_) => None,
            Password::Hashed(hashed) => Some(hashed),
        }
    }

    fn is_user(&self, user: &str) -> Choice {
        self.user.as_bytes().ct_eq(user.as_bytes())
    }

    /// Whether both are known to be these without a hash. Compares them in a time that does not depend on where they differ.
    fn are_known(&self, user: &str, password: &str) -> bool {
        let password = match &self.password {
            Password::Known(known) => known.as_bytes().ct_eq(password.as_bytes()),
            Password::Hashed(hashed) => u8::from(hashed.was_right(password)).into(),
        };
        (self.is_user(user) & password).into()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Who may do what. Clones are one: they count wrong attempts together.
#[derive(Debug, Clone)]
pub struct Access {
    rules: Arc<RwLock<Arc<Rules>>>,
    guesses: Arc<Guesses>,
}

#[derive(Debug, Clone, Default)]
struct Rules {
    credentials: Option<Credentials>,
    reader: Option<Credentials>,
    protect_reads: bool,
}

impl Access {
    /// Everything that changes something needs `credentials`; with `protect_reads` everything but health and
    /// metrics does.
    #[must_use]
    pub fn new(credentials: Credentials, protect_reads: bool) -> Self {
        Self::of(Rules {
            credentials: Some(credentials),
            reader: None,
            protect_reads,
        })
    }

    /// Whoever has these may look at everything and change nothing: `GET` and `HEAD`, but for what takes whole backups away. Where everybody
    /// may do everything they say nothing.
    #[must_use]
    pub fn with_reader(self, reader: Credentials) -> Self {
        let rules = Rules {
            reader: Some(reader),
            ..(*self.rules()).clone()
        };
        Self::of(rules)
    }

    /// Everybody may do everything.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::of(Rules::default())
    }

    fn of(rules: Rules) -> Self {
        Self {
            rules: Arc::new(RwLock::new(Arc::new(rules))),
            guesses: Arc::default(),
        }
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From here on what `other` allows is allowed, in all clones.
    pub(crate) fn replace(&self, other: &Self) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = other.rules();
    }

    /// Whether credentials are asked for at all.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.rules().credentials.is_none()
    }

    fn is_open(&self, method: &Method, path: &str) -> bool {
        reads(method) && (is_health(path) || !self.rules().protect_reads)
    }
}

impl Rules {
    fn all(&self) -> impl Iterator<Item = &Credentials> {
        self.credentials.iter().chain(&self.reader)
    }

    /// Those of which only a hash is known.
    fn hashed(&self) -> impl Iterator<Item = (&Credentials, &Arc<Hashed>)> {
        self.all().filter_map(|one| Some((one, one.hash()?)))
    }

    /// Whose the credentials are; `None` where they are wrong. Whoever has been known is not kept waiting by a hash, and one hash is made at most: of
    /// a user who does not exist, too, so that the time does not tell who does.
    async fn whose(&self, given: &BasicAuth, attempt: &Arc<Attempt>) -> Option<&Credentials> {
        let (user, password) = (given.user_id(), given.password().unwrap_or_default());
        let known = || self.all().find(|known| known.are_known(user, password));
        if let Some(known) = known() {
            return Some(known);
        }
        let of_user = self.hashed().find(|(one, _)| one.is_user(user).into());
        let (one, hash) = of_user.or_else(|| self.hashed().next())?;
        let turn = hashes::turn().await?;
        // The hash of another attempt may have told meanwhile.
        if let Some(known) = known() {
            return Some(known);
        }
        let is_right = hashes::is_right(turn, hash, password, attempt).await;
        (is_right && of_user.is_some()).then_some(one)
    }
}

/// The user name of a request whose credentials were right.
#[derive(Debug, Clone)]
pub(crate) struct Known(pub(crate) String);

/// That a request has come with the credentials of whoever only looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnlyLooks;

fn reads(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Whether a path is about the server's own state, which monitors ask for.
pub(crate) fn is_health(path: &str) -> bool {
    path == "/metrics" || path == "/health" || path.starts_with("/health/")
}

/// Lets a request through, or answers 401; what another site's page sends through a browser is answered 403.
pub(crate) async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let access = rules(&request)?;
    if let Some(refusal) = origins::refusal(&request, access.is_anonymous()) {
        return Ok(request
            .into_response(refusal.error_response())
            .map_into_right_body());
    }
    let open = access.is_open(request.method(), request.path());
    let answer = decide(request, next, open).await?;
    Ok(answer.map_into_left_body())
}

/// As [`check`], for what hands out data: no method is open.
pub(crate) async fn check_always(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    decide(request, next, false).await
}

/// Refuses whoever only looks, for what takes whole backups away. Asked after [`check_always`].
pub(crate) async fn check_operator(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if request.extensions().contains::<OnlyLooks>() {
        return Ok(request.into_response(only_looks()).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

fn rules(request: &ServiceRequest) -> Result<Data<Access>, Error> {
    let access = request.app_data::<Data<Access>>().cloned();
    access.ok_or_else(|| actix_web::error::ErrorInternalServerError("no access rules"))
}

async fn decide<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
    open: bool,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let access = rules(&request)?;
    let rules = access.rules();
    if open || rules.credentials.is_none() {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    if request.headers().get_all(AUTHORIZATION).count() > 1 {
        let refusal = ApiError::invalid("Authorization is given more than once").error_response();
        return Ok(request.into_response(refusal).map_into_right_body());
    }
    name_the_scheme_as_usual(&mut request);
    let given = match request.extract::<BasicAuth>().await {
        Ok(given) => given,
        // They are missing, or no Basic credentials.
        Err(error) => {
            let refusal = unauthorized(&error, "user name and password are needed");
            return Ok(request.into_response(refusal).map_into_right_body());
        }
    };
    let peer = request.peer_addr().map(|peer| peer.ip());
    let attempt = match rules.hashed().next() {
        None => access.guesses.begin(peer),
        Some(_) => access.guesses.begin_soon(peer).await,
    };
    let Some(attempt) = attempt.map(Arc::new) else {
        return Ok(request.into_response(too_many()).map_into_right_body());
    };
    if let Some(known) = rules.whose(&given, &attempt).await {
        attempt.was_right();
        drop(attempt);
        let looks = rules
            .credentials
            .as_ref()
            .is_none_or(|operator| operator.user != known.user);
        let known = Known(known.user.clone());
        return go_on(request, next, known, looks).await;
    }
    log::warn!("wrong credentials from {}", shown(peer));
    let is_one_too_many = attempt.is_one_too_many();
    attempt.was_wrong(DELAY).await;
    let refusal = if is_one_too_many {
        too_many()
    } else {
        let config = actix_web_httpauth::extractors::basic::Config::default().realm(REALM);
        unauthorized(&config.into(), "user name or password is wrong")
    };
    Ok(request.into_response(refusal).map_into_right_body())
}

fn unauthorized(error: &AuthenticationError<Basic>, message: &str) -> HttpResponse {
    let mut answer = error.error_response();
    let body = serde_json::json!(ErrorBody::new("unauthorized", message));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer.set_body(body.to_string()).map_into_boxed_body()
}

/// With the operator's credentials, or those that only look.
async fn go_on<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
    known: Known,
    looks: bool,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if looks {
        if !reads(request.method()) {
            return Ok(request.into_response(only_looks()).map_into_right_body());
        }
        request.extensions_mut().insert(OnlyLooks);
    }
    request.extensions_mut().insert(known);
    Ok(next.call(request).await?.map_into_left_body())
}

fn only_looks() -> HttpResponse {
    let message = "these credentials look and change nothing: this needs those of the operator";
    ApiError::new(StatusCode::FORBIDDEN, "read_only", message).error_response()
}

fn too_many() -> HttpResponse {
    let message = "too many wrong credentials at once: try again in a moment";
    let mut refusal =
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_guesses", message).error_response();
    let soon = HeaderValue::from_static("1");
    refusal.headers_mut().insert(RETRY_AFTER, soon);
    refusal
}

fn shown(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string())
}

/// The name of a scheme is written in any case (RFC 9110, 11.1); the extractor knows one.
fn name_the_scheme_as_usual(request: &mut ServiceRequest) {
    let usual = request.headers().get(AUTHORIZATION).and_then(|value| {
        let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
        let usual = scheme.eq_ignore_ascii_case("basic") && scheme != "Basic";
        usual
            .then(|| HeaderValue::from_str(&format!("Basic {}", rest.trim_start())))
            .and_then(Result::ok)
    });
    if let Some(usual) = usual {
        request.headers_mut().insert(AUTHORIZATION, usual);
    }
}

/// What a client is told that the credentials are for.
pub(crate) const REALM: &str = "zk-backup";

#[cfg(test)]
mod tests;
