//! What was added to the API for clients of the predecessor, and for people: answers as in `main.rs`, in a file of their own.

use crate::asked::Asked;
use crate::server::Server;
use crate::vaults;

fn ask_all(asked: &mut Asked<'_>) {
    let server = asked.server;
    let mut ask = |method: &str, path: &str, body: &str| asked.ask(method, path, body);
    let ids = vaults::ids();
    ask("GET", "/", "");
    ask("GET", "/listbackups/latest", "");
    ask("GET", "/listbackups/latest/znodes?path=/", "");
    ask("GET", &format!("/diff?from={}&to=latest", ids[0]), "");
    ask("GET", "/find?ts=1763596800000", "");
    ask("GET", "/find", r#"{"ts": "1795564800000"}"#);
    ask("GET", "/find", "");
    ask("GET", "/jobs", "");
    let task = ask("POST", "/restore", r#"{"vault": "latest", "dry_run": true}"#);
    server.work(&[task.as_str().unwrap()]);
    ask("GET", "/jobs?limit=1", "");
    ask("GET", "/evictionpolicy", "");
    ask(
        "POST",
        "/evictionpolicy?dry_run=true",
        r#"{"fullEvictionPolicy": "1/delete"}"#,
    );
    ask("POST", "/evictionpolicy", r#"{"fullEvictionPolicy": "1/delete"}"#);
    ask(
        "POST",
        "/evictionpolicy",
        r#"{"fullEvictionPolicy": "1x/delete"}"#,
    );
    ask("GET", "/evictionpolicy", "");
    ask("POST", &format!("/listbackups/{}/pin", ids[0]), "");
    ask("POST", "/listbackups/20000101T000000/unpin", "");
    ask("POST", "/evict?dry_run=true", "");
    ask("GET", "/history?path=/app/config", "");
    ask("GET", "/history?path=/app/config&offset=2&limit=2", "");
    ask("GET", "/backup/20000101T000000", "");
    ask("POST", "/restore/backup", "");
    ask("POST", "/external/restore", r#"{"externalBackupPath": "x"}"#);
    ask("POST", "/external/restore", r#"{"vault": "latest"}"#);
    ask("POST", "/incremental/restore", "");
    ask("POST", "/api/v1/backup", r#"{"databases": ["app"]}"#);
    let backup = ask(
        "POST",
        "/api/v1/backup",
        r#"{"blobPath": "/b/", "storageName": "s", "databases": ["app"]}"#,
    );
    let backup = backup["backupId"].as_str().unwrap();
    server.work(&[backup]);
    ask("GET", &format!("/api/v1/backup/{backup}"), "");
    ask("GET", &format!("/api/v1/backup/{}", ids[0]), "");
    let restore = ask(
        "POST",
        &format!("/api/v1/restore/{backup}"),
        r#"{"blobPath": "b", "databases": [{"previousDatabaseName": "app", "databaseName": "copy"}]}"#,
    );
    let restore = restore["restoreId"].as_str().unwrap();
    server.work(&[restore]);
    ask("GET", &format!("/api/v1/restore/{restore}"), "");
    ask("DELETE", &format!("/api/v1/backup/{backup}?blobPath=b"), "");
    ask("GET", &format!("/api/v1/restore/{backup}"), "");
    ask("DELETE", &format!("/api/v1/restore/{restore}"), "");
    ask("DELETE", &format!("/api/v1/restore/{backup}"), "");
    ask(
        "POST",
        "/backup",
        r#"{"mode": "transactional", "custom_vars": {"mode": "transactional"}}"#,
    );
    ask(
        "POST",
        "/restore",
        r#"{"vault": "20000101T000000", "custom_vars": {"region": "eu"}}"#,
    );
    ask(
        "POST",
        "/restore",
        r#"{"vault": "20000101T000000", "mode": "all"}"#,
    );
    ask("GET", "/backup/s3/20000101T000000?expiration=604801", "");
}

#[test]
fn the_answers_of_the_rest_are_what_they_were() {
    let server = Server::start();
    let mut asked = Asked::new(&server);
    ask_all(&mut asked);
    asked.compare("rest.json");
}
