//! The OpenAPI document: that it is the one that is checked in, and that it says what the server does.
//! `UPDATE_GOLDEN=1 cargo test -p zk-backup-testkit --test wire` writes `docs/openapi.json` anew; the examples in it are
//! the golden answers of the run before, so that it takes two runs after these have changed.

mod events;
mod examples;
mod schema;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::golden;
use crate::server::Server;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The document that is checked in.
fn document() -> Value {
    serde_json::from_slice(&fs::read(workspace().join("docs/openapi.json")).unwrap()).unwrap()
}

/// A golden answer, and what was asked for it.
struct Golden {
    name: String,
    method: String,
    path: String,
    query: String,
    body: String,
    answer: Value,
}

fn goldens() -> Vec<Golden> {
    let mut all = Vec::new();
    for file in ["wire.json", "rest.json"] {
        let text = fs::read(golden::directory().join(file)).unwrap();
        let answers: Map<String, Value> = serde_json::from_slice(&text).unwrap();
        all.extend(answers.into_iter().map(|(name, answer)| {
            let mut words = name.splitn(4, ' ').skip(1).map(str::to_owned);
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            Golden {
                method,
                path: path.to_owned(),
                query: query.to_owned(),
                body: words.next().unwrap_or_default(),
                name: format!("{file} {name}"),
                answer,
            }
        }));
    }
    all
}

/// The path in the document that is meant: of several the one with the fewest parameters.
fn described<'a>(document: &'a Value, path: &str) -> Option<&'a str> {
    let parts: Vec<_> = path.split('/').collect();
    let is_it = |template: &str| {
        let known: Vec<_> = template.split('/').collect();
        known.len() == parts.len()
            && known
                .iter()
                .zip(&parts)
                .all(|(known, part)| known == part || known.starts_with('{'))
    };
    let paths = document["paths"].as_object().unwrap().keys();
    let found = paths.filter(|template| is_it(template));
    found
        .min_by_key(|template| template.matches('{').count())
        .map(String::as_str)
}

fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    document["paths"][described(document, path)?].get(method.to_lowercase())
}

/// What is wrong with an answer, by an answer of the document.
fn faults(document: &Value, response: &Value, answer: &Value) -> Vec<String> {
    let response = schema::resolved(document, response);
    let kind = answer["type"].as_str().unwrap().split(';').next().unwrap();
    let Some(content) = response["content"].get(kind) else {
        return vec![format!("{kind} is not described")];
    };
    match content.get("schema") {
        Some(schema) => schema::faults(document, schema, &answer["body"]),
        None => Vec::new(),
    }
}

#[test]
fn the_document_is_the_one_that_is_checked_in() {
    let told = Server::start().text("/openapi.json");
    let path = workspace().join("docs/openapi.json");
    if golden::updates() {
        return fs::write(path, told).unwrap();
    }
    let (known, told): (Value, Value) = (document(), serde_json::from_str(&told).unwrap());
    for part in ["info", "tags", "components", "paths"] {
        for (key, told) in told[part].as_object().into_iter().flatten() {
            assert_eq!(known[part].get(key), Some(told), "{part} {key}");
        }
    }
    assert_eq!(known, told);
}

