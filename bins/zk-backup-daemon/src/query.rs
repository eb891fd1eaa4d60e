//! Query strings, read strictly.

use std::str::FromStr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Query;
use actix_web::{Error, HttpRequest};

use crate::answer::ApiError;
use crate::truth::{WORDS, truth};

/// What follows the `?`, decoded.
pub(crate) struct Asked(Vec<(String, String)>);

impl Asked {
    /// # Errors
    /// For a query that cannot be decoded; a key that is not in `allowed`, or comes twice.
    fn parse(query: &str, allowed: &[&str]) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|error| ApiError::invalid(format!("the query cannot be read: {error}")))?
            .into_inner();
        for (index, (key, _)) in pairs.iter().enumerate() {
            let key: String = key.chars().take(100).collect();
            if !allowed.contains(&&*key) {
                return Err(ApiError::invalid(match allowed.is_empty() {
                    true => format!("unknown key {key:?} in the query: none is allowed here"),
                    false => format!(
                        "unknown key {key:?} in the query: allowed are {}",
                        allowed.join(", ")
                    ),
                }));
            }
            if pairs.iter().take(index).any(|(earlier, _)| *earlier == key) {
                return Err(ApiError::invalid(format!(
                    "{key} is given twice in the query; allowed once each are {}",
                    allowed.join(", ")
                )));
            }
        }
        Ok(Self(pairs))
    }

    /// The query of a request that [`check`] let through.
    pub(crate) fn of(request: &HttpRequest, allowed: &[&str]) -> Result<Self, ApiError> {
        Self::parse(request.query_string(), allowed)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| &**value)
    }

    pub(crate) fn needed(&self, key: &str) -> Result<&str, ApiError> {
        self.text(key)
            .ok_or_else(|| ApiError::invalid(format!("{key} is missing in the query")))
    }

    pub(crate) fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>, ApiError> {
        let number = |text: &str| {
            let wrong = || ApiError::invalid(format!("{key}: {text:?} is no number that is allowed here"));
            text.parse().map_err(|_| wrong())
        };
        self.text(key).map(number).transpose()
    }

    pub(crate) fn truth(&self, key: &str) -> Result<Option<bool>, ApiError> {
        let word = |text: &str| {
            truth(text).ok_or_else(|| {
                ApiError::invalid(format!(
                    "{key}: {text:?} is neither true nor false; allowed are {WORDS}"
                ))
            })
        };
        self.text(key).map(word).transpose()
    }
}

/// Refuses a request whose query has anything but `allowed`.
pub(crate) async fn check(
    allowed: &'static [&'static str],
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    Asked::of(request.request(), allowed)?;
    next.call(request).await
}
