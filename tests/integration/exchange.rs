//! Backups that are downloaded, uploaded and taken from directories, by curl as the predecessor's clients do.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use zk_backup_testkit::Daemon;

use crate::common::buckets::left_out;
use crate::common::clients::observer;
use crate::common::daemons::{back_up, curl, daemon};
use crate::common::servers::server;
use crate::common::trees::plant;

fn upload(daemon: &Daemon, file: &Path, more: &[&str]) -> (u16, String) {
    let file = format!("file=@{}", file.display());
    curl(
        daemon,
        "/restore/backup",
        &[&["--form", &file][..], more].concat(),
    )
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_downloaded_backup_is_uploaded_to_another_server_and_restored() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1"), ("/a/b", b"2\r\n")]).await;
    let storage = tempfile::tempdir().unwrap();
    let one = daemon(&zookeeper.address(), storage.path(), &[]);
    let id = back_up(&one, "");
    let granular = back_up(&one, r#"{"dbs": ["a"]}"#);
    let place = format!("/backup/{id}");
    let archive = storage.path().join(format!("{id}.zip"));
    let (status, _) = curl(&one, &place, &["-o", archive.to_str().unwrap()]);
    assert_eq!(status, 200);
    assert!(fs::read(&archive).unwrap().starts_with(b"PK"));
    let head = one.http.send("HEAD", &place, "").unwrap();
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, "application/zip")
    );
    let named = format!("attachment; filename=\"{id}.zip\"");
    assert_eq!((head.header("content-disposition"), &*head.text), (&*named, ""));
    let anonymous = one.http.clone().without_credentials();
    assert_eq!(anonymous.get(&place).unwrap().status, 401);
    assert_eq!(anonymous.post("/restore/backup", "x").unwrap().status, 401);
    let none = one.http.get("/backup/20200101T000000").unwrap();
    assert_eq!(
        (none.status, none.json()),
        (404, json!("backup 20200101T000000 not found"))
    );

    let elsewhere = tempfile::tempdir().unwrap();
    let two = daemon(
        &zookeeper.address(),
        elsewhere.path(),
        &[("UPLOAD_LIMIT", "1000000")],
    );
    let (status, text) = curl(
        &two,
        "/restore/backup",
        &[
            "--form",
            &format!("file=@{}", archive.display()),
            "-H",
            "Origin: http://evil",
        ],
    );
    assert_eq!((status, &json_of(&text)["code"]), (403, &json!("foreign_site")));
    let (status, text) = upload(&two, &archive, &["--form", "type=\"granular\""]);
    assert_eq!(status, 400, "{text}");
    for (more, part) in [
        (["--form", "type=other"], "full, granular"),
        (["--form", "allow_overwriting=maybe"], "neither true nor false"),
        (["--form", "unknown=1"], "allowed are type"),
        (["--form", "file=twice"], "twice"),
    ] {
        let (status, text) = upload(&two, &archive, &more);
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(part), "{part}: {text}");
    }
    let large = storage.path().join("large.zip");
    fs::write(&large, vec![0; 1_000_001]).unwrap();
    assert_eq!(upload(&two, &large, &[]).0, 413);
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let broken = storage.path().join("broken.zip");
    fs::write(&broken, bytes).unwrap();
    let (status, text) = upload(&two, &broken, &[]);
    assert_eq!(
        (status, &json_of(&text)["code"]),
        (400, &json!("invalid_request")),
        "{text}"
    );
    assert_eq!(two.http.get("/listbackups").unwrap().json(), json!([]));

    let (status, text) = upload(
        &two,
        &archive,
        &["--form", "type=\"full\"", "--form", "allow_overwriting=\"False\""],
    );
    assert_eq!(
        (status, json_of(&text)),
        (200, json!(format!("Backup {id} successfully uploaded")))
    );
    assert_eq!(two.describe(&id).unwrap()["valid"], true);
    let (status, text) = upload(&two, &archive, &[]);
    assert_eq!((status, &json_of(&text)["code"]), (409, &json!("backup_exists")));
    assert_eq!(
        upload(&two, &archive, &["--form", "allow_overwriting=True"]).0,
        200
    );
    outside.delete("/a/b", None).await.unwrap();
    let state = two
        .do_job("/restore", &json!({ "vault": id }).to_string())
        .unwrap()
        .1;
    assert_eq!(state.status, 200, "{}", state.text);
    assert_eq!(outside.get_data("/a/b", false).await.unwrap().0, b"2\r\n");
    // Nothing of what was refused or taken lies about.
    let mut left: Vec<_> = fs::read_dir(elsewhere.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.retain(|name| !name.starts_with('.') && !name.starts_with("jobs.db"));
    left.retain(|name| name != "vaults-elsewhere" && *name != id && name != "granular");
    assert_eq!(left, [""; 0]);

    if left_out("a directory of this machine is restored from") {
        return;
    }
    a_directory_is_restored_from(&zookeeper.address(), storage.path(), &granular);
    outside.delete("/a/b", None).await.unwrap();
}

