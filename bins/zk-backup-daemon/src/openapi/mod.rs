//! The API as an OpenAPI document: operations by a table, schemas from the types that go over the wire.

mod examples;
mod operation;
mod paths;
mod refusals;
mod together;
pub(crate) mod words;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema as _, ToSchema};

use self::operation::Schemas;
use crate::answer::ErrorBody;

/// What is said before all operations.
const ABOUT: &str = "Backs up ZooKeeper, and brings it back. Bodies are JSON objects, whatever the content type says; none or an empty one means `{}`. \
                     Unknown keys are refused, in queries too. `HEAD` is answered wherever `GET` is; other methods are 405, other paths 404. \
                     In answers, what is not known is null, or absent where it says so.";

/// The tags, in the order in which people look for them.
const TAGS: [(&str, &str); 8] = [
    ("Backups", "Take them, find them, bring them back."),
    ("Znodes", "What is in backups, and how it changed."),
    ("Jobs", "Everything that takes time is a job."),
    ("Retention", "Which backups go."),
    ("Checks", "Whether backups are good."),
    ("Exchange", "Backups that go away and come back."),
    ("Server", "How it is."),
    ("Predecessor", "What its clients call."),
];

/// The whole document, OpenAPI 3.1.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// The methods that a path takes, as `Allow` names them: those of the document, which has all that do more than to read. The pattern is that of a route.
pub(crate) fn allowed(pattern: &str) -> String {
    let described = DOCUMENT["paths"].get(pattern.replace(":.*}", "}"));
    let methods = described
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::keys);
    let mut allowed: Vec<_> = methods.map(|method| method.to_uppercase()).collect();
    if allowed.is_empty() {
        allowed.push("GET".to_owned());
    }
    if allowed.iter().any(|method| method == "GET") {
        allowed.push("HEAD".to_owned());
    }
    allowed.join(", ")
}

fn document() -> Value {
    let mut schemas: Schemas = vec![(ErrorBody::name().into_owned(), ErrorBody::schema())];
    let mut paths = Map::new();
    for mut operation in paths::operations() {
        schemas.append(&mut operation.schemas);
        let (method, path) = (operation.method, operation.path);
        let mut told = operation.document();
        examples::add(method, path, &mut told);
        let of_path = paths.entry(path).or_insert_with(|| json!({}));
        of_path[method] = told;
    }
    let schemas: Map<_, _> = schemas
        .into_iter()
        .map(|(name, schema)| {
            let mut schema = json!(schema);
            settle(&mut schema, !name.ends_with("Body") && name != "RenamedV1");
            together::add(&name, &mut schema);
            (name, schema)
        })
        .collect();
    let tag = |(name, about): (&str, &str)| json!({ "name": name, "description": about });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "zk-backup", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "tags": TAGS.map(tag),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": refusals::responses(),
            "securitySchemes": { "basic": { "type": "http", "scheme": "basic" } },
        },
    })
}

/// What may be absent or null: it is left out, though its schema allows both.
const MAY_BE_BOTH: &str = "locked_until";

/// Says what types do not. In an answer a field that may be null is there, since what may be absent is never null. What is flattened and may be
/// absent is no null, as derived schemas have it: an object without these fields.
fn settle(schema: &mut Value, is_answer: bool) {
    match schema {
        Value::Array(several) => several.iter_mut().for_each(|one| settle(one, is_answer)),
        Value::Object(object) => {
            if let Some(Value::Array(parts)) = object.get_mut("allOf") {
                parts.iter_mut().for_each(or_nothing);
            }
            if is_answer {
                require_what_may_be_null(object);
            }
            // Several forms of an answer may have the same fields.
            if let Some(forms) = object.remove("oneOf") {
                object.insert("anyOf".to_owned(), forms);
            }
            object.values_mut().for_each(|inner| settle(inner, is_answer));
        }
        _ => {}
    }
}

fn or_nothing(part: &mut Value) {
    let null = json!({ "type": "null" });
    if let Some(Value::Array(either)) = part.get("oneOf")
        && either.contains(&null)
    {
        let mut either: Vec<_> = either.iter().filter(|one| **one != null).cloned().collect();
        either.push(json!({ "type": "object", "properties": {} }));
        *part = json!({ "anyOf": either });
    }
}

fn require_what_may_be_null(object: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = object.get("properties") else {
        return;
    };
    let may_be_null = properties.iter().filter(|(name, schema)| {
        let null = json!({ "type": "null" });
        let among = |key: &str, what: &Value| matches!(schema.get(key), Some(Value::Array(list)) if list.contains(what));
        *name != MAY_BE_BOTH && (among("type", &json!("null")) || among("oneOf", &null))
    });
    let found: Vec<_> = may_be_null.map(|(name, _)| json!(name)).collect();
    if found.is_empty() {
        return;
    }
    if let Some(required) = object
        .entry("required")
        .or_insert_with(|| json!([]))
        .as_array_mut()
    {
        required.extend(found);
        required.sort_by_key(Value::to_string);
        required.dedup();
    }
}
