//! What is shown of answers.

use serde_json::{Value, json};

/// What is shown of an answer: names and values.
pub(crate) type Rows = Vec<(String, String)>;

pub(crate) fn row(name: &str, value: &Value) -> (String, String) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values
            .iter()
            .map(|value| row("", value).1)
            .collect::<Vec<_>>()
            .join(", "),
        Value::Object(_) => row("", &value["newest"]).1, // a zxid
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    (name.to_owned(), text)
}

/// Names on the left, values on the right.
pub(crate) fn table(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows
        .iter()
        .map(|(name, value)| format!("    {name:width$}  {value}\n"));
    lines.collect()
}

pub(crate) fn of_backup(backup: &Value) -> Rows {
    [
        "id",
        "mode",
        "valid",
        "consistency",
        "zxid",
        "znodes",
        "size",
        "evictable",
    ]
    .iter()
    .filter(|name| !backup[**name].is_null())
    .map(|name| row(name, &backup[*name]))
    .collect()
}

pub(crate) fn of_plan(report: &Value) -> Rows {
    let counts = ["created", "data_changed", "acl_changed", "deleted", "unchanged"];
    let first = report["differences"].as_array().into_iter().flatten().take(4);
    let counts = counts.iter().map(|kind| row(kind, &report[*kind]));
    counts
        .chain(first.map(|found| row(found["change"].as_str().unwrap_or_default(), &found["path"])))
        .collect()
}

pub(crate) fn of_decisions(decisions: &Value) -> Rows {
    let decisions = decisions.as_array().into_iter().flatten();
    let line = |decision: &Value| {
        let (_, action) = row("", &decision["action"]);
        let (_, reason) = row("", &decision["reason"]);
        (row("", &decision["id"]).1, format!("{action}: {reason}"))
    };
    decisions.map(line).collect()
}

pub(crate) fn of_health(health: &Value) -> Rows {
    let (storage, zookeeper) = (&health["storage"], &health["zookeeper"]);
    let mut rows = vec![
        row("status", &health["status"]),
        row("backups", &storage["dump_count"]),
        row("bytes", &storage["size"]),
        row("newest", &storage["last"]["id"]),
        row(
            "seconds since the last good one",
            &health["seconds_since_success"],
        ),
        row("ZooKeeper", &json!([zookeeper["version"], zookeeper["mode"]])),
        row("jobs that wait", &health["backup_queue_size"]),
    ];
    if let Value::String(place) = &storage["where"] {
        rows.push(("in".to_owned(), place.clone()));
    }
    rows
}
