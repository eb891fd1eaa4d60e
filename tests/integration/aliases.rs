//! Buckets by name, from a file of aliases: where backups of `/api/v1` go, and what becomes of them there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zk_backup_testkit::{BUCKET, KEY_SECRET, Proxy, S3Server};

use crate::common::aliases::{ARCHIVE, Place, archive, ask, bucket, listed, names};
use crate::common::buckets::KEYS;
use crate::common::cli::Cli;
use crate::common::clients::{as_super, observer};
use crate::common::daemons::{back_up, daemon, restore, try_daemon, until};
use crate::common::servers::{nobody, server};
use crate::common::trees::{fill, plant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_lies_in_the_bucket_that_was_named_and_in_no_other() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/db1", b"1"), ("/other", b"")]).await;
    let place = Place::new();
    let url = place.s3.url();
    let place = place.both(&url);
    let mut daemon = place.start(&zookeeper.address());
    let archived = archive(&daemon, ARCHIVE);
    let usual = [
        archive(&daemon, ""),
        archive(&daemon, "default"),
        back_up(&daemon, ""),
    ];
    assert_eq!(place.backups_in(ARCHIVE), [&*archived]);
    assert_eq!(place.vaults_in(ARCHIVE), [&*archived]);
    assert_eq!(place.backups_in(BUCKET), usual);
    assert_eq!(place.vaults_in(BUCKET), usual);
    let summary = daemon.wait_for_line(": ZooKeeper").unwrap();
    assert!(
        summary.contains(&format!("alias archive in {url}/archive/zk")),
        "{summary}"
    );
    assert!(
        summary.contains(&format!("backups in {url}/{BUCKET}/zk")),
        "{summary}"
    );
    assert!(!daemon.said().contains(KEY_SECRET));

    let unknown = daemon
        .http
        .post("/api/v1/backup", r#"{"storageName": "x", "blobPath": "p"}"#)
        .unwrap();
    assert_eq!(
        (unknown.status, &unknown.json()["code"]),
        (400, &json!("invalid_request"))
    );
    assert!(
        unknown
            .text
            .contains("unknown storageName \\\"x\\\": there are default, archive"),
        "{}",
        unknown.text
    );

    // All are listed, and each says where it is, also after a restart.
    daemon.kill();
    let daemon = place.start(&zookeeper.address());
    assert_eq!(listed(&daemon).len(), 4);
    let storage = |id: &str| daemon.describe(id).unwrap()["storage_name"].clone();
    assert_eq!(
        (storage(&archived), storage(&usual[2])),
        (json!(ARCHIVE), json!("default"))
    );
    let table = Cli::of_server(&daemon).ok(&["ls"]);
    let line = table.lines().find(|line| line.contains(&archived));
    assert!(
        line.is_some_and(|line| line.ends_with(&format!("(in {ARCHIVE})"))),
        "{table}"
    );
    let told =
        |id: &str| daemon.http.get(&format!("/api/v1/backup/{id}")).unwrap().json()["storageName"].clone();
    assert_eq!(
        (told(&archived), told(&usual[0])),
        (json!(ARCHIVE), json!("default"))
    );

    // It comes back from there, and from nowhere else.
    outside.set_data("/db1", b"broken".to_vec(), None).await.unwrap();
    let path = format!("/api/v1/restore/{archived}");
    for storage in ["", "default"] {
        let body = json!({"storageName": storage, "blobPath": "ns/zk"}).to_string();
        let refused = daemon.http.post(&path, &body).unwrap();
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (404, &json!("backup_not_found"))
        );
        assert!(
            refused.text.contains("it is in storage archive"),
            "{}",
            refused.text
        );
    }
    let begun = daemon
        .http
        .post(&path, r#"{"storageName": "archive", "blobPath": "ns/zk"}"#)
        .unwrap();
    assert_eq!(begun.status, 200, "{}", begun.text);
    let task = begun.json()["restoreId"].as_str().unwrap().to_owned();
    let ended = daemon.wait_for_job(&task).unwrap();
    assert_eq!(ended.status, 200, "{}", ended.text);
    assert_eq!(outside.get_data("/db1", false).await.unwrap().0, b"1");
    // The older API names no storage.
    outside.set_data("/db1", b"broken".to_vec(), None).await.unwrap();
    assert_eq!(restore(&daemon, &archived, "").0, 200);
    assert_eq!(outside.get_data("/db1", false).await.unwrap().0, b"1");

    let links = daemon.http.get(&format!("/backup/s3/{archived}")).unwrap();
    let link = links.json()["job.log"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&format!("{url}/archive/zk/")), "{link}");
    assert_eq!(ureq::get(&link).call().unwrap().status(), 200);

    let gone = daemon
        .http
        .send("DELETE", &format!("/api/v1/backup/{archived}"), "")
        .unwrap();
    assert_eq!(gone.status, 200, "{}", gone.text);
    let evicted = daemon.http.post(&format!("/evict/{}", usual[0]), "").unwrap();
    assert_eq!(evicted.status, 200, "{}", evicted.text);
    assert!(place.backups_in(ARCHIVE).is_empty() && place.vaults_in(ARCHIVE).is_empty());
    assert_eq!(place.backups_in(BUCKET), usual[1..]);
    assert_eq!(listed(&daemon), usual[1..]);
}

