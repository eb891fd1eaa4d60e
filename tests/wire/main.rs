//! The REST API's answers, byte for byte as far as they do not depend on the machine, over vaults of every format
//! version. `UPDATE_GOLDEN=1 cargo test -p zk-backup-testkit --test wire` writes `golden/*.json` anew: what then differs
//! in them is what clients will see.
#![allow(clippy::unwrap_used)]

mod asked;
mod golden;
mod openapi;
mod rest;
mod server;
mod vaults;
mod weeks;

use serde_json::json;

use crate::asked::Asked;
use crate::server::Server;

/// Every vault in `golden/vaults`, and what is told of the server.
fn ask_of_what_is_kept(asked: &mut Asked<'_>, ids: &[String]) {
    asked.ask("GET", "/listbackups", "");
    for id in ids {
        asked.ask("GET", &format!("/listbackups/{id}"), "");
        asked.ask("GET", &format!("/listbackups/{id}/znodes?path=/"), "");
    }
    let oldest = &ids[0];
    asked.ask(
        "GET",
        &format!("/listbackups/{oldest}/znode?path=/app/config"),
        "",
    );
    asked.ask("GET", &format!("/listbackups/{oldest}/znode?path=/none"), "");
    asked.ask("GET", &format!("/diff?from={oldest}&to={}", ids[1]), "");
    asked.server.let_in(true);
    asked.ask("GET", &format!("/diff?from={oldest}&to=live"), "");
    asked.server.let_in(false);
    asked.ask("GET", "/health", "");
    asked.ask("GET", "/health/ready", "");
    asked.ask("POST", "/evict?dry_run=true", "");
    asked.ask("POST", &format!("/evict/{oldest}?dry_run=true"), "");
}

/// Backups, while they wait, are done, and have ended.
fn ask_for_backups(asked: &mut Asked<'_>) {
    let backup = asked.ask("POST", "/backup", r#"{"allow_partial": true}"#);
    let backup = backup.as_str().unwrap();
    asked.server.wait_until_processing(backup);
    asked.ask("GET", &format!("/jobstatus/{backup}"), "");
    asked.ask("GET", &format!("/listbackups/{backup}"), "");
    let granular = asked.ask("POST", "/backup", r#"{"dbs": ["app", "none"], "sharded": true}"#);
    let granular = granular.as_str().unwrap();
    asked.ask("GET", &format!("/jobstatus/{granular}"), "");
    asked.ask("GET", &format!("/listbackups/{granular}"), "");
    let failed = asked.ask("POST", "/backup", r#"{"mode": "transactional"}"#);
    let jobs = [backup, granular, failed.as_str().unwrap()];
    asked.server.work(&jobs);
    for job in jobs {
        asked.ask("GET", &format!("/jobstatus/{job}"), "");
        asked.ask("GET", &format!("/listbackups/{job}"), "");
    }
}

/// Restores that are done.
fn ask_for_restores(asked: &mut Asked<'_>, ids: &[String]) {
    let [oldest, newest] = [&ids[0], ids.last().unwrap()];
    for body in [
        json!({ "vault": oldest, "dry_run": true }),
        json!({ "vault": ids[1], "dbs": ["app"], "changeDbNames": { "app": "copy" } }),
        json!({ "vault": oldest }),
        json!({ "vault": newest, "dbs": ["nowhere"] }),
        json!({ "ts": 1_795_000_000_000_i64 }),
    ] {
        let task = asked.ask("POST", "/restore", &body.to_string());
        if let Some(task) = task.as_str() {
            asked.server.work(&[task]);
            asked.ask("GET", &format!("/jobstatus/{task}"), "");
        }
    }
}

/// Restores that cannot be.
fn ask_for_restores_that_cannot_be(asked: &mut Asked<'_>, ids: &[String]) {
    let (newest, transactional) = (ids.last().unwrap(), &ids[3]);
    for body in [
        json!({ "vault": newest, "changeDbNames": { "/": "copy" } }),
        json!({ "vault": newest, "changeDbNames": { "app": "zookeeper/copy" } }),
        json!({ "vault": newest, "dbs": ["app"], "changeDbNames": { "other": "copy" } }),
        json!({ "vault": transactional, "strategy": "files", "dbs": ["app"] }),
        json!({ "vault": newest, "strategy": "files" }),
        json!({ "vault": transactional, "strategy": "files", "raise_epoch": 2_000_000_001_u32 }),
        json!({ "vault": newest, "raise_epoch": 7 }),
    ] {
        asked.ask("POST", "/restore", &body.to_string());
    }
}

/// Requests that are refused.
fn ask_for_what_is_refused(asked: &mut Asked<'_>) {
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
        asked.ask(method, path, body);
    }
}

/// A vault that is evicted, and jobs that are called off.
fn ask_to_end(asked: &mut Asked<'_>, ids: &[String]) {
    let [oldest, newest] = [&ids[0], ids.last().unwrap()];
    asked.ask("POST", &format!("/evict/{oldest}"), "");

    let running = asked.ask("POST", "/backup", "");
    let running = running.as_str().unwrap();
    asked.server.wait_until_processing(running);
    let waiting = asked.ask("POST", "/restore", &json!({ "vault": newest }).to_string());
    let waiting = waiting.as_str().unwrap();
    for job in [waiting, running] {
        asked.ask("POST", &format!("/terminate/{job}"), "");
        asked.server.wait_for_end(job);
        asked.ask("GET", &format!("/jobstatus/{job}"), "");
    }
    asked.ask("POST", &format!("/terminate/{running}"), "");
    asked.ask("GET", &format!("/listbackups/{running}"), "");
    asked.ask("POST", "/terminate/none", "");
    asked.ask("GET", "/terminate/none", "");
}

/// Verifications, and restores for a test.
fn ask_for_checks(asked: &mut Asked<'_>, ids: &[String]) {
    let transactional = &ids[3];
    for path in [
        format!("/verify/{transactional}"),
        format!("/restoretest/{transactional}"),
    ] {
        let task = asked.ask("POST", &path, "");
        let task = task.as_str().unwrap();
        asked.server.work(&[task]);
        asked.ask("GET", &format!("/jobstatus/{task}"), "");
        asked.ask("GET", &format!("/listbackups/{transactional}"), "");
    }
    for path in [
        "/verify/none",
        "/verify?share=5",
        "/restoretest/none?in=memory",
        "/restoretest/none?in=space",
    ] {
        asked.ask("POST", path, "");
    }
    asked.ask("POST", &format!("/restoretest/{transactional}?in=ensemble"), "");
    asked.ask("POST", "/verify", r#"{"vault": "x"}"#);
}

#[test]
fn the_answers_are_what_they_were() {
    let server = Server::start();
    let (mut asked, ids) = (Asked::new(&server), vaults::ids());
    ask_of_what_is_kept(&mut asked, &ids);
    ask_for_backups(&mut asked);
    ask_for_restores(&mut asked, &ids);
    ask_for_restores_that_cannot_be(&mut asked, &ids);
    ask_for_what_is_refused(&mut asked);
    ask_to_end(&mut asked, &ids);
    ask_for_checks(&mut asked, &ids);
    asked.ask("GET", "/health", "");
    asked.compare("wire.json");
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
