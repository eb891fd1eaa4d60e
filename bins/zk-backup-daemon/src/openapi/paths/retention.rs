//! Eviction by policies.

use serde_json::json;

use super::super::operation::{Callers, JSON, Operation};
use crate::openapi::words::Truth;
use crate::{api, body};

const TAG: &str = "Retention";

pub(super) fn operations() -> Vec<Operation> {
    let mut set = Operation::post("setPolicies", "/evictionpolicy")
        .says(
            TAG,
            "Set the policies",
            "They count from the next pass on. Nothing is evicted by it.",
        )
        .query_as::<Truth>(
            "dry_run",
            "Sets nothing, and answers the plan. In the query or in the body.",
        );
    let policies = set.refer::<body::PolicyBody>();
    vec![
        Operation::post("evict", "/evict")
            .says(TAG, "Apply the policies now", "")
            .query_as::<Truth>("dry_run", "Removes nothing. In the query or in the body.")
            .query_as::<Truth>(
                "trust_clock",
                "Evicts although the clock has moved by more than a day.",
            )
            .takes::<body::EvictBody>(false)
            .evicts(),
        Operation::get("tellPolicies", "/evictionpolicy", Callers::Readers)
            .says(TAG, "Tell the policies", "")
            .answers::<api::Policies>(200, "Those that count, and where they are from."),
        set.takes_content(
            true,
            json!({
                JSON: { "schema": policies },
                "application/x-www-form-urlencoded": { "schema": policies },
                "multipart/form-data": { "schema": policies },
            }),
        )
        .evicts(),
    ]
}
