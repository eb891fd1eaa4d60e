//! What is asked, is what is done: an unclear request changes nothing.

use serde_json::json;

use crate::common::daemons::daemon;
use crate::common::servers::server;

#[test]
fn what_is_misspelt_evicts_nothing() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let http = &daemon.http;
    let (id, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let one = format!("/evict/{id}");
    for (query, body, names) in [
        ("?dry_run=ture", "", "ture"),
        ("?dry_run=", "", "dry_run"),
        ("?dryrun=true", "", "allowed are dry_run"),
        ("?dry_run=true&dry_run=false", "", "twice"),
        ("?dry_run=true&x=1", "", "\"x\""),
        ("?dry_run", "", "dry_run"),
        ("", r#"{"dryrun": true}"#, "dry_run"),
        ("", r#"{"dry_run": "ture"}"#, "ture"),
        ("", r#"{"dry_run": 2}"#, "dry_run"),
        ("", r#"{"dry_run": true, "dry_run": false}"#, "dry_run"),
        ("?dry_run=true", r#"{"dry_run": false}"#, "twice"),
        ("", "dry_run=true", "object"),
    ] {
        for path in ["/evict", &one] {
            let answer = http.post(&format!("{path}{query}"), body).unwrap();
            assert_eq!(answer.status, 400, "{path}{query} {body}: {}", answer.text);
            let message = answer.json()["message"].as_str().unwrap().to_owned();
            assert!(message.contains(names), "{path}{query} {body}: {message}");
        }
    }
    let there = || http.get(&format!("/listbackups/{id}")).unwrap().status;
    assert_eq!(there(), 200);
    for (query, body) in [
        ("?dry_run=True", ""),
        ("?dry_run=yes", "{}"),
        ("", r#"{"dry_run": 1}"#),
    ] {
        let told = http.post(&format!("{one}{query}"), body).unwrap();
        assert_eq!(told.status, 200, "{}", told.text);
        assert_eq!(
            told.json(),
            json!([{"id": id, "action": "evict", "reason": "it is named"}])
        );
        assert!(
            http.post(&format!("/evict{query}"), body)
                .unwrap()
                .json()
                .is_array()
        );
    }
    assert_eq!(there(), 200);
    let gone = http.post("/evict/20190321T080000?dry_run=true", "").unwrap();
    assert_eq!(gone.status, 404);

    // Everywhere else.
    let [terminate, remove, forget] =
        ["/terminate", "/api/v1/backup", "/api/v1/restore"].map(|of| format!("{of}/{id}"));
    for (method, path, body, names) in [
        ("POST", "/backup?mode=transactional", "", "none is allowed"),
        ("POST", "/backup", r#"{"allow_eviction": "Flase"}"#, "Flase"),
        (
            "POST",
            "/backup",
            r#"{"custom_vars": {"mode": "hierarchical", "mode": "transactional"}}"#,
            "duplicate field `mode`",
        ),
        (
            "POST",
            "/restore",
            r#"{"vault": "x", "custom_vars": {"mode": null, "mode": "hierarchical"}}"#,
            "duplicate field `mode`",
        ),
        ("POST", "/backup", r#"{"allow_partial": "ture"}"#, "ture"),
        (
            "POST",
            "/restore?dry_run=true",
            r#"{"vault": "x"}"#,
            "none is allowed",
        ),
        (
            "POST",
            "/restore",
            r#"{"vault": "x", "changeDbNames": {"a": "b", "a": "c"}}"#,
            "/a is given twice",
        ),
        (
            "POST",
            "/restore",
            r#"{"vault": "x", "changeDbNames": {"a": "b", "/a": "c"}}"#,
            "/a is given twice",
        ),
        ("GET", "/listbackups?limit=1", "", "none is allowed"),
        ("GET", "/health?x=1", "", "none is allowed"),
        (
            "GET",
            "/diff?from=a&to=live&path=/",
            "",
            "from, to, offset, limit",
        ),
        ("GET", "/diff?from=a", "", "to is missing"),
        ("GET", "/diff?from=a&to=live&limit=-1", "", "limit"),
        ("GET", "/diff?from=a&to=live&limit=0", "", "at least 1"),
        ("GET", "/find?path=/a&limit=0", "", "at least 1"),
        ("GET", "/history?path=/a&limit=0", "", "at least 1"),
        ("GET", "/jobs?limit=0", "", "at least 1"),
        ("POST", &terminate, r#"{"dry_run": true}"#, "dry_run"),
        ("POST", &terminate, "{", "EOF"),
        ("DELETE", &remove, r#"{"dry_run": true}"#, "dry_run"),
        ("DELETE", &forget, r#"{"dry_run": true}"#, "dry_run"),
    ] {
        let answer = http.send(method, path, body).unwrap();
        assert_eq!(answer.status, 400, "{path} {body}: {}", answer.text);
        assert!(answer.text.contains(names), "{path} {body}: {}", answer.text);
    }
    let znodes = http
        .get(&format!("/listbackups/{id}/znodes?path=/&path=/a"))
        .unwrap();
    assert_eq!(znodes.status, 400, "{}", znodes.text);
    assert_eq!(
        http.get("/listbackups").unwrap().json(),
        json!([id]),
        "nothing was queued"
    );

    let (pinned, _) = daemon
        .do_job("/backup", r#"{"allow_eviction": "f", "sharded": "y"}"#)
        .unwrap();
    let info = daemon.describe(&pinned).unwrap();
    assert_eq!(
        (&info["evictable"], &info["sharded"]),
        (&json!(false), &json!(true))
    );

    // A target that is the server's own.
    for target in ["zookeeper", "zookeeper/quota/a", "/zookeeper/config"] {
        let body = json!({"vault": id, "dbs": ["a"], "changeDbNames": {"a": target}}).to_string();
        let answer = http.post("/restore", &body).unwrap();
        assert_eq!(answer.status, 400, "{target}: {}", answer.text);
        assert!(answer.text.contains("zookeeper"), "{}", answer.text);
    }
}
