//! `POST /evict?dry_run=true` and `POST /evict/<id>?dry_run=true`.

use serde::Serialize;
use utoipa::ToSchema;

/// What would be done with a backup.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Eviction {
    action: Action,
    id: String,
    /// Why, in plain words.
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EvictionAction)]
enum Action {
    Evict,
    Keep,
}

impl From<eviction_policy::Decision> for Eviction {
    fn from(decision: eviction_policy::Decision) -> Self {
        Self {
            action: match decision.action {
                eviction_policy::Action::Evict => Action::Evict,
                eviction_policy::Action::Keep => Action::Keep,
            },
            id: decision.id,
            reason: decision.reason,
        }
    }
}
