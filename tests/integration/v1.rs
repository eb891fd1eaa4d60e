//! `/api/v1`, as clients of the predecessor's Go version use it.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zk_backup_testkit::Daemon;

use crate::common::buckets::files_of;
use crate::common::clients::observer;
use crate::common::daemons::daemon;
use crate::common::servers::server;
use crate::common::trees::plant;

/// Polls as they do, until an end is told.
fn ended(daemon: &Daemon, path: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let told = daemon.http.get(path).unwrap();
        assert_eq!(told.status, 200, "{}", told.text);
        let told = told.json();
        if !["notStarted", "inProgress"].contains(&told["status"].as_str().unwrap()) {
            return told;
        }
        assert!(Instant::now() < deadline, "{told}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_are_made_restored_and_deleted() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/db1", b"1"), ("/db2", b"2"), ("/other", b"")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let http = &daemon.http;
    let body =
        r#"{"storageName": "s3-storage", "blobPath": "/my-namespace/pg/", "databases": ["db1", "db2"]}"#;
    let begun = http.post("/api/v1/backup", body).unwrap();
    assert_eq!(begun.status, 200, "{}", begun.text);
    let begun = begun.json();
    let id = begun["backupId"].as_str().unwrap();
    assert!(begun["creationTime"].as_str().unwrap().ends_with('Z'), "{begun}");
    assert_eq!(
        (&begun["storageName"], &begun["blobPath"]),
        (&json!("s3-storage"), &json!("my-namespace/pg"))
    );
    let path = format!("/api/v1/backup/{id}");
    let told = ended(&daemon, &path);
    let databases = json!([{"databaseName": "db1", "status": "completed"}, {"databaseName": "db2", "status": "completed"}]);
    assert_eq!(
        (&told["status"], &told["databases"]),
        (&json!("completed"), &databases)
    );
    assert_eq!(
        (&told["storageName"], &told["blobPath"]),
        (&json!("s3-storage"), &json!("my-namespace/pg"))
    );
    assert!(
        told["completionTime"].is_string() && told.get("errorMessage").is_none(),
        "{told}"
    );
    assert_eq!(daemon.describe(id).unwrap()["db_list"], json!(["db1", "db2"]));

    outside.set_data("/db1", b"broken".to_vec(), None).await.unwrap();
    let body = json!({
        "storageName": "s3-storage", "blobPath": "my-namespace/pg",
        "databases": [
            {"previousDatabaseName": "db1", "databaseName": "db1"},
            {"previousDatabaseName": "db2", "databaseName": "copy"},
        ],
    });
    let restore = format!("/api/v1/restore/{id}");
    let begun = http.post(&restore, &body.to_string()).unwrap();
    assert_eq!(begun.status, 200, "{}", begun.text);
    let task = begun.json()["restoreId"].as_str().unwrap().to_owned();
    let told = ended(&daemon, &format!("/api/v1/restore/{task}"));
    assert_eq!(told["status"], "completed", "{told}");
    assert_eq!(
        told["databases"][1],
        json!({"previousDatabaseName": "db2", "databaseName": "copy", "status": "completed"})
    );
    assert_eq!(outside.get_data("/db1", false).await.unwrap().0, b"1");
    assert_eq!(outside.get_data("/copy", false).await.unwrap().0, b"2");

    // Whoever cleans up after it is told that it is done; its record tells what was changed, and stays.
    let record = format!("/api/v1/restore/{task}");
    for (query, blob) in [("", "my-namespace/pg"), ("?blobPath=other", "other")] {
        let done = http.send("DELETE", &format!("{record}{query}"), "").unwrap();
        let expected = json!({"message": "OK", "restoreId": task, "blobPath": blob});
        assert_eq!((done.status, done.json()), (200, expected));
    }
    assert_eq!(http.get(&record).unwrap().json(), told);

    let failed = http
        .post("/api/v1/backup", r#"{"blobPath": "p", "databases": ["gone"]}"#)
        .unwrap()
        .json();
    let told = ended(
        &daemon,
        &format!("/api/v1/backup/{}", failed["backupId"].as_str().unwrap()),
    );
    assert_eq!(told["status"], "failed");
    assert!(told["errorMessage"].as_str().unwrap().contains("/gone"), "{told}");

    for (method, path, body, status, part) in [
        ("POST", "/api/v1/backup", "{}", 400, "blobPath"),
        (
            "POST",
            "/api/v1/backup",
            r#"{"blobPath": "\"/\""}"#,
            400,
            "blobPath",
        ),
        (
            "POST",
            "/api/v1/backup",
            r#"{"blobPath": "p", "dbs": ["x"]}"#,
            400,
            "dbs",
        ),
        (
            "POST",
            "/api/v1/backup",
            r#"{"blobPath": "p", "databases": [7]}"#,
            400,
            "databases[0]",
        ),
        (
            "POST",
            &restore,
            r#"{"blobPath": "p", "databases": ["x"]}"#,
            400,
            "expected an object with previousDatabaseName and databaseName",
        ),
        (
            "POST",
            &restore,
            r#"{"blobPath": "p", "databases": [{"databaseName": "x"}]}"#,
            400,
            "previousDatabaseName",
        ),
        (
            "POST",
            &restore,
            r#"{"blobPath": "p", "databases": [{"previousDatabaseName": "/", "databaseName": "x"}]}"#,
            400,
            "",
        ),
        (
            "POST",
            "/api/v1/restore/20200101T000000",
            r#"{"blobPath": "p"}"#,
            404,
            "not found",
        ),
        ("GET", "/api/v1/backup/20200101T000000", "", 404, "not found"),
        ("GET", &format!("/api/v1/restore/{id}"), "", 404, "not found"),
        ("GET", &format!("/api/v1/backup/{task}"), "", 404, "not found"),
        (
            "DELETE",
            "/api/v1/backup/20200101T000000?blobPath=p",
            "",
            404,
            "not found",
        ),
        ("DELETE", &format!("/api/v1/restore/{id}"), "", 404, "not found"),
        ("DELETE", "/api/v1/restore/none", "", 404, "not found"),
        (
            "POST",
            &format!("{restore}?blobPath=p"),
            r#"{"blobPath": "p"}"#,
            400,
            "blobPath",
        ),
        ("PUT", &path, "", 405, "PUT"),
    ] {
        let answer = http.send(method, path, body).unwrap();
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{method} {path} {body}: {message}");
    }
    // One that was made well and lost a byte since has failed.
    let archive = files_of(storage.path(), id).join("archive.zst");
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, &bytes[1..]).unwrap();
    let lost = http.get(&path).unwrap();
    let told = lost.json();
    assert_eq!(
        (lost.status, &told["status"], &told["databases"][0]["status"]),
        (200, &json!("failed"), &json!("failed")),
        "{told}"
    );
    assert!(
        told["errorMessage"].as_str().unwrap().contains("archive.zst"),
        "{told}"
    );
    let anonymous = http.clone().without_credentials();
    let delete = format!("{path}?blobPath=my-namespace/pg");
    assert_eq!(anonymous.send("DELETE", &delete, "").unwrap().status, 401);
    assert_eq!(anonymous.send("DELETE", &record, "").unwrap().status, 401);
    // What it does not say is told as it was noted.
    let removed = http.send("DELETE", &path, "").unwrap();
    assert_eq!(
        (removed.status, removed.json()),
        (
            200,
            json!({"message": "OK", "backupId": id, "blobPath": "my-namespace/pg"})
        )
    );
    assert_eq!(http.get(&format!("/listbackups/{id}")).unwrap().status, 404);
    // Its job is remembered, and it is gone all the same.
    assert_eq!(http.get(&format!("/jobstatus/{id}")).unwrap().status, 200);
    for (method, path) in [("GET", &path), ("DELETE", &delete), ("POST", &restore)] {
        let body = if method == "POST" {
            r#"{"blobPath": "p"}"#
        } else {
            ""
        };
        let answer = http.send(method, path, body).unwrap();
        assert_eq!(answer.status, 404, "{method}: {}", answer.text);
        assert!(
            answer.json()["message"].as_str().unwrap().contains(id),
            "{}",
            answer.text
        );
    }
}
