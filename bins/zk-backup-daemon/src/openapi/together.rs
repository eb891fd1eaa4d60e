//! What must be said together in a request, and what must not. Types do not tell.

use serde_json::{Value, json};

/// The names of the list of subtrees. A null is none.
const LISTS: [&str; 3] = ["dbs", "args", "instances"];

/// Adds what holds for the body of that name.
pub(super) fn add(name: &str, schema: &mut Value) {
    match name {
        "BackupBody" => schema["not"] = told_twice(),
        "RestoreBody" => {
            schema["not"] = told_twice();
            schema["oneOf"] = each_needed(&["vault", "ts", "before", "externalBackupPath"]);
        }
        "PolicyBody" => schema["anyOf"] = each_needed(&["fullEvictionPolicy", "granularEvictionPolicy"]),
        _ => {}
    }
}

/// Two lists of subtrees, or two modes.
fn told_twice() -> Value {
    let two = |one: &str, other: &str| {
        json!({
            "required": [one, other],
            "properties": { one: { "type": "array" }, other: { "type": "array" } },
        })
    };
    let [dbs, args, instances] = LISTS;
    let mode = json!({ "required": ["mode"], "properties": { "mode": { "type": "string" } } });
    let mut modes = mode.clone();
    modes["required"] = json!(["mode", "custom_vars"]);
    modes["properties"]["custom_vars"] = mode;
    modes["properties"]["custom_vars"]["type"] = json!("object");
    json!({ "anyOf": [two(dbs, args), two(dbs, instances), two(args, instances), modes] })
}

fn each_needed(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}
