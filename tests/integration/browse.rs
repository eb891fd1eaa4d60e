//! Looking into backups of both modes, and comparing them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zk_backup_testkit::{Distribution, Setup, ZooKeeper};
use zookeeper_client::{Acls, Client, CreateMode};

use crate::common::clients::{closed, stranger};
use crate::common::daemons::daemon;

async fn plant() -> (ZooKeeper, Client) {
    let setup = Setup {
        java: vec!["-Dzookeeper.extendedTypesEnabled=true".to_owned()],
        ..Setup::default()
    };
    let (server, _) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let client = stranger(&server.address()).await;
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.create("/app", b"top", &open).await.unwrap();
    for i in 0..25 {
        client
            .create(&format!("/app/n{i:02}"), &vec![7; i], &open)
            .await
            .unwrap();
    }
    let container = CreateMode::Container.with_acls(Acls::anyone_all());
    client.create("/app/n03/box", b"", &container).await.unwrap();
    let ttl = Duration::from_secs(3_600);
    client
        .create("/app/n03/brief", b"\0\xff", &open.with_ttl(ttl))
        .await
        .unwrap();
    (server, client)
}

fn names(page: &Value) -> Vec<&str> {
    let znodes = page["znodes"].as_array().unwrap();
    znodes
        .iter()
        .map(|znode| znode["name"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn znodes_of_both_modes_can_be_seen_and_compared() {
    let (server, client) = plant().await;
    let storage = tempfile::tempdir().unwrap();
    let data = server.data_directory();
    let settings = [
        ("ZOOKEEPER_DATA_DIR", data.to_str().unwrap()),
        ("ZOOKEEPER_DRIVER", "batched"),
        ("EVICTION_POLICY", "1y/delete"),
    ];
    let daemon = daemon(&server.address(), storage.path(), &settings);
    let mut ids = Vec::new();
    for mode in ["hierarchical", "transactional"] {
        let body = json!({ "mode": mode }).to_string();
        let (id, state) = daemon.do_job("/backup", &body).unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        let exact = mode == "transactional";

        let page = daemon
            .http
            .get(&format!("/listbackups/{id}/znodes?path=/"))
            .unwrap();
        assert_eq!(page.status, 200, "{}", page.text);
        assert_eq!(names(&page.json()), ["app", "zookeeper"]);
        let some = format!("/listbackups/{id}/znodes?path=/app&offset=3&limit=2");
        let page = daemon.http.get(&some).unwrap().json();
        assert_eq!((names(&page), &page["total"]), (vec!["n03", "n04"], &json!(25)));
        let (_, stat) = client.get_data("/app/n03").await.unwrap();
        let seen = &page["znodes"][0];
        assert_eq!(
            (
                &seen["size"],
                &seen["children"],
                &seen["stat"]["czxid"],
                &seen["stat"]["cversion"]
            ),
            (&json!(3), &json!(2), &json!(stat.czxid), &json!(stat.cversion)),
            "{seen}"
        );
        assert_eq!(seen["stat"]["num_children"], json!(2));
        let page = daemon
            .http
            .get(&format!("/listbackups/{id}/znodes?path=/app/n03"))
            .unwrap()
            .json();
        let kinds: Vec<_> = page["znodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|z| z["kind"].clone())
            .collect();
        let expected = if exact {
            [json!("container"), json!("ttl")]
        } else {
            [Value::Null, Value::Null]
        };
        assert_eq!(kinds, expected);
        let page = daemon
            .http
            .get(&format!("/listbackups/{id}/znodes?path=/app/n04"))
            .unwrap()
            .json();
        assert_eq!((names(&page), &page["total"]), (vec![], &json!(0)));

        let znode = daemon
            .http
            .get(&format!("/listbackups/{id}/znode?path=/app/n03/brief"))
            .unwrap()
            .json();
        assert_eq!(znode["data"], json!(STANDARD.encode(b"\0\xff")));
        assert_eq!(
            znode["acl"],
            json!([{ "perms": 31, "scheme": "world", "id": "anyone" }])
        );
        assert_eq!(znode.get("ttl_ms"), exact.then_some(&json!(3_600_000)));
        ids.push(id);
    }

    // What is not there, is not allowed, or is not a path.
    let id = &ids[0];
    for (path, status, code) in [
        (
            format!("/listbackups/{id}/znode?path=/none"),
            404,
            "znode_not_found",
        ),
        (
            format!("/listbackups/{id}/znodes?path=/app/none"),
            404,
            "znode_not_found",
        ),
        (
            format!("/listbackups/{id}/znodes?path=app"),
            400,
            "invalid_request",
        ),
        (format!("/listbackups/{id}/znodes"), 400, "invalid_request"),
        (
            format!("/listbackups/{id}/znodes?path=/&limit=1000000"),
            400,
            "invalid_request",
        ),
        (
            "/listbackups/20190321T080000/znodes?path=/".to_owned(),
            404,
            "backup_not_found",
        ),
        (
            "/listbackups/..%2f..%2fetc/znodes?path=/".to_owned(),
            404,
            "backup_not_found",
        ),
        (
            format!("/diff?from={id}&to=20190321T080000"),
            404,
            "backup_not_found",
        ),
        (format!("/diff?from={id}"), 400, "invalid_request"),
    ] {
        let answer = daemon.http.get(&path).unwrap();
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert_eq!(answer.json()["code"], json!(code), "{path}: {}", answer.text);
    }
    let nobody = daemon.http.clone().without_credentials();
    for path in [
        format!("/listbackups/{id}/znodes?path=/"),
        format!("/listbackups/{id}/%7Anodes?path=/"),
        format!("/%6Cistbackups/{id}/znodes?path=/"),
        format!("/listbackups/{id}/znode?path=/app"),
        format!("/diff?from={id}&to=live"),
    ] {
        assert_eq!(nobody.get(&path).unwrap().status, 401, "{path}");
    }

    // The two backups hold the same; what is live goes on.
    let diff = |to: &str, more: &str| {
        let answer = daemon
            .http
            .get(&format!("/diff?from={id}&to={to}{more}"))
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let none = json!({ "added": 0, "removed": 0, "data_changed": 0, "acl_changed": 0, "unknown": 0, "unknown_paths": [], "differences": [], "within": null });
    assert_eq!(diff(&ids[1], ""), none);
    assert_eq!(diff("live", ""), none);
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.create("/new", b"", &open).await.unwrap();
    client.delete("/app/n20", None).await.unwrap();
    client.set_data("/app/n21", b"else", None).await.unwrap();
    let bob = &closed().entries()[0].clone();
    let acl = zookeeper_client::Acl::new(
        zookeeper_client::Permission::ALL,
        zookeeper_client::AuthId::new(&bob.scheme, &bob.id),
    );
    client.set_acl("/app/n22", &[acl], None).await.unwrap();
    let (later, state) = daemon.do_job("/backup", r#"{"mode": "transactional"}"#).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let found = diff(&later, "");
    let counts = |found: &Value| {
        ["added", "removed", "data_changed", "acl_changed"].map(|key| found[key].as_u64().unwrap())
    };
    assert_eq!(counts(&found), [1, 1, 1, 1], "{found}");
    let listed = |found: &Value| -> Vec<String> {
        let mut listed: Vec<_> = found["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| {
                format!(
                    "{} {}",
                    d["path"].as_str().unwrap(),
                    d["change"].as_str().unwrap()
                )
            })
            .collect();
        listed.sort();
        listed
    };
    let expected = [
        "/app/n20 removed",
        "/app/n21 data_changed",
        "/app/n22 acl_changed",
        "/new added",
    ];
    assert_eq!(listed(&found), expected);
    let pages: Vec<_> = (0..4)
        .flat_map(|i| listed(&diff(&later, &format!("&limit=1&offset={i}"))))
        .collect();
    assert_eq!(pages.len(), 4);
    assert!(
        expected.iter().all(|line| pages.contains(&(*line).to_owned())),
        "{pages:?}"
    );

    // What may not be read may differ, and what was not asked for does not.
    let take = |body: &str| {
        let (id, state) = daemon.do_job("/backup", body).unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        id
    };
    let partial = take(r#"{"allow_partial": true}"#);
    for to in [&*partial, "live"] {
        let found = diff(to, "");
        assert_eq!(counts(&found), [1, 1, 1, 0], "{found}");
        assert_eq!(found["unknown_paths"], json!(["/app/n22"]), "{found}");
        assert_eq!(found["unknown"], 1);
    }
    let mut none_within = none;
    none_within["within"] = json!(["/app/n03"]);
    assert_eq!(diff(&take(r#"{"dbs": ["app/n03"]}"#), ""), none_within);
}
