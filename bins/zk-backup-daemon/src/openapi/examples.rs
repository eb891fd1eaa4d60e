//! Examples: answers that a server gave, as `examples.json` has them. `tests/wire` writes it.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// By method and path, and by status; `request` is a body.
static EXAMPLES: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let read = serde_json::from_str(include_str!("examples.json"));
    read.unwrap_or_else(|error| {
        log::error!("the API is described without examples: {error}");
        Map::new()
    })
});

/// Adds those of an operation.
pub(super) fn add(method: &str, path: &str, operation: &mut Value) {
    let name = format!("{} {path}", method.to_uppercase());
    let Some(Value::Object(examples)) = EXAMPLES.get(&name) else {
        return;
    };
    for (status, example) in examples {
        let place = match &**status {
            "request" => operation.pointer_mut("/requestBody/content/application~1json"),
            status => operation.pointer_mut(&format!("/responses/{status}/content/application~1json")),
        };
        if let Some(place) = place {
            place["example"] = example.clone();
        }
    }
}
