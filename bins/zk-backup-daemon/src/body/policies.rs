//! The body of `POST /evictionpolicy`: JSON, or a form.

use actix_web::web::Query;
use backup_engine::{NewPolicy, PolicyChange};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{boolean, parse};
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
pub(crate) fn policies(body: &[u8]) -> Result<(PolicyChange, Option<bool>), ApiError> {
    let is_form = !body.trim_ascii().is_empty() && !body.trim_ascii().starts_with(b"{");
    let body: PolicyBody = match is_form {
        true => parse(&form(body)?)?,
        false => parse(body)?,
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

/// A form's pairs as a JSON object of texts.
fn form(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let unreadable =
        |why: String| ApiError::invalid(format!("the body is neither a JSON object nor a form: {why}"));
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    let pairs = Query::<Vec<(String, String)>>::from_query(text.trim())
        .map_err(|error| unreadable(error.to_string()))?
        .into_inner();
    let mut object = Map::new();
    for (key, value) in pairs {
        if object.insert(key.clone(), Value::String(value)).is_some() {
            let key: String = key.chars().take(100).collect();
            return Err(ApiError::invalid(format!("{key} is given twice")));
        }
    }
    Ok(Value::Object(object).to_string().into_bytes())
}

/// Null is given too.
fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
