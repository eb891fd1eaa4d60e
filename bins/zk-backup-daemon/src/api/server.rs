//! `GET /` and `GET /ui/caller`.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where things are.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Places {
    name: &'static str,
    /// Paths by what they are for.
    places: BTreeMap<&'static str, &'static str>,
    version: &'static str,
}

impl Places {
    pub(crate) fn new(places: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        Self {
            name: "zk-backup",
            places: places.into_iter().collect(),
            version: VERSION,
        }
    }
}

/// Who looks at the web page.
#[derive(Debug, Serialize)]
pub(crate) struct Caller {
    may_change: bool,
    version: &'static str,
}

impl Caller {
    pub(crate) fn new(may_change: bool) -> Self {
        Self {
            may_change,
            version: VERSION,
        }
    }
}
