//! What is compared with checked-in files, and how what depends on the machine is taken out of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wire/golden")
}

/// `UPDATE_GOLDEN` is set: what is found is written, and nothing compared.
pub(crate) fn updates() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Fails at the first entry that differs.
pub(crate) fn compare(name: &str, found: &Value) {
    let path = directory().join(name);
    if updates() {
        let text = serde_json::to_string_pretty(found).unwrap() + "\n";
        return fs::write(path, text).unwrap();
    }
    let expected: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    if let (Value::Object(expected), Value::Object(found)) = (&expected, found) {
        for (key, expected) in expected {
            assert_eq!(found.get(key), Some(expected), "{key}");
        }
    }
    assert_eq!(&expected, found);
}

/// `value` without what differs from run to run: ids of tasks, and what is measured. The keys in an
/// index of ACLs are random, so its length is not the same each time.
pub(crate) fn steady(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let is_znode = map.contains_key("stat");
            let steady_one = |(key, value): (String, Value)| {
                let value = match &*key {
                    "total_space" | "free_space" | "total_inodes" | "free_inodes" | "used_inodes"
                    | "process" | "age_seconds" => Value::from("measured"),
                    "size" if value.is_string() => Value::from("<bytes>b"),
                    "size" if !is_znode => Value::from("measured"),
                    // A job may be begun by the time that its answer is made.
                    "status" if value == "inProgress" => Value::from("notStarted"),
                    _ => steady(value),
                };
                (key, value)
            };
            Value::Object(map.into_iter().map(steady_one).collect::<Map<_, _>>())
        }
        Value::Array(list) => list.into_iter().map(steady).collect(),
        Value::String(text) => Value::String(text.split('/').map(without_task).collect::<Vec<_>>().join("/")),
        other => other,
    }
}

fn without_task(part: &str) -> String {
    let groups: Vec<_> = part.split('-').map(str::len).collect();
    let is_task = groups == [8, 4, 4, 4, 12] && part.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    if is_task { "<task>" } else { part }.to_owned()
}