/// Its server is one of its own: nothing is known of the archive until that is back.
#[test]
fn a_bucket_that_is_away_is_named_and_backups_go_on_to_the_default_one() {
    let zookeeper = server();
    let mut other = S3Server::start().unwrap();
    fs::create_dir(other.bucket().with_file_name(ARCHIVE)).unwrap();
    let place = Place::new().both(&other.url());
    let archived = {
        let daemon = place.start(&zookeeper.address());
        archive(&daemon, ARCHIVE)
    };
    other.kill();
    let daemon = place.start(&zookeeper.address());
    let usual = back_up(&daemon, "");
    assert_eq!(place.backups_in(BUCKET), [&*usual]);
    assert_eq!(daemon.describe(&usual).unwrap()["storage_name"], "default");
    // It has its patience.
    let deadline = Instant::now() + Duration::from_secs(180);
    let refused = loop {
        let answer = daemon.http.get("/listbackups");
        match answer {
            Ok(answer) if answer.text.contains("storage archive: ") => break answer,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (500, &json!("storage_failed"))
    );
    assert!(
        !refused.text.contains(&usual),
        "a list that lacks some is not told: {}",
        refused.text
    );
    let ready = daemon.http.get("/health/ready").unwrap();
    assert!(ready.text.contains("storage archive: "), "{}", ready.text);
    let more = back_up(&daemon, "");
    assert_eq!(place.backups_in(BUCKET), [usual.clone(), more.clone()]);
    other.restart().unwrap();
    until("all are listed again", || {
        let answer = daemon.http.get("/listbackups").unwrap();
        answer.status == 200 && answer.json() == json!([archived, usual, more])
    });
}

#[test]
fn sealed_backups_are_in_the_bucket_that_was_named() {
    let zookeeper = server();
    let place = Place::new();
    let url = place.s3.url();
    let place = place.both(&url);
    let identity = place.storage.path().join("identity.txt");
    fs::write(&identity, KEYS[0].1).unwrap();
    let keys = [
        ("ENCRYPTION_RECIPIENTS", KEYS[0].0),
        ("ENCRYPTION_IDENTITY_FILE", identity.to_str().unwrap()),
    ];
    let daemon = daemon(
        &zookeeper.address(),
        place.storage.path(),
        &[place.settings(), keys.to_vec()].concat(),
    );
    let id = archive(&daemon, ARCHIVE);
    assert!(place.backups_in(BUCKET).is_empty());
    let told = daemon.describe(&id).unwrap();
    assert_eq!(
        (&told["encrypted"], &told["storage_name"]),
        (&json!(true), &json!(ARCHIVE))
    );
    let vault = place
        .s3
        .bucket()
        .with_file_name(ARCHIVE)
        .join("zk/vaults")
        .join(&id);
    let stage = vault.join(&names(&vault)[0]);
    let sealed = fs::read(stage.join("archive.zst")).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/"));
    assert_eq!(restore(&daemon, &id, "").0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_before_the_manifest_leaves_nothing_that_is_listed() {
    let zookeeper = server();
    fill(&as_super(&zookeeper), 500).await;
    let place = Place::new();
    let proxy = Proxy::start(place.s3.url().strip_prefix("http://").unwrap()).unwrap();
    let place = place.both(&format!("http://{}", proxy.address()));
    let mut daemon = place.start(&zookeeper.address());
    proxy.hold_at(b"PUT /archive/zk/manifests/");
    let id = ask(&daemon, ARCHIVE);
    until("the manifest is on its way", || proxy.holds());
    assert_eq!(place.vaults_in(ARCHIVE), [&*id]);
    daemon.kill();
    proxy.cut();
    let daemon = {
        let direct = place.s3.url();
        let place = place.both(&direct);
        let daemon = place.start(&zookeeper.address());
        assert_eq!(daemon.wait_for_job(&id).unwrap().status, 500);
        assert!(listed(&daemon).is_empty());
        assert_eq!(
            daemon.http.get(&format!("/listbackups/{id}")).unwrap().status,
            404
        );
        assert!(place.backups_in(ARCHIVE).is_empty() && place.backups_in(BUCKET).is_empty());
        let next = archive(&daemon, ARCHIVE);
        assert_eq!(place.backups_in(ARCHIVE), [next]);
        daemon
    };
    drop(daemon);
}

#[test]
fn without_an_alias_for_it_the_directory_is_the_default() {
    let zookeeper = server();
    let place = Place::new();
    place.say(&json!({"archive": bucket(&place.s3.url(), ARCHIVE)}));
    let mut daemon = place.start(&zookeeper.address());
    daemon.wait_for_line("no alias is called default").unwrap();
    let (archived, usual) = (archive(&daemon, ARCHIVE), back_up(&daemon, ""));
    let directory: PathBuf = place.storage.path().join(&usual);
    assert!(directory.join("manifest.json").is_file());
    assert_eq!(place.backups_in(ARCHIVE), [&*archived]);
    assert!(!place.storage.path().join(&archived).exists());
    assert_eq!(listed(&daemon), [archived.clone(), usual.clone()]);
    assert_eq!(restore(&daemon, &archived, "").0, 200);
    assert_eq!(restore(&daemon, &usual, "").0, 200);
    let refused = daemon.http.get(&format!("/backup/s3/{usual}")).unwrap();
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (400, &json!("no_links"))
    );
    assert_eq!(
        daemon.http.get(&format!("/backup/s3/{archived}")).unwrap().status,
        200
    );
}

/// Jobs and the lease of several servers are in the default one.
#[test]
fn several_servers_share_what_is_default_and_keep_backups_in_the_others() {
    let zookeeper = server();
    let place = Place::new();
    let url = place.s3.url();
    let place = place.both(&url);
    let more = [("HA", "true"), ("ZOOKEEPER_TIMEOUT", "3")];
    let settings = [place.settings(), more.to_vec()].concat();
    let daemon = daemon(&zookeeper.address(), place.storage.path(), &settings);
    until("it leads", || {
        daemon.http.get("/health").unwrap().json()["role"] == "leader"
    });
    let id = archive(&daemon, ARCHIVE);
    assert_eq!(place.backups_in(ARCHIVE), [&*id]);
    let [shared, further] =
        [BUCKET, ARCHIVE].map(|name| names(&place.s3.bucket().with_file_name(name).join("zk")));
    let has = |of: &[String], name: &str| of.iter().any(|found| found == name);
    assert!(has(&shared, "leader") && has(&shared, "jobs"), "{shared:?}");
    assert!(!has(&further, "leader") && !has(&further, "jobs"), "{further:?}");
    assert_eq!(daemon.describe(&id).unwrap()["storage_name"], ARCHIVE);
}

#[test]
fn a_check_tries_the_bucket_of_each_alias() {
    let place = Place::new();
    let mut other = S3Server::start().unwrap();
    fs::create_dir(other.bucket().with_file_name(ARCHIVE)).unwrap();
    let place = place.both(&other.url());
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daemon-under-test"));
        command
            .env_clear()
            .args(["check", "--json"])
            .envs(place.settings());
        let storage = place.storage.path().join("new");
        command
            .env("STORAGE", storage)
            .env("PORT", "0")
            .env("ZOOKEEPER_HOST", nobody());
        let output = command.output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let found = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut found: Vec<_> = found
            .filter(|found| found["check"] == "alias" || found["check"] == "bucket")
            .collect();
        found.sort_by_key(|found| found["check"].to_string());
        let of = |found: Value| (found["outcome"].to_string(), found["message"].to_string());
        found.into_iter().map(of).collect::<Vec<_>>()
    };
    let found = check();
    assert!(
        found.len() == 2 && found.iter().all(|(outcome, _)| outcome == "\"ok\""),
        "{found:?}"
    );
    assert!(
        found[0]
            .1
            .contains(&format!("{}/archive/zk answers", other.url())),
        "{found:?}"
    );
    other.kill();
    let found = check();
    assert_eq!((&*found[0].0, &*found[1].0), ("\"fails\"", "\"ok\""), "{found:?}");
    assert!(
        found[0].1.contains(&format!("{}/archive/zk ", other.url())),
        "{found:?}"
    );
}

/// A key is read again for every request.
#[test]
fn a_mistake_stops_the_start_with_its_alias_and_a_key_can_be_replaced() {
    let zookeeper = server();
    let place = Place::new();
    let url = place.s3.url();
    let place = place.both(&url);
    let with = |key: &str, value: &str| {
        let mut archive = bucket(&url, ARCHIVE);
        archive[key] = json!(value);
        place.say(&json!({"default": bucket(&url, BUCKET), "archive": archive}));
    };
    let file = place.aliases.path().join("s3_aliases.json");
    for (key, value) in [
        ("accessKeySecret", "wrong-canary"),
        ("accessKeyId", "nobody"),
        ("bucketName", "nowhere"),
        ("bucketName", BUCKET),
        ("endpoint", "x"),
    ] {
        with(key, value);
        let refused = try_daemon(&nobody(), place.storage.path(), &place.settings()).unwrap_err();
        let refused = refused.to_string();
        let at = format!("ALIASES_PATH: {}: alias archive: ", file.display());
        assert!(refused.contains(&at) && !refused.contains("canary"), "{refused}");
        let names_it =
            refused.contains(&format!("{key}: ")) || refused.contains("it is the bucket of default");
        assert!(
            names_it || refused.contains("\"endpoint\" is no setting"),
            "{key}: {refused}"
        );
    }
    with("region", "us-east-1");
    // What makes second copies knows of one storage.
    let copies = tempfile::tempdir().unwrap();
    let copies = copies.path().join("copies");
    let second = [("SECONDARY_DIRECTORY", copies.to_str().unwrap())];
    let settings = [&place.settings()[..], &second].concat();
    let refused = try_daemon(&nobody(), place.storage.path(), &settings).unwrap_err();
    assert!(refused.to_string().contains("one storage alone"), "{refused}");
    let daemon = place.start(&zookeeper.address());
    archive(&daemon, ARCHIVE);
    with("accessKeySecret", "wrong-canary");
    let id = ask(&daemon, ARCHIVE);
    let failed = daemon.wait_for_job(&id).unwrap();
    assert_eq!(failed.status, 500, "{}", failed.text);
    assert!(
        failed.text.contains("storage archive: ") && !failed.text.contains("canary"),
        "{}",
        failed.text
    );
    with("region", "us-east-1");
    archive(&daemon, ARCHIVE);
    assert!(!daemon.said().contains("canary"));
}