fn a_directory_is_restored_from(zookeeper: &str, root: &Path, id: &str) {
    let storage = tempfile::tempdir().unwrap();
    let path = format!("granular/{id}");
    let body = json!({ "externalBackupPath": path, "dbs": ["a"] }).to_string();
    let off = daemon(zookeeper, storage.path(), &[]);
    let refused = off.http.post("/external/restore", &body).unwrap();
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (403, &json!("refused"))
    );
    drop(off);
    let on = daemon(
        zookeeper,
        storage.path(),
        &[("EXTERNAL_ROOT", root.to_str().unwrap())],
    );
    for (path, part) in [
        ("../x", "without .."),
        ("/etc", "relative"),
        ("", "relative"),
        ("nowhere", "No such file"),
        ("granular", "manifest.json is missing"),
        ("jobs.db", "no directory"),
    ] {
        let body = json!({ "externalBackupPath": path }).to_string();
        let refused = on.http.post("/external/restore", &body).unwrap();
        assert_eq!(refused.status, 400, "{path}: {}", refused.text);
        assert!(refused.text.contains(part), "{path}: {}", refused.text);
    }
    let nothing = on.http.post("/external/restore", "{}").unwrap();
    assert_eq!(nothing.status, 404);
    assert!(
        nothing.text.contains("externalBackupPath is needed"),
        "{}",
        nothing.text
    );
    for place in ["/external/restore", "/restore"] {
        let (_, state) = on.do_job(place, &body).unwrap();
        assert_eq!(
            (state.status, &state.json()["vault"]),
            (200, &json!(id)),
            "{}",
            state.text
        );
    }
    assert_eq!(on.http.get("/listbackups").unwrap().json(), json!([id]));
    for (method, path) in [
        ("POST", "/incremental/backup"),
        ("GET", "/incremental/jobstatus/x"),
    ] {
        let answer = on.http.send(method, path, "").unwrap();
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (501, &json!("not_incremental"))
        );
        let plain = path.trim_start_matches("/incremental");
        assert!(
            answer.text.contains(&format!("Use {plain} instead")),
            "{}",
            answer.text
        );
    }
    for path in ["/incremental", "/incremental/"] {
        let bare = on.http.get(path).unwrap();
        assert!(
            bare.status == 501 && bare.text.contains("Use the path without /incremental instead"),
            "{}",
            bare.text
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_a_znode_is_told_across_backups() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1"), ("/c", b"")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let absent = back_up(&daemon, r#"{"dbs": ["a"]}"#);
    plant(&outside, &[("/c/x", b"1")]).await;
    let first = back_up(&daemon, "");
    let same = back_up(&daemon, "");
    let stat = outside.set_data("/c/x", b"22".to_vec(), None).await.unwrap();
    let data = back_up(&daemon, "");
    outside.delete("/c/x", None).await.unwrap();
    let gone = back_up(&daemon, "");
    plant(&outside, &[("/c/x", b"22")]).await;
    let (failed, _) = daemon.do_job("/backup", r#"{"dbs": ["nowhere"]}"#).unwrap();
    let again = back_up(&daemon, r#"{"dbs": ["c"]}"#);

    let ask = |query: &str| {
        daemon
            .http
            .get(&format!("/history?path=/c/x{query}"))
            .unwrap()
            .json()
    };
    let told = ask("");
    let steps = |told: &Value| -> Vec<(String, String)> {
        let changes = told["changes"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        changes.map(|at| (text(&at["id"]), text(&at["change"]))).collect()
    };
    let due = |pairs: &[(&String, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(id, step)| ((*id).clone(), (*step).to_owned()))
            .collect()
    };
    assert_eq!(
        steps(&told),
        due(&[
            (&first, "first"),
            (&data, "data_changed"),
            (&gone, "removed"),
            (&again, "created")
        ])
    );
    assert_eq!((&told["total"], &told["next"]), (&json!(7), &Value::Null));
    let at = &told["changes"][1];
    assert_eq!(
        (&at["version"], &at["mzxid"], &at["size"], &at["ts"]),
        (
            &json!(1),
            &json!(stat.mzxid),
            &json!(2),
            &daemon.describe(&data).unwrap()["ts"]
        )
    );
    assert_eq!(told["changes"][2]["version"], Value::Null);
    let unseen: Vec<_> = told["not_looked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b["id"].clone())
        .collect();
    assert_eq!(unseen, [json!(absent), json!(failed)]);
    // Pages go on from what was before them.
    let page = ask("&limit=3");
    assert_eq!(
        (steps(&page), &page["next"]),
        (due(&[(&first, "first")]), &json!(3))
    );
    let page = ask("&offset=3&limit=1");
    assert_eq!(
        (steps(&page), &page["next"]),
        (due(&[(&data, "data_changed")]), &json!(4))
    );
    assert_eq!(
        steps(&ask("&offset=2&limit=1")),
        due(&[]),
        "{same} is as the one before"
    );
    assert_eq!(daemon.http.get("/history").unwrap().status, 400);
    assert_eq!(daemon.http.get("/history?path=/c&limit=101").unwrap().status, 400);
    let anonymous = daemon.http.clone().without_credentials();
    assert_eq!(anonymous.get("/history?path=/c").unwrap().status, 401);
}
