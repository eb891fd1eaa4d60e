//! What the server makes of a storage that it finds.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use zk_backup_testkit::Daemon;

use crate::common::buckets::left_out;
use crate::common::cli::Cli;
use crate::common::clients::observer;
use crate::common::daemons::{daemon, health_with_zookeeper, try_daemon};
use crate::common::servers::{nobody, server};
use crate::common::trees::plant;

fn opened_to_others(path: &Path) -> u32 {
    let found = fs::symlink_metadata(path).unwrap();
    let mode = if found.is_dir() { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let mut count = 1;
    if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            count += opened_to_others(&entry.unwrap().path());
        }
    }
    count
}

fn open_to_others(path: &Path) -> Vec<String> {
    let found = fs::symlink_metadata(path).unwrap();
    let mut open = Vec::new();
    if found.permissions().mode() & 0o077 != 0 {
        open.push(path.display().to_string());
    }
    if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            open.extend(open_to_others(&entry.unwrap().path()));
        }
    }
    open
}

/// Other users could read it, the last time that was relied on is ten years ago, and a job cannot be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_storage_is_closed_to_others_and_what_is_wrong_with_it_is_told() {
    if left_out("its subject is the directory: who may read it, and a file in it") {
        return;
    }
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1")]).await;
    let storage = tempfile::tempdir().unwrap();
    let first = daemon(&zookeeper.address(), storage.path(), &[]);
    let (id, state) = first.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200);
    assert_eq!(open_to_others(storage.path()), [""; 0]);
    drop(first);
    fs::write(storage.path().join("clock"), "2016-11-23T14:00:00Z").unwrap();
    let count = opened_to_others(storage.path());

    let second = daemon(&zookeeper.address(), storage.path(), &[]);
    assert_eq!(open_to_others(storage.path()), [""; 0]);
    let said = second.said();
    assert!(
        count > 8 && said.contains(&format!("{count} files and directories")),
        "{said}"
    );
    let (newer, state) = second.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200);
    assert_eq!(
        second.http.get("/listbackups").unwrap().json(),
        json!([id, newer])
    );
    health_with_zookeeper(&second);
    let health = || second.http.get("/health").unwrap().json();
    assert_eq!(health()["status"], "Warning");
    let problems = health()["problems"].to_string();
    assert!(
        problems.contains("the clock shows") && problems.contains("trust_clock"),
        "{problems}"
    );
    assert_eq!(second.http.get("/health/ready").unwrap().status, 200);
    assert_eq!(
        second.http.post("/evict?trust_clock=true", "").unwrap().status,
        200
    );
    assert_eq!(health()["status"], "UP");
}

#[test]
fn a_link_in_the_place_of_the_job_database_stops_the_start() {
    let outside = tempfile::tempdir().unwrap();
    let precious = outside.path().join("precious");
    fs::write(&precious, b"precious").unwrap();
    for hard in [false, true] {
        let storage = tempfile::tempdir_in(outside.path()).unwrap();
        let place = storage.path().join("jobs.db");
        if hard {
            fs::hard_link(&precious, &place).unwrap();
        } else {
            symlink(&precious, &place).unwrap();
        }
        let refused = try_daemon(&nobody(), storage.path(), &[])
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("jobs.db") && refused.contains("link"),
            "{refused}"
        );
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }
}

/// Where systemd keeps the directory of a service with `DynamicUser=`, which it is told of by a link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_and_a_second_place_may_be_links() {
    if left_out("its subject is the directory") {
        return;
    }
    let zookeeper = server();
    plant(&observer(&zookeeper).await, &[("/a", b"1"), ("/b", b"")]).await;
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for name in ["storage", "copies"] {
        fs::create_dir(at(&format!("private-{name}"))).unwrap();
        symlink(at(&format!("private-{name}")), at(name)).unwrap();
    }
    let copies = at("copies");
    let settings = [("SECONDARY_DIRECTORY", copies.to_str().unwrap())];
    let mut server = daemon(&zookeeper.address(), &at("storage"), &settings);
    let back_up = |server: &Daemon, body: &str| {
        let (id, state) = server.do_job("/backup", body).unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        id
    };
    let full = back_up(&server, "");
    let granular = back_up(&server, r#"{"dbs": ["a"]}"#);
    let evicted = back_up(&server, "");
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.http.get("/health").unwrap().json()["secondary"]["lacking"] != 0 {
        assert!(Instant::now() < deadline, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(at("private-copies").join(&full).join("manifest.json").exists());
    let answer = server.http.post(&format!("/evict/{evicted}"), "").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    server.kill();

    let cli = Cli::of_storage(&at("storage"), Some(&zookeeper.address()));
    let listed = cli.ok(&["ls"]);
    assert!(
        listed.contains(&full) && listed.contains(&granular) && !listed.contains(&evicted),
        "{listed}"
    );
    assert!(cli.ok(&["show", &full]).contains("ok"));
    cli.ok(&["verify", &full]);
    cli.ok(&["restore", &full, "--yes"]);
    let server = daemon(&zookeeper.address(), &at("storage"), &settings);
    assert_eq!(
        server
            .http
            .get("/listbackups")
            .unwrap()
            .json()
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}
