//! Whether a value is as a schema says, with the keywords that the document has. Stricter than a schema in one thing: a field
//! that no schema names is a fault.

use std::collections::BTreeSet;

use serde_json::Value;

/// Names of fields that a schema knows of an object; `None` where it takes any.
type Seen = Option<BTreeSet<String>>;

/// What stands for what is measured in golden answers.
const MEASURED: &str = "measured";

/// What is wrong with a value.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    match closed(document, schema, value) {
        Ok(()) => Vec::new(),
        Err(why) => vec![why],
    }
}

/// What a reference leads to, or the value itself.
pub(crate) fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(at) => document
            .pointer(at.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{at} is not there")),
        None => value,
    }
}

/// As the schema says, and nothing more.
fn closed(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if value == MEASURED {
        return Ok(());
    }
    let seen = check(document, schema, value)?;
    if let (Value::Object(object), Some(seen)) = (value, seen)
        && let Some(other) = object.keys().find(|key| !seen.contains(*key))
    {
        return Err(format!("{other} is not described"));
    }
    Ok(())
}

fn check(document: &Value, schema: &Value, value: &Value) -> Result<Seen, String> {
    if schema.get("$ref").is_some() {
        return check(document, resolved(document, schema), value);
    }
    let mut seen = Some(BTreeSet::new());
    for (keyword, said) in schema.as_object().into_iter().flatten() {
        match (&**keyword, value) {
            ("type", _) if !is_of(said, value) => return Err(format!("{value} is no {said}")),
            ("enum", _) if !said.as_array().unwrap().contains(value) => {
                return Err(format!("{value} is none of {said}"));
            }
            ("required", Value::Object(object)) => {
                let absent = said
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|name| !object.contains_key(name.as_str().unwrap()));
                if let Some(absent) = absent {
                    return Err(format!("{absent} is absent"));
                }
            }
            ("properties", Value::Object(object)) => {
                for (name, schema) in said.as_object().unwrap() {
                    join(&mut seen, Some([name.clone()].into()));
                    if let Some(inner) = object.get(name) {
                        closed(document, schema, inner).map_err(|why| format!("{name}: {why}"))?;
                    }
                }
            }
            ("additionalProperties", Value::Object(object)) if said.is_object() => {
                seen = None;
                for (name, inner) in object {
                    closed(document, said, inner).map_err(|why| format!("{name}: {why}"))?;
                }
            }
            ("items", Value::Array(list)) => {
                for (index, inner) in list.iter().enumerate() {
                    closed(document, said, inner).map_err(|why| format!("{index}: {why}"))?;
                }
            }
            ("not", _) if check(document, said, value).is_ok() => return Err(format!("{value} is {said}")),
            ("allOf", _) => {
                for part in said.as_array().unwrap() {
                    join(&mut seen, check(document, part, value)?);
                }
            }
            ("anyOf" | "oneOf", _) => {
                let tried: Vec<_> = said
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|part| check(document, part, value))
                    .collect();
                let fits = tried.iter().filter(|outcome| outcome.is_ok()).count();
                if fits == 0 || keyword == "oneOf" && fits > 1 {
                    return Err(format!("{fits} of {keyword} fit: {tried:?}"));
                }
                tried
                    .into_iter()
                    .flatten()
                    .for_each(|of_one| join(&mut seen, of_one));
            }
            _ => {}
        }
    }
    // What is said to be an object, and no more, may be any.
    let says_fields = ["properties", "allOf", "anyOf", "oneOf"]
        .iter()
        .any(|keyword| schema.get(keyword).is_some());
    let takes_all = schema["type"] == "object" && !says_fields && schema["additionalProperties"] != false;
    Ok(if takes_all { None } else { seen })
}

fn join(seen: &mut Seen, more: Seen) {
    match (seen.as_mut(), more) {
        (Some(seen), Some(more)) => seen.extend(more),
        _ => *seen = None,
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
        kind => match kind.as_str().unwrap() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other} is no type"),
        },
    }
}
