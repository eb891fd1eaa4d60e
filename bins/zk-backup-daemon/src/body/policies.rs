//! The body of `POST /evictionpolicy`: JSON, or a form.

use actix_web::http::header::HeaderMap;
use actix_web::web::Bytes;
use backup_engine::{NewPolicy, PolicyChange};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{boolean, form, parse};
use crate::answer::ApiError;
use crate::openapi::words::{Rules, Truth};

/// New policies, one at least. Null goes back to the setting.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyBody {
    /// For full backups.
    #[serde(default, rename = "fullEvictionPolicy", deserialize_with = "nullable")]
    #[schema(value_type = Option<Rules>)]
    full: Option<Option<String>>,
    /// For granular backups.
    #[serde(default, rename = "granularEvictionPolicy", deserialize_with = "nullable")]
    #[schema(value_type = Option<Rules>)]
    granular: Option<Option<String>>,
    /// Sets nothing, and answers the plan by the new policies.
    #[serde(default, deserialize_with = "boolean")]
    #[schema(value_type = Option<Truth>)]
    dry_run: Option<bool>,
}

/// The new policies, of which null is that of the setting, and `dry_run`, if it says that.
pub(crate) async fn policies(
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(PolicyChange, Option<bool>), ApiError> {
    let body: PolicyBody = match form::fields(headers, &body).await? {
        Some(fields) => parse(&fields)?,
        None => parse(&body)?,
    };
    if body.full.is_none() && body.granular.is_none() {
        let message = "fullEvictionPolicy or granularEvictionPolicy is needed";
        return Err(ApiError::invalid(message));
    }
    let change = PolicyChange {
        full: new("fullEvictionPolicy", body.full)?,
        granular: new("granularEvictionPolicy", body.granular)?,
    };
    Ok((change, body.dry_run))
}

fn new(key: &str, given: Option<Option<String>>) -> Result<Option<NewPolicy>, ApiError> {
    let Some(given) = given else {
        return Ok(None);
    };
    let Some(text) = given else {
        return Ok(Some(NewPolicy::Setting));
    };
    let rules = text.parse();
    let rules = rules.map_err(|error| ApiError::invalid(format!("{key}: {error}")))?;
    Ok(Some(NewPolicy::Rules(rules)))
}

/// Null is given too.
fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
