//! The REST API's answers, byte for byte as far as they do not depend on the machine, over vaults of every format
//! version. `UPDATE_GOLDEN=1 cargo test -p zk-backup-testkit --test wire` writes `golden/*.json` anew: what then differs
//! in them is what clients will see.
#![allow(clippy::unwrap_used)]

mod golden;
mod rest;
mod server;
mod vaults;

use serde_json::{Value, json};

use crate::golden::steady;
use crate::server::Server;

/// Jobs, and every vault in `golden/vaults`.
fn answers(server: &Server) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut ask = |method: &str, path: &str, body: &str| -> Value {
        let answer = server.ask(method, path, body);
        let line = format!("{method} {} {body}", steady(json!(path)).as_str().unwrap());
        all.push((line.trim_end().to_owned(), answer.clone()));
        answer["body"].clone()
    };
    ask("GET", "/listbackups", "");
    let ids = vaults::ids();
    for id in &ids {
        ask("GET", &format!("/listbackups/{id}"), "");
        ask("GET", &format!("/listbackups/{id}/znodes?path=/"), "");
    }
    let [oldest, newest] = [&ids[0], ids.last().unwrap()];
    ask(
        "GET",
        &format!("/listbackups/{oldest}/znode?path=/app/config"),
        "",
    );
    ask("GET", &format!("/listbackups/{oldest}/znode?path=/none"), "");
    ask("GET", &format!("/diff?from={oldest}&to={}", ids[1]), "");
    server.let_in(true);
    ask("GET", &format!("/diff?from={oldest}&to=live"), "");
    server.let_in(false);
    ask("GET", "/health", "");
    ask("GET", "/health/ready", "");
    ask("POST", "/evict?dry_run=true", "");
    ask("POST", &format!("/evict/{oldest}?dry_run=true"), "");

    let backup = ask("POST", "/backup", r#"{"allow_partial": true}"#);
    let backup = backup.as_str().unwrap();
    server.wait_until_processing(backup);
    ask("GET", &format!("/jobstatus/{backup}"), "");
    ask("GET", &format!("/listbackups/{backup}"), "");
    let granular = ask("POST", "/backup", r#"{"dbs": ["app", "none"], "sharded": true}"#);
    let granular = granular.as_str().unwrap();
    ask("GET", &format!("/jobstatus/{granular}"), "");
    ask("GET", &format!("/listbackups/{granular}"), "");
    let failed = ask("POST", "/backup", r#"{"mode": "transactional"}"#);
    let jobs = [backup, granular, failed.as_str().unwrap()];
    server.work(&jobs);
    for job in jobs {
        ask("GET", &format!("/jobstatus/{job}"), "");
        ask("GET", &format!("/listbackups/{job}"), "");
    }

    for body in [
        json!({ "vault": oldest, "dry_run": true }),
        json!({ "vault": ids[1], "dbs": ["app"], "changeDbNames": { "app": "copy" } }),
        json!({ "vault": oldest }),
        json!({ "vault": newest, "dbs": ["nowhere"] }),
        json!({ "ts": 1_795_000_000_000_i64 }),
    ] {
        let task = ask("POST", "/restore", &body.to_string());
        if let Some(task) = task.as_str() {
            server.work(&[task]);
            ask("GET", &format!("/jobstatus/{task}"), "");
        }
    }
    let transactional = &ids[3];
    for body in [
        json!({ "vault": newest, "changeDbNames": { "/": "copy" } }),
        json!({ "vault": newest, "changeDbNames": { "app": "zookeeper/copy" } }),
        json!({ "vault": newest, "dbs": ["app"], "changeDbNames": { "other": "copy" } }),
        json!({ "vault": transactional, "strategy": "files", "dbs": ["app"] }),
        json!({ "vault": newest, "strategy": "files" }),
        json!({ "vault": transactional, "strategy": "files", "raise_epoch": 2_000_000_001_u32 }),
        json!({ "vault": newest, "raise_epoch": 7 }),
    ] {
        ask("POST", "/restore", &body.to_string());
    }
    for (method, path, body) in [
        ("POST", "/backup", r#"{"mode": "transactional", "dbs": ["app"]}"#),
        ("POST", "/backup", r#"{"mode": "other"}"#),
        ("POST", "/backup", "nonsense"),
        ("POST", "/backup", r#"{"unknown": 1}"#),
        ("POST", "/restore", r#"{"vault": "20000101T000000"}"#),
        ("POST", "/restore", r#"{"ts": 5}"#),
        ("POST", "/evict/20000101T000000", ""),
        ("POST", "/evict?dry_run=maybe", ""),
        ("GET", "/jobstatus/none", ""),
        ("GET", "/listbackups/none", ""),
        ("GET", "/nowhere", ""),
        ("DELETE", "/backup", ""),
        ("GET", "/health/live", ""),
    ] {
        ask(method, path, body);
    }
    ask("POST", &format!("/evict/{oldest}"), "");

    let running = ask("POST", "/backup", "");
    let running = running.as_str().unwrap();
    server.wait_until_processing(running);
    let waiting = ask("POST", "/restore", &json!({ "vault": newest }).to_string());
    let waiting = waiting.as_str().unwrap();
    for job in [waiting, running] {
        ask("POST", &format!("/terminate/{job}"), "");
        server.wait_for_end(job);
        ask("GET", &format!("/jobstatus/{job}"), "");
    }
    ask("POST", &format!("/terminate/{running}"), "");
    ask("GET", &format!("/listbackups/{running}"), "");
    ask("POST", "/terminate/none", "");
    ask("GET", "/terminate/none", "");
    for path in [
        format!("/verify/{transactional}"),
        format!("/restoretest/{transactional}"),
    ] {
        let task = ask("POST", &path, "");
        let task = task.as_str().unwrap();
        server.work(&[task]);
        ask("GET", &format!("/jobstatus/{task}"), "");
        ask("GET", &format!("/listbackups/{transactional}"), "");
    }
    for path in [
        "/verify/none",
        "/verify?share=5",
        "/restoretest/none?in=memory",
        "/restoretest/none?in=space",
    ] {
        ask("POST", path, "");
    }
    ask("POST", &format!("/restoretest/{transactional}?in=ensemble"), "");
    ask("POST", "/verify", r#"{"vault": "x"}"#);
    ask("GET", "/health", "");
    all
}

#[test]
fn the_answers_are_what_they_were() {
    let server = Server::start();
    let found: serde_json::Map<String, Value> = answers(&server)
        .into_iter()
        .enumerate()
        .map(|(index, (line, answer))| (format!("{index:02} {line}"), steady(answer)))
        .collect();
    golden::compare("wire.json", &Value::Object(found));
}

#[test]
fn the_names_of_metrics_are_what_they_were() {
    let server = Server::start();
    let backup = server.ask("POST", "/backup", "")["body"]
        .as_str()
        .unwrap()
        .to_owned();
    server.work(&[&backup]);
    let text = server.text("/metrics");
    let names = text
        .lines()
        .filter(|line| line.starts_with("# "))
        .collect::<Vec<_>>();
    golden::compare("metrics.json", &json!(names));
}
