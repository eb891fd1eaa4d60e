//! Requests that cannot be carried out, and what is said of them.

use super::assert_error;
use crate::common::daemons::daemon;
use crate::common::servers::nobody;

#[test]
fn requests_that_cannot_be_are_refused_with_a_reason() {
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&nobody(), storage.path(), &[("ENABLE_FULL_RESTORE", "false")]);
    let post = |path: &str, body: &str| daemon.http.post(path, body).unwrap();
    for (path, body, status, part) in [
        ("/backup", "{", 400, "EOF"),
        ("/backup", "[]", 400, "object"),
        ("/backup", "\"text\"", 400, "object"),
        ("/backup", "{} {}", 400, "trailing"),
        ("/backup", r#"{"dbz": []}"#, 400, "dbz"),
        ("/backup", r#"{"dbz": []}"#, 400, "allow_eviction"),
        ("/backup", r#"{"dbs": "a"}"#, 400, "dbs"),
        ("/backup", r#"{"dbs": [1.5]}"#, 400, "dbs[0]"),
        ("/backup", r#"{"dbs": [true]}"#, 400, "dbs[0]"),
        ("/backup", r#"{"dbs": [9223372036854775808]}"#, 400, "dbs[0]"),
        ("/backup", r#"{"dbs": ["a"], "dbs": ["b"]}"#, 400, "dbs"),
        ("/backup", r#"{"dbs": ["a"], "args": ["a"]}"#, 400, "args"),
        ("/backup", r#"{"dbs": ["../etc"]}"#, 400, "dbs"),
        ("/backup", r#"{"dbs": ["a//b"]}"#, 400, "dbs"),
        ("/backup", r#"{"dbs": ["a\u0001"]}"#, 400, "dbs"),
        ("/backup", r#"{"mode": "magic"}"#, 400, "hierarchical"),
        (
            "/backup",
            r#"{"mode": "transactional", "dbs": ["a"]}"#,
            400,
            "all of ZooKeeper",
        ),
        ("/backup", r#"{"allow_eviction": []}"#, 400, "allow_eviction"),
        ("/restore", "", 404, "vault"),
        (
            "/restore",
            r#"{"vault": "20190321T080000"}"#,
            404,
            "20190321T080000",
        ),
        ("/restore", r#"{"vault": "../../etc/passwd"}"#, 404, "not found"),
        ("/restore", r#"{"ts": 99999999999999}"#, 404, ""),
        ("/restore", r#"{"ts": "soon"}"#, 400, "ts"),
        ("/restore", r#"{"vault": 7}"#, 400, "vault"),
        ("/restore", r#"{"ts": 1543000000}"#, 400, "ts"),
        ("/restore", r#"{"before": "1543000000"}"#, 400, "before"),
        ("/restore", r#"{"vault": "x", "ts": 1543000000000}"#, 400, "ts"),
        (
            "/restore",
            r#"{"vault": "x", "before": 1543000000000}"#,
            400,
            "before",
        ),
        (
            "/restore",
            r#"{"ts": 1543000000000, "before": 1543000000000}"#,
            400,
            "before",
        ),
        ("/restore", r#"{"vault": "x", "policy": "burn"}"#, 400, "merge"),
        (
            "/restore",
            r#"{"vault": "x", "changeDbNames": ["a"]}"#,
            400,
            "changeDbNames",
        ),
        ("/nothing", "", 404, "/nothing"),
        ("/health", "", 405, "POST"),
    ] {
        assert_error(&post(path, body), status, part);
    }
    let deep = format!("{{\"dbs\": {}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    assert_error(&post("/backup", &deep), 400, "");
    let large = format!("{{\"dbs\": [\"{}\"]}}", "a".repeat(2 << 20));
    assert_error(&post("/backup", &large), 413, "1 MiB");
    assert_error(&daemon.http.send("DELETE", "/backup", "").unwrap(), 405, "DELETE");
    assert_eq!(
        daemon.http.get("/listbackups").unwrap().text,
        "[]",
        "nothing was queued"
    );

    // What is no id is not found, and never a path.
    std::fs::write(storage.path().join("precious"), "x").unwrap();
    let long = "1".repeat(4_000);
    for id in [
        "../../etc",
        "%2e%2e%2fprecious",
        "..%2f..%2fetc",
        "precious",
        "a%00b",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        ".staging",
        "granular",
        "20190321T080000",
        "20190321t080000",
        "20191321T080000",
        "%ff",
        &long,
    ] {
        for answer in [
            post(&format!("/evict/{id}"), ""),
            daemon.http.get(&format!("/listbackups/{id}")).unwrap(),
        ] {
            assert_eq!(answer.status, 404, "{id}: {}", answer.text);
            assert!(answer.text.len() < 400, "{id}");
        }
        let answer = daemon.http.get(&format!("/jobstatus/{id}")).unwrap();
        assert_eq!(answer.status, 404, "{id}");
        assert!(answer.json()["message"].is_string(), "{id}: {}", answer.text);
    }
    assert!(storage.path().join("precious").exists());
}
