//! The web page as files: what it is served with, to whom, and what else it needs of the server.

use std::process::Command;

use serde_json::json;
use zk_backup_testkit::{Daemon, Http, PASSWORD, USER};

use crate::common::clients::observer;
use crate::common::daemons::{daemon, try_daemon};
use crate::common::servers::{nobody, server};
use crate::common::trees::plant;

/// The head and the body of what is answered; redirects are not followed.
fn ask(daemon: &Daemon, path: &str, headers: &[&str]) -> (String, String) {
    let mut curl = Command::new("curl");
    curl.args(["-sSi", "--path-as-is", "-u", &format!("{USER}:{PASSWORD}")]);
    for header in headers {
        curl.args(["-H", header]);
    }
    let output = curl
        .arg(format!("http://{}{path}", daemon.address))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

const AS_A_BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

#[test]
fn the_page_comes_with_what_binds_a_browser_and_only_to_who_is_known() {
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&nobody(), storage.path(), &[]);
    let (head, page) = ask(&daemon, "/ui/", &[]);
    for line in [
        "http/1.1 200",
        "content-type: text/html; charset=utf-8",
        "cache-control: no-cache",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(!head.contains("unsafe"), "{head}");
    assert!(
        !page.contains("style=") && !page.contains("onclick"),
        "nothing is written in it: {page}"
    );
    // Every script that is named anywhere is there, and is one.
    let mut left = vec!["app.js".to_owned()];
    let mut seen = Vec::new();
    while let Some(name) = left.pop() {
        if seen.contains(&name) {
            continue;
        }
        let (head, script) = ask(&daemon, &format!("/ui/{name}"), &[]);
        assert!(head.contains("content-type: text/javascript"), "{name}: {head}");
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let imports = script
            .split("from '")
            .skip(1)
            .filter_map(|rest| rest.split_once("';"));
        left.extend(imports.map(|(import, _)| {
            match import.strip_prefix("../") {
                Some(above) => above.to_owned(),
                None => format!("{folder}/{}", import.trim_start_matches("./"))
                    .trim_start_matches('/')
                    .to_owned(),
            }
        }));
        seen.push(name);
    }
    assert!(seen.len() > 20, "{seen:?}");

    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let (again, nothing) = ask(&daemon, "/ui/", &[&format!("If-None-Match: {tag}")]);
    assert!(again.contains("http/1.1 304") && nothing.is_empty(), "{again}");
    let (missing, _) = ask(&daemon, "/ui/../../etc/passwd", &["X: y"]);
    assert!(missing.contains("http/1.1 404"), "{missing}");
    let stranger = daemon.http.clone().without_credentials().get("/ui/").unwrap();
    assert_eq!(stranger.status, 401);
    assert!(stranger.header("www-authenticate").starts_with("Basic"));
}

#[test]
fn a_browser_is_led_to_the_page_and_anybody_else_to_the_places() {
    let storage = tempfile::tempdir().unwrap();
    let with = daemon(&nobody(), storage.path(), &[]);
    let (head, _) = ask(&with, "/", &[AS_A_BROWSER]);
    assert!(
        head.contains("http/1.1 302") && head.contains("location: ui/"),
        "{head}"
    );
    assert!(ask(&with, "/ui", &[]).0.contains("location: ui/"));
    let listed = ask(&with, "/", &[]).1;
    for place in ["/ui/", "/openapi.json", "/events", "/find?path=/"] {
        assert!(listed.contains(&format!("\"{place}\"")), "{place}: {listed}");
    }
    drop(with);
    let without = daemon(&nobody(), storage.path(), &[("UI_ENABLED", "false")]);
    let listed = ask(&without, "/", &[AS_A_BROWSER]).1;
    assert!(
        listed.contains("\"/events\"") && !listed.contains("/ui/") && !listed.contains("openapi"),
        "{listed}"
    );
    for path in [
        "/ui/",
        "/ui",
        "/ui/app.js",
        "/ui/caller",
        "/swagger-ui/",
        "/swagger-ui",
        "/openapi.json",
    ] {
        let (head, body) = ask(&without, path, &[AS_A_BROWSER]);
        assert!(
            head.contains("http/1.1 404") && body.contains("no_such_endpoint"),
            "{path}: {head}"
        );
    }
}

#[test]
fn readers_look_at_everything_and_change_nothing() {
    let storage = tempfile::tempdir().unwrap();
    let reader = [
        ("BACKUP_DAEMON_API_READER_USERNAME", "reader"),
        ("BACKUP_DAEMON_API_READER_PASSWORD", "canary-reader"),
    ];
    for (settings, part) in [
        (&reader[..1], "BACKUP_DAEMON_API_READER_PASSWORD"),
        (
            &[(reader[0].0, USER), reader[1]],
            "the operator has this name already",
        ),
        (
            &[
                reader[0],
                reader[1],
                ("BACKUP_DAEMON_API_CREDENTIALS_USERNAME", ""),
                ("BACKUP_DAEMON_API_CREDENTIALS_PASSWORD", ""),
            ],
            "everybody may do everything",
        ),
    ] {
        let refused = try_daemon(&nobody(), storage.path(), settings)
            .unwrap_err()
            .to_string();
        assert!(refused.contains(part) && !refused.contains("canary"), "{refused}");
    }
    let protected = [reader[0], reader[1], ("BACKUP_DAEMON_PROTECT_READS", "true")];
    let daemon = daemon(&nobody(), storage.path(), &protected);
    let reader = Http::new(&daemon.address).with_credentials("reader", "canary-reader");
    for path in [
        "/listbackups",
        "/jobs",
        "/health",
        "/ui/",
        "/evictionpolicy",
        "/openapi.json",
        "/swagger-ui/",
        "/swagger-ui/swagger-ui-bundle.js",
    ] {
        assert_eq!(reader.get(path).unwrap().status, 200, "{path}");
        let stranger = reader.clone().without_credentials().get(path).unwrap();
        assert_eq!(
            stranger.status,
            if path == "/health" { 200 } else { 401 },
            "{path}"
        );
    }
    assert_eq!(reader.get("/ui/caller").unwrap().json()["may_change"], false);
    assert_eq!(daemon.http.get("/ui/caller").unwrap().json()["may_change"], true);
    for (method, path) in [
        ("POST", "/backup"),
        ("POST", "/evict?dry_run=true"),
        ("POST", "/restore/backup"),
        ("POST", "/listbackups/20260101T000000/pin"),
        ("DELETE", "/api/v1/backup/20260101T000000"),
        ("PUT", "/nowhere"),
        // What takes a whole backup away.
        ("GET", "/backup/20260101T000000"),
        ("GET", "/backup/s3/20260101T000000"),
    ] {
        let answer = reader.send(method, path, "").unwrap();
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (403, &json!("read_only")),
            "{method} {path}"
        );
    }
    assert_eq!(
        daemon.http.get("/jobs").unwrap().json()["total"],
        0,
        "nothing was done"
    );
    let wrong = reader.with_credentials("reader", PASSWORD);
    assert_eq!(wrong.get("/jobs").unwrap().status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_backup_and_a_live_znode_are_told() {
    let zookeeper = server();
    let client = observer(&zookeeper).await;
    plant(&client, &[("/config", b"before")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let (id, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    for name in [&*id, "latest"] {
        let log = daemon.http.get(&format!("/listbackups/{name}/log")).unwrap();
        assert!(log.header("content-type").starts_with("text/plain"));
        assert!(log.text.contains("[INFO]"), "{}", log.text);
    }
    let missing = daemon.http.get("/listbackups/20000101T000000/log").unwrap();
    assert_eq!(
        (missing.status, &*missing.text),
        (404, "\"backup 20000101T000000 not found\"")
    );

    client.set_data("/config", b"after".to_vec(), None).await.unwrap();
    let live = daemon.http.get("/listbackups/live/znode?path=/config").unwrap();
    let known = daemon
        .http
        .get(&format!("/listbackups/{id}/znode?path=/config"))
        .unwrap();
    let (live, known) = (live.json(), known.json());
    assert_eq!(
        (&live["data"], &known["data"]),
        (&json!("YWZ0ZXI="), &json!("YmVmb3Jl"))
    );
    assert_eq!(live["acl"], known["acl"]);
    assert_eq!(live["stat"]["version"], 1);
    let gone = daemon.http.get("/listbackups/live/znode?path=/gone").unwrap();
    assert_eq!(
        (gone.status, &gone.json()["code"]),
        (404, &json!("znode_not_found"))
    );
    let hidden =
        zookeeper_async::Acl::new(zookeeper_async::Permission::ALL, "digest", "bob:ZWxzZXdoZXJlIQ==");
    client.set_acl("/config", vec![hidden], None).await.unwrap();
    let secret = daemon.http.get("/listbackups/live/znode?path=/config").unwrap();
    let why = secret.json()["message"].as_str().unwrap().to_owned();
    assert!(
        why.contains("/config is not shown to ip:127.0.0.1: READ is needed there"),
        "{why}"
    );
    let stranger = daemon.http.clone().without_credentials();
    for path in ["/listbackups/live/znode?path=/config", "/listbackups/latest/log"] {
        assert_eq!(stranger.get(path).unwrap().status, 401, "{path}");
    }
}
