//! Golden answers as examples: the first of each operation and status, and the first body that was taken.

use serde_json::{Map, Value, json};

use super::{Golden, described, operation};

const TASK: &str = "0d9f7a3e-6c1b-4f52-9b8e-2f4c7a51d6e3";

/// By method and path.
pub(super) fn made(document: &Value, goldens: &[Golden]) -> Value {
    let mut all = Map::new();
    for golden in goldens {
        let Golden {
            method, path, answer, ..
        } = golden;
        if operation(document, method, path).is_none() {
            continue;
        }
        let template = described(document, path).unwrap();
        let of_this = all
            .entry(format!("{method} {template}"))
            .or_insert_with(|| json!({}));
        let of_this = of_this.as_object_mut().unwrap();
        let status = answer["status"].to_string();
        if let Ok(body) = serde_json::from_str::<Value>(&golden.body)
            && status == "200"
        {
            of_this.entry("request").or_insert(body);
        }
        let body = &answer["body"];
        if !body.is_null() && body != "" {
            of_this.entry(status).or_insert_with(|| real("", body));
        }
    }
    Value::Object(all)
}

/// With what may have been measured.
fn real(key: &str, value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.clone(), real(key, value)))
            .collect(),
        Value::Array(list) => list.iter().map(|value| real(key, value)).collect(),
        Value::String(text) if text == "measured" => match key {
            "process" => json!({ "cpu_percent": 1.5, "memory_bytes": 23_068_672, "uptime_seconds": 3_600 }),
            "age_seconds" => json!(0),
            "size" => json!(25_283),
            "total_space" => json!(107_374_182_400_u64),
            "free_space" => json!(64_424_509_440_u64),
            "total_inodes" => json!(6_553_600),
            "free_inodes" => json!(6_000_000),
            "used_inodes" => json!(553_600),
            other => panic!("what {other} may be is not known"),
        },
        Value::String(text) => json!(text.replace("<task>", TASK).replace("<bytes>", "25283")),
        other => other.clone(),
    }
}
