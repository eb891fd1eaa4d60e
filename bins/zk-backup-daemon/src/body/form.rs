//! Bodies that are forms, of either kind.

use actix_multipart::{Multipart, MultipartError};
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, Query};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value};

use crate::answer::ApiError;

/// A form's fields as a JSON object of texts; nothing for an empty body or a JSON object. Only of a multipart form the headers are asked: they have what its
/// parts are told apart by.
pub(super) async fn fields(headers: &HeaderMap, body: &Bytes) -> Result<Option<Vec<u8>>, ApiError> {
    let text = body.trim_ascii();
    if text.is_empty() || text.starts_with(b"{") {
        return Ok(None);
    }
    let fields = match is_multipart(headers) {
        true => parts(headers, body.clone()).await?,
        false => pairs(text)?,
    };
    let mut object = Map::new();
    for (key, value) in fields {
        if object.insert(key.clone(), Value::String(value)).is_some() {
            let key: String = key.chars().take(100).collect();
            return Err(ApiError::invalid(format!("{key} is given twice")));
        }
    }
    Ok(Some(Value::Object(object).to_string().into_bytes()))
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|said| said.to_str().ok());
    let kind = said.and_then(|said| said.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("multipart/form-data"))
}

fn pairs(body: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    let unreadable =
        |why: String| ApiError::invalid(format!("the body is neither a JSON object nor a form: {why}"));
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    let pairs =
        Query::<Vec<(String, String)>>::from_query(text).map_err(|error| unreadable(error.to_string()))?;
    Ok(pairs.into_inner())
}

async fn parts(headers: &HeaderMap, body: Bytes) -> Result<Vec<(String, String)>, ApiError> {
    let unreadable = |error: MultipartError| ApiError::invalid(format!("the form cannot be read: {error}"));
    let mut found = Vec::new();
    let mut parts = Multipart::new(headers, stream::once(async { Ok(body) }).boxed_local());
    while let Some(mut part) = parts.try_next().await.map_err(unreadable)? {
        let name = part.name().unwrap_or_default().to_owned();
        let mut value = Vec::new();
        while let Some(piece) = part.try_next().await.map_err(unreadable)? {
            value.extend_from_slice(&piece);
        }
        let value =
            String::from_utf8(value).map_err(|_| ApiError::invalid(format!("{name:.100} is no UTF-8")))?;
        found.push((name, value));
    }
    Ok(found)
}
