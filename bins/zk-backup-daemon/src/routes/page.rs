//! What a query asks for: a znode, and which part of a long answer.

use backup_engine::Page;
use zk_snapshot::tree::ZnodePath;

use crate::answer::ApiError;
use crate::query::Asked;

pub(super) const KEYS: &[&str] = &["offset", "limit"];

/// What the query says, else the first `usual`; refused above `most`, and 0: whoever goes on from there would not come on.
pub(super) fn of(query: &Asked, usual: usize, most: usize) -> Result<Page, ApiError> {
    let (offset, limit) = (query.number("offset")?, query.number("limit")?);
    let (offset, limit) = (offset.unwrap_or(0), limit.unwrap_or(usual));
    if limit > most {
        return Err(ApiError::invalid(format!("limit: at most {most}")));
    }
    if limit == 0 {
        return Err(ApiError::invalid("limit: at least 1".to_owned()));
    }
    Ok(Page { offset, limit })
}

pub(super) fn path(query: &Asked) -> Result<ZnodePath, ApiError> {
    ZnodePath::parse(query.needed("path")?).map_err(|error| ApiError::invalid(format!("path: {error}")))
}
