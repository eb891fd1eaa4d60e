//! Second copies: a server whose disk is lost goes on with them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zk_backup_testkit::{BUCKET, Daemon, KEY_ID, KEY_SECRET, S3Server};

use crate::common::clients::observer;
use crate::common::daemons::{
    back_up, curl, daemon, health_with_zookeeper, refused_with, restore, try_daemon,
};
use crate::common::servers::{nobody, server};
use crate::common::trees::{assert_same, dump, plant};

/// The first place is a disk, whatever the other suites keep backups in.
fn in_second_bucket(url: &str) -> [(&'static str, &str); 6] {
    [
        ("S3_ENABLED", "false"),
        ("SECONDARY_S3_URL", url),
        ("SECONDARY_S3_BUCKET", BUCKET),
        ("SECONDARY_S3_KEY_ID", KEY_ID),
        ("SECONDARY_S3_KEY_SECRET", KEY_SECRET),
        ("SECONDARY_S3_PREFIX", "copies"),
    ]
}

/// Waits until all backups have their second copy, and says what health tells of these.
fn copied(daemon: &Daemon, backups: usize) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let health = daemon.http.get("/health").unwrap().json();
        let copies = &health["secondary"];
        if health["storage"]["dump_count"] == backups && copies["lacking"] == 0 && copies["evicted"] == 0 {
            return copies.clone();
        }
        assert!(Instant::now() < deadline, "{health}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The ids of the backups that have a manifest in the second bucket.
fn in_bucket(s3: &S3Server) -> Vec<String> {
    let manifests = fs::read_dir(s3.bucket().join("copies/manifests")).unwrap();
    let names = manifests.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let ids = names.map(|name| name.strip_suffix(".json").unwrap().to_owned());
    let mut ids: Vec<_> = ids.collect();
    ids.sort();
    ids
}

fn spoil(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_loses_is_restored_from_the_bucket() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/app", b"kept"), ("/app/config", b"one")]).await;
    let before = dump(&outside).await;
    let s3 = S3Server::start().unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), s3.url());
    let start = |storage: &Path| daemon(&zookeeper.address(), storage, &in_second_bucket(&url));
    let first = start(storage.path());
    let ids = [back_up(&first, ""), back_up(&first, "")];
    let told = copied(&first, 2);
    assert_eq!(told["where"], format!("{url}/{BUCKET}/copies"));
    assert_eq!(in_bucket(&s3), ids);
    let metrics = first.http.get("/metrics").unwrap().text;
    assert!(metrics.contains("zk_backup_secondary_lacking 0"), "{metrics}");
    assert!(first.describe(&ids[0]).unwrap().get("copy").is_none());

    // One has a bad byte, the other is gone.
    spoil(&storage.path().join(&ids[0]).join("archive.zst"));
    fs::remove_dir_all(storage.path().join(&ids[1])).unwrap();
    for id in &ids {
        outside
            .set_data("/app/config", b"spoilt".to_vec(), None)
            .await
            .unwrap();
        let (status, state) = restore(&first, id, "");
        assert_eq!(status, 200, "{state}");
        assert_eq!(state["result"]["copy"], "secondary", "{state}");
        assert_same(&before, &dump(&outside).await);
        let told = first.describe(id).unwrap();
        assert_eq!(
            (&told["copy"], &told["valid"]),
            (&json!("secondary"), &json!(true))
        );
    }
    let health = first.http.get("/health").unwrap().json();
    let damage = format!("backup {} is read from its second copy", ids[0]);
    assert!(health["problems"].to_string().contains(&damage), "{health}");
    drop(first);

    // A new machine, with an empty disk.
    let empty = tempfile::tempdir().unwrap();
    let second = start(empty.path());
    assert_eq!(second.http.get("/listbackups").unwrap().json(), json!(ids));
    outside
        .set_data("/app/config", b"spoilt".to_vec(), None)
        .await
        .unwrap();
    let (status, state) = restore(&second, &ids[1], "");
    assert_eq!(
        (status, &state["result"]["copy"]),
        (200, &json!("secondary")),
        "{state}"
    );
    assert_same(&before, &dump(&outside).await);
    let looked = second
        .http
        .get(&format!("/listbackups/{}/znodes?path=/app", ids[0]))
        .unwrap();
    assert_eq!(looked.status, 200, "{}", looked.text);
    let (status, _) = curl(&second, &format!("/backup/{}", ids[0]), &["-o", "/dev/null"]);
    assert_eq!(status, 200);
    assert_eq!(
        second
            .http
            .post(&format!("/evict/{}", ids[0]), "")
            .unwrap()
            .status,
        200
    );
    let third = back_up(&second, "");
    copied(&second, 2);
    assert_eq!(in_bucket(&s3), [ids[1].clone(), third]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_place_that_is_away_stops_nothing_and_gets_its_copies_when_it_is_back() {
    let zookeeper = server();
    let mut s3 = S3Server::start().unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), s3.url());
    s3.kill();
    let settings = in_second_bucket(&url);
    let daemon = daemon(&zookeeper.address(), storage.path(), &settings);
    let id = back_up(&daemon, "");
    let (status, state) = restore(&daemon, &id, "");
    assert_eq!(status, 200, "{state}");
    let health = health_with_zookeeper(&daemon);
    assert_eq!(daemon.http.get("/health/ready").unwrap().status, 200);
    assert_eq!(health["secondary"]["lacking"], 1, "{health}");
    s3.restart().unwrap();
    copied(&daemon, 1);
    assert_eq!(in_bucket(&s3), [id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_takes_copies_as_well() {
    let zookeeper = server();
    let [storage, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let copies = other.path().join("copies");
    let directory = [
        ("S3_ENABLED", "false"),
        ("SECONDARY_DIRECTORY", copies.to_str().unwrap()),
    ];
    let daemon = daemon(&zookeeper.address(), storage.path(), &directory);
    let id = back_up(&daemon, "");
    copied(&daemon, 1);
    for file in ["archive.zst", "manifest.json", "manifest.json.sha256"] {
        let [first, second] = [storage.path(), &*copies].map(|place| fs::read(place.join(&id).join(file)));
        assert_eq!(first.unwrap(), second.unwrap(), "{file}");
    }
    assert_eq!(daemon.http.post(&format!("/evict/{id}"), "").unwrap().status, 200);
    copied(&daemon, 0);
    assert!(!copies.join(&id).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_cannot_be_used_stops_nothing_and_gets_its_copies_when_it_can() {
    let zookeeper = server();
    let [storage, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let copies = other.path().join("copies");
    fs::write(&copies, b"").unwrap();
    let directory = [
        ("S3_ENABLED", "false"),
        ("SECONDARY_DIRECTORY", copies.to_str().unwrap()),
    ];
    let daemon = daemon(&zookeeper.address(), storage.path(), &directory);
    let named = format!("SECONDARY_DIRECTORY: {}", copies.display());
    let said = daemon.said();
    let warned = said
        .lines()
        .any(|line| line.contains("WARN") && line.contains(&named));
    assert!(warned, "{said}");
    let id = back_up(&daemon, "");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let health = daemon.http.get("/health").unwrap().json();
        assert_eq!(health["secondary"]["lacking"], 1, "{health}");
        if health["secondary"]["error"]
            .as_str()
            .is_some_and(|error| error.contains(&named))
        {
            break;
        }
        assert!(Instant::now() < deadline, "{health}");
        std::thread::sleep(Duration::from_millis(50));
    }
    health_with_zookeeper(&daemon);
    assert_eq!(daemon.http.get("/health/ready").unwrap().status, 200);
    let (status, state) = restore(&daemon, &id, "");
    assert_eq!(status, 200, "{state}");
    fs::remove_file(&copies).unwrap();
    copied(&daemon, 1);
    assert!(copies.join(&id).join("manifest.json").exists());
}

#[test]
fn the_storage_by_another_name_stops_the_start_and_is_named() {
    let [storage, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    // As a directory has it that is mounted twice.
    fs::write(storage.path().join(".lock"), b"").unwrap();
    fs::hard_link(storage.path().join(".lock"), other.path().join(".lock")).unwrap();
    let directory = [
        ("S3_ENABLED", "false"),
        ("SECONDARY_DIRECTORY", other.path().to_str().unwrap()),
    ];
    let refused = try_daemon(&nobody(), storage.path(), &directory)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("SECONDARY_DIRECTORY=") && refused.contains("by another name"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verification_finds_a_copy_with_a_bad_byte_which_is_made_anew() {
    let zookeeper = server();
    let [storage, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let copies = other.path().join("copies");
    let directory = [
        ("S3_ENABLED", "false"),
        ("SECONDARY_DIRECTORY", copies.to_str().unwrap()),
    ];
    let mut daemon = daemon(&zookeeper.address(), storage.path(), &directory);
    daemon.wait_for_line("were used before").unwrap();
    let id = back_up(&daemon, "");
    copied(&daemon, 1);
    // While it is made anew it is not there.
    let archive = |place: &Path| fs::read(place.join(&id).join("archive.zst")).ok();
    spoil(&copies.join(&id).join("archive.zst"));
    assert_ne!(archive(&copies), archive(storage.path()));
    let (_, state) = daemon.do_job(&format!("/verify/{id}"), "").unwrap();
    let state = state.json();
    assert_eq!(state["status"], "Failed", "{state}");
    let result = &state["result"];
    assert_eq!(
        (&result["damaged_vaults"], &result["copies"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(result["copies_damaged"][0]["id"], json!(id), "{state}");
    daemon
        .wait_for_line(&format!("the second copy of backup {id}: archive.zst"))
        .unwrap();
    assert_eq!(daemon.describe(&id).unwrap()["valid"], true);
    let deadline = Instant::now() + Duration::from_secs(60);
    while archive(&copies) != archive(storage.path()) {
        assert!(Instant::now() < deadline, "it is not made anew");
        std::thread::sleep(Duration::from_millis(50));
    }
    copied(&daemon, 1);
    let (_, state) = daemon.do_job(&format!("/verify/{id}"), "").unwrap();
    assert_eq!(state.json()["status"], "Successful", "{}", state.text);
}

#[test]
fn a_mistake_in_the_second_bucket_stops_the_start_and_is_named() {
    let s3 = S3Server::start().unwrap();
    let url = s3.url();
    for (setting, value) in [
        ("SECONDARY_S3_KEY_ID", "nobody"),
        ("SECONDARY_S3_KEY_SECRET", "wrong"),
        ("SECONDARY_S3_BUCKET", "nowhere"),
    ] {
        let refused = refused_with(in_second_bucket(&url), (setting, value));
        assert!(refused.contains(&format!("{setting}: ")), "{refused}");
    }
}
