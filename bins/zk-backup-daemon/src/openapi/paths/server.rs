//! The server itself.

use serde_json::json;

use super::super::operation::{Callers, Operation, error};
use crate::api;

const TAG: &str = "Server";

pub(super) fn operations() -> Vec<Operation> {
    let mut ready = health("ready", "/health/ready")
        .says(TAG, "Ask whether work can be done", "")
        .answers::<api::Ready>(200, "It can.");
    let down = ready.refer::<api::Ready>();
    vec![
        Operation::get("places", "/", Callers::Readers)
            .says(
                TAG,
                "Tell where things are",
                "Who asks for `text/html` is led to the web page.",
            )
            .answers::<api::Places>(200, "Paths by what they are for.")
            .answers_by(302, "The way to the web page.", json!({})),
        Operation::get("openapi", "/openapi.json", Callers::Readers)
            .says(TAG, "Tell what the API is", "Absent with `UI_ENABLED=false`.")
            .answers_json(200, "This document.", json!({ "type": "object" }))
            .shared(404, "NoEndpoint"),
        health("health", "/health")
            .says(TAG, "Tell how everything is", "")
            .answers::<api::Health>(200, "Also where something is wrong."),
        health("live", "/health/live")
            .says(TAG, "Ask whether the server answers", "")
            .answers::<api::Live>(200, "It does."),
        ready.answers_json(
            503,
            "It cannot, and why. Or `too_many_requests_at_once`.",
            json!({ "oneOf": [down, error()] }),
        ),
        metrics("metrics", "/metrics"),
        metrics("prometheus", "/health/prometheus"),
    ]
}

fn health(name: &str, path: &'static str) -> Operation {
    Operation::get(name, path, Callers::All)
}

fn metrics(name: &str, path: &'static str) -> Operation {
    let text = json!({ "text/plain": { "schema": { "type": "string" } } });
    health(name, path)
        .says(TAG, "Tell the metrics", "Prometheus text 0.0.4.")
        .answers_by(200, "Lines.", text)
}