#[test]
fn the_examples_are_golden_answers() {
    let path = workspace().join("bins/zk-backup-daemon/src/openapi/examples.json");
    let made = examples::made(&document(), &goldens());
    let known: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    // The server is built anew for each other file.
    if golden::updates() && known != made {
        return fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    for (operation, examples) in made.as_object().unwrap() {
        assert_eq!(known.get(operation), Some(examples), "{operation}");
    }
    assert_eq!(known, made);
}

#[test]
fn every_golden_answer_is_described() {
    let document = document();
    let nowhere = json!({ "404": { "$ref": "#/components/responses/NoEndpoint" }, "405": { "$ref": "#/components/responses/WrongMethod" } });
    let mut wrong = Vec::new();
    for golden in goldens() {
        let Golden {
            name, method, path, ..
        } = &golden;
        let operation = operation(&document, method, path);
        let responses = operation.map_or(&nowhere, |operation| &operation["responses"]);
        let status = golden.answer["status"].to_string();
        match responses.get(&status) {
            None => wrong.push(format!("{name}: {status} is not described")),
            Some(response) => {
                let faults = faults(&document, response, &golden.answer);
                wrong.extend(faults.iter().map(|fault| format!("{name}: {fault}")));
            }
        }
        if let Some(operation) = operation.filter(|_| status.starts_with('2')) {
            wrong.extend(asked_otherwise(&document, operation, &golden));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What was asked well, and is not described.
fn asked_otherwise(document: &Value, operation: &Value, golden: &Golden) -> Vec<String> {
    let name = &golden.name;
    let keys = golden
        .query
        .split('&')
        .filter_map(|pair| pair.split('=').next())
        .filter(|key| !key.is_empty());
    let is_known = |key: &str| {
        let parameters = operation["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|one| one["in"] == "query" && one["name"] == key))
    };
    let mut wrong: Vec<_> = keys
        .filter(|key| !is_known(key))
        .map(|key| format!("{name}: {key} is not described"))
        .collect();
    let schema = operation.pointer("/requestBody/content/application~1json/schema");
    if let (Some(schema), Ok(body)) = (schema, serde_json::from_str::<Value>(&golden.body)) {
        let faults = schema::faults(document, schema, &body);
        wrong.extend(faults.iter().map(|fault| format!("{name}, its body: {fault}")));
    }
    wrong
}

#[test]
fn every_example_is_as_its_schema_says() {
    let document = document();
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let contents = operation["responses"]
                .as_object()
                .unwrap()
                .values()
                .map(|response| &response["content"]);
            for content in contents.chain([&operation["requestBody"]["content"]]) {
                let Some(content) = content
                    .get("application/json")
                    .filter(|content| content.get("schema").is_some())
                else {
                    continue;
                };
                if let Some(example) = content.get("example") {
                    let faults = schema::faults(&document, &content["schema"], example);
                    assert!(faults.is_empty(), "{method} {path}: {faults:#?}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

/// The paths that are named in the routes.
fn routes() -> Vec<String> {
    let source = fs::read_to_string(workspace().join("bins/zk-backup-daemon/src/routes.rs")).unwrap();
    let configuring = source
        .split("\n}\n")
        .filter(|text| text.contains("config: &mut ServiceConfig"));
    let literals = configuring.flat_map(|function| function.split('"').skip(1).step_by(2));
    literals
        .filter(|text| text.starts_with('/'))
        .map(|path| match path {
            "/incremental" => "/incremental/{path}".to_owned(),
            path => path.replace(":.*}", "}"),
        })
        .collect()
}

#[test]
fn every_route_is_described_with_its_methods_and_nothing_else() {
    let (document, server) = (document(), Server::start());
    let paths = document["paths"].as_object().unwrap();
    let mut routes = routes();
    assert!(routes.len() > 30, "{routes:?}");
    routes.push("/openapi.json".to_owned());
    for route in &routes {
        assert!(paths.contains_key(route), "{route} is not described");
    }
    for (path, methods) in paths {
        assert!(routes.contains(path), "{path} is no route");
        if path.starts_with("/incremental") {
            continue;
        }
        let target = path.replace("{id}", "none");
        let mut described: Vec<_> = methods.as_object().unwrap().keys().cloned().collect();
        described.extend(described.contains(&"get".to_owned()).then(|| "head".to_owned()));
        for method in ["get", "post", "put", "patch", "delete"] {
            if (method, &*target) == ("get", "/events") {
                continue; // it does not end
            }
            let status = server.ask(&method.to_uppercase(), &target, "nonsense")["status"].clone();
            let is_described = described.iter().any(|one| one == method);
            assert_eq!(status != 405, is_described, "{method} {target}: {status}");
        }
        assert_eq!(server.allowed("PUT", &target), described, "{target}");
    }
}
