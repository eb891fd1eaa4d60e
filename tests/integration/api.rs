//! Every endpoint and status code, over HTTP, against the real server and a real ZooKeeper.

mod refused;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use backup_engine::Driver;
use serde_json::{Value, json};
use zk_backup_testkit::{Answer, Daemon};

use crate::common::by_each_adapter;
use crate::common::clients::observer;
use crate::common::daemons::{daemon, daemon_by, health_with_zookeeper};
use crate::common::servers::server;
use crate::common::trees::plant;

fn assert_error(answer: &Answer, status: u16, part: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    let body = answer.json();
    assert_eq!(body["status"], "Failed", "{}", answer.text);
    let message = body["message"].as_str().unwrap_or_default();
    assert!(message.contains(part), "{message:?} does not tell {part:?}");
    assert!(body["code"].is_string(), "{}", answer.text);
}

by_each_adapter!(the_users_specification_from_backup_to_eviction);

async fn the_users_specification_from_backup_to_eviction(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1"), ("/a/b", b"2\r\n"), ("/c", b"3")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    let http = &daemon.http;
    assert_eq!(http.get("/listbackups").unwrap().text, "[]");

    // A full backup: a bare id under a JSON content type.
    let answer = http.post("/backup", "").unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let full = answer.text.clone();
    assert_eq!(answer.header("location"), format!("/jobstatus/{full}"));
    assert!(full.len() == 15 && full.as_bytes()[8] == b'T', "{full}");
    let state = daemon.wait_for_job(&full).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let state = state.json();
    for (key, value) in [
        ("status", "Successful"),
        ("vault", &full),
        ("type", "backup"),
        ("err", "None"),
        ("task_id", &full),
    ] {
        assert_eq!(state[key], value, "{key}");
    }
    assert!(state.get("message").is_none());
    for key in ["created_at", "started_at", "finished_at"] {
        assert!(state[key].as_str().unwrap().ends_with('Z'), "{state}");
    }

    // A granular one, pinned, asked for in the old way.
    let body = r#"{"args": ["/a"], "allow_eviction": "False", "sharded": "yes"}"#;
    let (granular, state) = daemon.do_job("/backup", body).unwrap();
    assert_eq!(state.status, 200);
    assert!(granular > full);
    let ids = http.get("/listbackups").unwrap().json();
    assert_eq!(ids, json!([full, granular]));

    let info = daemon.describe(&full).unwrap();
    assert_eq!(info["db_list"], "full backup");
    assert_eq!(info["custom_vars"], json!({"mode": "hierarchical"}));
    assert!(info["spent_time"].as_str().unwrap().ends_with("ms"));
    let size = info["size"].as_str().unwrap().strip_suffix('b').unwrap();
    assert!(size.parse::<u64>().unwrap() > 100);
    assert!(info["ts"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(info["consistency"], "consistent");
    for (key, value) in [
        ("evictable", true),
        ("locked", false),
        ("failed", false),
        ("valid", true),
        ("is_granular", false),
        ("sharded", false),
        ("canceled", false),
    ] {
        assert_eq!(info[key], value, "{key}");
    }
    assert_eq!(info["exit_code"], 0);
    let info = daemon.describe(&granular).unwrap();
    assert_eq!(info["db_list"], json!(["a"]));
    assert_eq!(
        (&info["evictable"], &info["is_granular"], &info["sharded"]),
        (&json!(false), &json!(true), &json!(true))
    );

    // Break it, look, restore by time, restore under another name.
    outside.delete("/a/b", None).await.unwrap();
    outside.set_data("/a", b"0".to_vec(), None).await.unwrap();
    let body = json!({"vault": full, "dbs": ["a"], "dry_run": true}).to_string();
    let (_, state) = daemon.do_job("/restore", &body).unwrap();
    let result = &state.json()["result"]["report"];
    assert_eq!(
        (&result["created"], &result["data_changed"]),
        (&json!(1), &json!(1)),
        "{result}"
    );
    assert!(
        outside.get_data("/a/b", false).await.is_err(),
        "a dry run must write nothing"
    );
    let body = json!({"ts": daemon.describe(&full).unwrap()["ts"]}).to_string();
    let (task, state) = daemon.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_eq!(
        (&state.json()["type"], &state.json()["vault"]),
        (&json!("restore"), &json!(full))
    );
    assert_ne!(task, full);
    assert_eq!(outside.get_data("/a/b", false).await.unwrap().0, b"2\r\n");
    assert_eq!(outside.get_data("/a", false).await.unwrap().0, b"1");
    let body = json!({"vault": granular, "changeDbNames": {"a": "copy"}, "dbs": ["a"]}).to_string();
    assert_eq!(daemon.do_job("/restore", &body).unwrap().1.status, 200);
    assert_eq!(outside.get_data("/copy/b", false).await.unwrap().0, b"2\r\n");
    let body = json!({"vault": granular, "dbs": ["nowhere"]}).to_string();
    let state = daemon.do_job("/restore", &body).unwrap().1;
    assert_eq!(state.status, 500);
    assert!(
        state.json()["message"].as_str().unwrap().contains("nowhere"),
        "{}",
        state.text
    );
    let body = json!({"vault": full, "dbs": ["zookeeper"]}).to_string();
    let state = daemon.do_job("/restore", &body).unwrap().1;
    assert_eq!(state.json()["status"], "Successful", "{}", state.text);

    // A root znode that does not exist.
    let (failed, state) = daemon.do_job("/backup", r#"{"dbs": ["c", "gone"]}"#).unwrap();
    assert_eq!(state.status, 500);
    let state = state.json();
    assert_eq!(state["status"], "Failed");
    assert!(state["message"].as_str().unwrap().contains("/gone"), "{state}");
    assert!(state["err"].as_str().unwrap().contains("/gone"), "{state}");
    let info = daemon.describe(&failed).unwrap();
    assert_eq!((&info["failed"], &info["valid"]), (&json!(true), &json!(false)));
    assert_ne!(info["exit_code"], 0);

    health_tells_of(&daemon, &granular, &failed);
    eviction(&daemon, &full, &granular, &failed);
}

fn health_tells_of(daemon: &Daemon, granular: &str, failed: &str) {
    let http = daemon.http.clone().without_credentials();
    let health = http.get("/health").unwrap();
    assert_eq!(health.status, 200);
    let health = health_with_zookeeper(daemon);
    assert_eq!(health["status"], "Warning", "the newest backup failed");
    assert_eq!(health["backup_queue_size"], 0);
    let storage = &health["storage"];
    assert_eq!(storage["dump_count"], 3);
    assert!(storage["size"].is_u64(), "{storage}");
    // A bucket has no limits.
    let has_room = storage.get("where").is_none();
    for key in [
        "total_space",
        "free_space",
        "total_inodes",
        "free_inodes",
        "used_inodes",
    ] {
        assert_eq!(storage[key].is_u64(), has_room, "{key}: {storage}");
    }
    assert_eq!(storage["last"]["id"], failed);
    assert_eq!(storage["last"]["failed"], true);
    assert!(storage["last"]["metrics"]["exception"].is_string());
    assert_eq!(storage["lastSuccessful"]["id"], granular);
    let metrics = &storage["lastSuccessful"]["metrics"];
    assert_eq!(metrics["exit_code"], 0);
    assert!(
        metrics["spent_time"].is_u64() && metrics["size"].is_u64(),
        "{metrics}"
    );
    assert_eq!(health["zookeeper"]["reachable"], true);
    assert_eq!(health["zookeeper"]["mode"], "standalone");
    assert!(health["process"]["memory_bytes"].as_u64().unwrap() > 1_000_000);
    assert_eq!(http.get("/health/live").unwrap().status, 200);
    let head = http.send("HEAD", "/health", "").unwrap();
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(http.get("/health/ready").unwrap().status, 200);

    let metrics = http.get("/health/prometheus").unwrap();
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    assert_eq!(http.get("/metrics").unwrap().status, 200);
    for line in [
        "backup_queue_size 0".to_owned(),
        "backup_storage_dump_count 3".to_owned(),
        format!("backup_storage_last_failed{{id=\"{failed}\"}} 1"),
        format!("backup_storage_last_successful_failed{{id=\"{granular}\"}} 0"),
    ] {
        assert!(
            metrics.text.lines().any(|l| l == line),
            "{line} in\n{}",
            metrics.text
        );
    }
    assert!(health["seconds_since_success"].as_u64().unwrap() < 600);
    for name in [
        "zk_backup_seconds_since_last_success",
        "zk_backup_queue_oldest_age_seconds",
    ] {
        assert!(metrics.text.contains(&format!("\n{name} ")), "{name}");
    }
    let mut names = vec!["backup_daemon_status", "backup_storage_size"];
    names.extend(has_room.then_some("backup_storage_inodes_total"));
    for name in names {
        assert!(metrics.text.contains(&format!("# HELP {name} ")), "{name}");
        assert!(metrics.text.contains(&format!("# TYPE {name} gauge")), "{name}");
    }
}

fn eviction(daemon: &Daemon, full: &str, granular: &str, failed: &str) {
    let http = &daemon.http;
    let plan = http.post("/evict?dry_run=true", "").unwrap().json();
    let plan: Vec<&Value> = plan.as_array().unwrap().iter().collect();
    assert_eq!(plan.len(), 3);
    for decision in plan {
        assert_eq!(decision["action"], "keep", "{decision}");
        assert!(!decision["reason"].as_str().unwrap().is_empty());
    }
    let answer = http.post("/evict", "").unwrap();
    assert_eq!((answer.status, answer.text.as_str()), (200, "\"Ok\""));

    // A pinned backup, named, goes.
    let answer = http.post(&format!("/evict/{granular}"), "").unwrap();
    assert_eq!(answer.text, format!("\"Backup {granular} successfully removed\""));
    for answer in [
        http.post(&format!("/evict/{granular}"), "").unwrap(),
        http.get(&format!("/listbackups/{granular}")).unwrap(),
    ] {
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json(), json!(format!("backup {granular} not found")));
    }
    assert_eq!(http.get("/listbackups").unwrap().json(), json!([full, failed]));
    let body = json!({"vault": granular}).to_string();
    assert_error(&http.post("/restore", &body).unwrap(), 404, granular);
    assert_eq!(
        http.get(&format!("/jobstatus/{granular}")).unwrap().status,
        200,
        "the job is remembered"
    );
}

/// A restore of everything is refused where the operator forbids it; one of named root znodes is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_restore_can_be_forbidden() {
    let zookeeper = server();
    plant(&observer(&zookeeper).await, &[("/a", b"1")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(
        &zookeeper.address(),
        storage.path(),
        &[("ENABLE_FULL_RESTORE", "false")],
    );
    let (id, _) = daemon.do_job("/backup", "").unwrap();
    for body in [json!({"vault": id}), json!({"vault": id, "dbs": []})] {
        assert_error(
            &daemon.http.post("/restore", &body.to_string()).unwrap(),
            403,
            "dbs",
        );
    }
    let body = json!({"vault": id, "dbs": ["a"]}).to_string();
    assert_eq!(daemon.do_job("/restore", &body).unwrap().1.status, 200);
}

by_each_adapter!(a_backup_at_work_is_locked_and_a_full_queue_says_so);

/// A ZooKeeper that takes connections and says nothing keeps a job at work for as long as the test wants.
async fn a_backup_at_work_is_locked_and_a_full_queue_says_so(driver: Driver) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("MAX_QUEUED_JOBS", "2"),
        ("SHUTDOWN_GRACE", "0"),
        ("ZOOKEEPER_TIMEOUT", "600"),
    ];
    let daemon = daemon_by(driver, &address, storage.path(), &settings);
    let http = &daemon.http;
    let running = http.post("/backup", "").unwrap().text;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let state = http.get(&format!("/jobstatus/{running}")).unwrap();
        assert_eq!(state.status, 206);
        let state = state.json();
        if state["status"] == "Processing" {
            assert!(state["progress"]["phase"].is_string(), "{state}");
            break;
        }
        assert_eq!(state["status"], "Queued");
        assert!(Instant::now() < deadline, "{}", daemon.said());
    }
    let waiting = http.post("/backup", r#"{"dbs": ["a"]}"#).unwrap().text;
    assert_eq!(http.post("/backup", "").unwrap().status, 200);
    assert_error(&http.post("/backup", "").unwrap(), 429, "2 jobs");
    for id in [&running, &waiting] {
        assert_error(&http.post(&format!("/evict/{id}"), "").unwrap(), 409, id);
        let info = http.get(&format!("/listbackups/{id}")).unwrap();
        assert_eq!(info.status, 200);
        assert_eq!(
            (&info.json()["locked"], &info.json()["valid"]),
            (&json!(true), &json!(false))
        );
    }
    assert_eq!(http.get("/listbackups").unwrap().text, "[]", "none is finished");
    assert_eq!(http.post("/evict", "").unwrap().status, 200);
    let health = http.get("/health").unwrap().json();
    assert_eq!(health["backup_queue_size"], 2);
    assert_eq!(health["zookeeper"]["reachable"], false);
    assert_eq!(http.get("/health/ready").unwrap().status, 503);
}
