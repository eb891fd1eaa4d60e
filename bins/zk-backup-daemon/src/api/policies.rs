//! `GET /evictionpolicy`.

use backup_engine::{Policies as Told, PolicyInfo};
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;

/// By what backups are evicted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EvictionPolicies)]
pub(crate) struct Policies {
    full_eviction_policy: Policy,
    granular_eviction_policy: Policy,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvictionPolicy)]
struct Policy {
    /// The one that counts.
    policy: String,
    /// Where that is from: `EVICTION_POLICY` or the like, or `POST /evictionpolicy`.
    from: &'static str,
    /// What the environment says, or the default.
    setting: String,
    /// When it was set in place of the setting, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    set_at: Option<String>,
}

impl From<Told> for Policies {
    fn from(told: Told) -> Self {
        Self {
            full_eviction_policy: policy(told.full, "EVICTION_POLICY"),
            granular_eviction_policy: policy(told.granular, "GRANULAR_EVICTION_POLICY"),
        }
    }
}

fn policy(info: PolicyInfo, setting: &'static str) -> Policy {
    Policy {
        from: info.set_at.map_or(setting, |_| "POST /evictionpolicy"),
        policy: info.policy,
        setting: info.setting,
        set_at: info.set_at.and_then(rfc3339),
    }
}
