//! What must be said together in a request, and what must not. Types do not tell.

use serde_json::{Value, json};

/// The names of the list of subtrees. A null is none.
const LISTS: [&str; 3] = ["dbs", "args", "instances"];

/// Adds what holds for the body of that name.
pub(super) fn add(name: &str, schema: &mut Value) {
    match name {
        "BackupBody" => schema["not"] = two_lists(),
        "RestoreBody" => {
            schema["not"] = two_lists();
            schema["oneOf"] = each_needed(&["vault", "ts", "before", "externalBackupPath"]);
        }
        "PolicyBody" => schema["anyOf"] = each_needed(&["fullEvictionPolicy", "granularEvictionPolicy"]),
        _ => {}
    }
}

fn two_lists() -> Value {
    let two = |one: &str, other: &str| {
        json!({
            "required": [one, other],
            "properties": { one: { "type": "array" }, other: { "type": "array" } },
        })
    };
    let [dbs, args, instances] = LISTS;
    json!({ "anyOf": [two(dbs, args), two(dbs, instances), two(args, instances)] })
}

fn each_needed(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}
