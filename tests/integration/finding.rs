//! Backups and jobs are found by time, by order, and as the latest.

use std::fs;

use serde_json::{Value, json};
use zk_backup_testkit::Daemon;

use crate::common::buckets::files_of;
use crate::common::clients::observer;
use crate::common::daemons::{back_up, daemon};
use crate::common::servers::server;
use crate::common::trees::plant;

fn ts(daemon: &Daemon, id: &str) -> i64 {
    daemon.describe(id).unwrap()["ts"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_good_backup_since_a_time_and_the_latest_are_found() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1"), ("/b", b"2")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let http = &daemon.http;
    for path in ["/listbackups/latest", "/find?ts=1700000000000"] {
        let none = http.get(path).unwrap();
        assert_eq!(none.status, 404, "{path}: {}", none.text);
        assert!(
            none.json().as_str().unwrap().ends_with("not found"),
            "{}",
            none.text
        );
    }
    let none = http.post("/restore", r#"{"vault": "latest"}"#).unwrap();
    assert_eq!(
        (none.status, &none.json()["code"]),
        (404, &json!("backup_not_found"))
    );

    let first = back_up(&daemon, "");
    outside.set_data("/a", b"changed".to_vec(), None).await.unwrap();
    let second = back_up(&daemon, "");
    let (failed, state) = daemon.do_job("/backup", r#"{"dbs": ["gone"]}"#).unwrap();
    assert_eq!(state.status, 500);

    let found = |query: &str, body: &str| http.send("GET", &format!("/find{query}"), body).unwrap();
    let (one, two) = (ts(&daemon, &first), ts(&daemon, &second));
    assert!(one < two);
    for (since, id) in [
        (one - 1, &first),
        (one, &first),
        (one + 1, &second),
        (two, &second),
    ] {
        let described = daemon.describe(id).unwrap();
        assert_eq!(found(&format!("?ts={since}"), "").json(), described);
        assert_eq!(
            found("", &json!({ "ts": since.to_string() }).to_string()).json(),
            described
        );
    }
    // The failed one is no backup to go on from.
    assert!(ts(&daemon, &failed) > two);
    let none = found(&format!("?ts={}", two + 1), "");
    let words = format!("backup at or after {} ms not found", two + 1);
    assert_eq!((none.status, none.json()), (404, json!(words)));
    for (query, body, part) in [
        ("", "", "ts is missing"),
        ("?ts=5", "", "seconds"),
        ("?ts=now", "", "milliseconds"),
        ("?ts=1700000000000", r#"{"ts": 1700000000000}"#, "twice"),
        ("", r#"{"since": 1}"#, "since"),
        ("?since=1", "", "allowed are ts"),
    ] {
        let refused = found(query, body);
        assert_eq!(refused.status, 400, "{query} {body}: {}", refused.text);
        assert!(refused.text.contains(part), "{part}: {}", refused.text);
    }

    assert_eq!(
        http.get("/listbackups/latest").unwrap().json()["id"],
        json!(second)
    );
    let data = http.get("/listbackups/latest/znode?path=/a").unwrap();
    assert_eq!(data.json()["data"], "Y2hhbmdlZA==", "{}", data.text);
    let changed = http.get(&format!("/diff?from={first}&to=latest")).unwrap().json();
    assert_eq!(
        changed["differences"],
        json!([{"path": "/a", "change": "data_changed"}])
    );
    let same = http.get("/diff?from=latest&to=live").unwrap().json();
    assert_eq!(same["differences"], json!([]));
    outside.set_data("/b", b"broken".to_vec(), None).await.unwrap();
    let (task, state) = daemon.do_job("/restore", r#"{"vault": "latest"}"#).unwrap();
    assert_eq!((state.status, &state.json()["vault"]), (200, &json!(second)));
    assert_eq!(outside.get_data("/b", false).await.unwrap().0, b"2");
    // What is removed is named exactly.
    assert_eq!(http.post("/evict/latest", "").unwrap().status, 404);

    // One that lost a byte is the latest no more.
    let archive = files_of(storage.path(), &second).join("archive.zst");
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, &bytes[1..]).unwrap();
    assert_eq!(
        http.get("/listbackups/latest").unwrap().json()["id"],
        json!(first)
    );
    assert_eq!(found(&format!("?ts={}", one + 1), "").status, 404);

    let jobs = http.get("/jobs").unwrap().json();
    let ids = |jobs: &Value| -> Vec<String> {
        let jobs = jobs["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["task_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        (&jobs["total"], ids(&jobs)),
        (
            &json!(4),
            vec![task.clone(), failed.clone(), second.clone(), first]
        )
    );
    assert_eq!(jobs["jobs"][1]["status"], "Failed");
    assert!(
        jobs["jobs"][1]["err"].as_str().unwrap().contains("/gone"),
        "{jobs}"
    );
    assert!(jobs["jobs"][0].get("result").is_none(), "{jobs}");
    let page = http.get("/jobs?offset=1&limit=2").unwrap().json();
    assert_eq!((&page["total"], ids(&page)), (&json!(4), vec![failed, second]));
    assert_eq!(http.get("/jobs?limit=1001").unwrap().status, 400);
}
