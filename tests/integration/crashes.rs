//! Killed processes, spoilt storages, and what is there afterwards.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use backup_engine::Driver;
use serde_json::json;
use zk_backup_testkit::{Daemon, PASSWORD, Proxy, USER, copy_program};

use crate::common::buckets::{files_of, left_out};
use crate::common::by_each_adapter;
use crate::common::clients::{as_super, observer};
use crate::common::daemons::{daemon, daemon_by, health_with_zookeeper, try_daemon, wait_until_held};
use crate::common::servers::{nobody, server};
use crate::common::trees::{assert_same, dump, fill, plant};

by_each_adapter!(a_kill_in_mid_backup_leaves_nothing_half_done);

/// `kill -9` while a stage is being written: what was there before stays good, the new one is absent, its job is
/// failed as interrupted, its stage is swept.
async fn a_kill_in_mid_backup_leaves_nothing_half_done(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/small", b"kept")]).await;
    let storage = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(&zookeeper.address()).unwrap();
    let mut first = daemon_by(driver, proxy.address(), storage.path(), &[]);
    let (before, _) = first.do_job("/backup", "").unwrap();
    fill(&as_super(&zookeeper), 30_000).await;

    proxy.hold_after(100_000);
    let interrupted = first.http.post("/backup", "").unwrap().text;
    let waiting = first.http.post("/backup", r#"{"dbs": ["small"]}"#).unwrap().text;
    wait_until_held(&proxy, &first);
    first.kill();
    let stage = storage.path().join(".staging").join(&interrupted);
    let is_on_disk = !left_out("stages in a bucket are swept a day later");
    assert!(!is_on_disk || stage.exists());

    let second = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    assert!(!stage.exists(), "the stage must be swept");
    assert!(
        !is_on_disk || second.said().contains("swept"),
        "{}",
        second.said()
    );
    let state = second.http.get(&format!("/jobstatus/{interrupted}")).unwrap();
    assert_eq!(state.status, 500);
    assert!(
        state.json()["message"].as_str().unwrap().contains("interrupted"),
        "{}",
        state.text
    );
    assert_eq!(state.json()["err"], state.json()["message"]);
    assert_eq!(
        second
            .http
            .get(&format!("/listbackups/{interrupted}"))
            .unwrap()
            .status,
        404
    );
    let failures = second.http.get("/metrics").unwrap().text;
    let failed = r#"zk_backup_backup_failures_total{mode="hierarchical"} 1"#;
    assert!(failures.lines().any(|line| line == failed), "{failures}");
    // What was answered 200 and had not begun is done after the restart.
    assert_eq!(second.wait_for_job(&waiting).unwrap().status, 200);
    assert_eq!(
        second.http.get("/listbackups").unwrap().json(),
        json!([before, waiting])
    );

    outside
        .set_data("/small", b"spoilt".to_vec(), None)
        .await
        .unwrap();
    let body = json!({"vault": before, "dbs": ["small"]}).to_string();
    assert_eq!(second.do_job("/restore", &body).unwrap().1.status, 200);
    assert_eq!(outside.get_data("/small", false).await.unwrap().0, b"kept");
}

/// A request that was answered is on disk, even if the process is killed at once; unknown outcomes do not exist.
#[test]
fn an_accepted_request_survives_a_kill() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let storage = tempfile::tempdir().unwrap();
    let mut first = daemon(&address, storage.path(), &[]);
    let running = first.http.post("/backup", "").unwrap().text;
    let waiting = first.http.post("/backup", "").unwrap().text;
    first.kill();
    let second = daemon(&nobody(), storage.path(), &[("ZOOKEEPER_TIMEOUT", "2")]);
    for id in [running, waiting] {
        let state = second.wait_for_job(&id).unwrap();
        assert_eq!(
            (state.status, &state.json()["task_id"]),
            (500, &json!(id)),
            "{}",
            state.text
        );
        assert!(
            second.http.post("/backup", "").unwrap().text > id,
            "ids go on rising"
        );
    }
}

#[test]
fn a_second_server_on_the_same_storage_refuses_to_start() {
    let storage = tempfile::tempdir().unwrap();
    let first = daemon(&nobody(), storage.path(), &[]);
    let refused = try_daemon(&nobody(), storage.path(), &[])
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("storage") && refused.contains("in use"),
        "{refused}"
    );
    assert_eq!(first.http.get("/health/live").unwrap().status, 200);
}

#[test]
fn a_storage_that_cannot_be_made_stops_the_start() {
    let refused = try_daemon(&nobody(), Path::new("/dev/null/storage"), &[])
        .unwrap_err()
        .to_string();
    assert!(refused.contains("/dev/null/storage"), "{refused}");
}

/// A lost or damaged job database costs the jobs' history and no backup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_outlive_the_job_database() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let mut first = daemon(&zookeeper.address(), storage.path(), &[]);
    let (id, _) = first.do_job("/backup", "").unwrap();
    first.kill();
    for name in ["jobs.db-wal", "jobs.db-shm"] {
        let _ = fs::remove_file(storage.path().join(name)); // there may be none
    }
    fs::write(
        storage.path().join("jobs.db"),
        "this is no database, and was one before".repeat(100),
    )
    .unwrap();
    let second = daemon(&zookeeper.address(), storage.path(), &[]);
    assert!(second.said().contains("damaged"), "{}", second.said());
    assert_eq!(second.http.get("/listbackups").unwrap().json(), json!([id]));
    let body = json!({"vault": id}).to_string();
    assert_eq!(second.do_job("/restore", &body).unwrap().1.status, 200);
    assert!(second.do_job("/backup", "").unwrap().0 > id);
}

by_each_adapter!(a_damaged_vault_is_never_restored);

/// One flipped byte: named, `valid` turns false, and ZooKeeper is not touched.
async fn a_damaged_vault_is_never_restored(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    let (id, _) = daemon.do_job("/backup", "").unwrap();
    let archive = files_of(storage.path(), &id).join("archive.zst");
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    outside.set_data("/a", b"2".to_vec(), None).await.unwrap();
    let state = daemon
        .do_job("/restore", &json!({"vault": id}).to_string())
        .unwrap()
        .1;
    assert_eq!(state.status, 500);
    assert!(
        state.json()["message"].as_str().unwrap().contains("archive.zst"),
        "{}",
        state.text
    );
    assert_eq!(
        outside.get_data("/a", false).await.unwrap().0,
        b"2",
        "nothing may be written"
    );
    assert_eq!(daemon.describe(&id).unwrap()["valid"], false);
}

/// The storage loses its write permission under a running server: the job fails in plain words, reads go on,
/// and after the cause is gone so do backups. The server runs as a user whom permissions bind.
#[test]
fn a_storage_that_turns_read_only_fails_the_job_and_nothing_else() {
    let zookeeper = server();
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = root.path().join("daemon");
    copy_program(Path::new(env!("CARGO_BIN_EXE_daemon-under-test")), &program).unwrap();
    let storage = root.path().join("storage");
    let mut command = Command::new(&program);
    command
        .env_clear()
        .envs([
            ("BACKUP_SCHEDULE", "None"),
            ("PORT", "0"),
            ("BACKUP_DAEMON_API_CREDENTIALS_USERNAME", USER),
            ("BACKUP_DAEMON_API_CREDENTIALS_PASSWORD", PASSWORD),
            ("BROADCAST_ADDRESS", "127.0.0.1"),
            ("ZOOKEEPER_HOST", &zookeeper.address()),
        ])
        .env("STORAGE", &storage);
    if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        command.uid(65_534).gid(65_534);
    }
    let daemon = Daemon::run(command).unwrap();
    let (good, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    health_with_zookeeper(&daemon);
    assert_eq!(daemon.http.get("/health/ready").unwrap().status, 200);

    let write_protected = |mode: u32| {
        for directory in [storage.join(".staging"), storage.clone()] {
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    write_protected(0o555);
    let (failed, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 500);
    let message = state.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("Permission denied"), "{message}");
    assert_eq!(daemon.http.get("/listbackups").unwrap().json(), json!([good]));
    assert!(!storage.join(failed).exists());
    let ready = daemon.http.get("/health/ready").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.text.contains("storage cannot be written"), "{}", ready.text);
    write_protected(0o755);
    assert_eq!(daemon.do_job("/backup", "").unwrap().1.status, 200);
    assert_eq!(daemon.http.get("/health/ready").unwrap().status, 200);
}

by_each_adapter!(a_running_backup_ends_before_the_server_does);

/// SIGTERM lets a running backup end, and ends the process well.
async fn a_running_backup_ends_before_the_server_does(driver: Driver) {
    let zookeeper = server();
    fill(&as_super(&zookeeper), 10_000).await;
    let storage = tempfile::tempdir().unwrap();
    let mut first = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    let id = first.http.post("/backup", "").unwrap().text;
    let deadline = Instant::now() + Duration::from_secs(60);
    while first.http.get(&format!("/jobstatus/{id}")).unwrap().json()["status"] == "Queued" {
        assert!(Instant::now() < deadline, "{}", first.said());
    }
    let pid = first.id();
    assert!(
        Command::new("sh")
            .args(["-c", &format!("kill -TERM {pid}")])
            .status()
            .unwrap()
            .success()
    );
    assert!(first.wait_for_end().unwrap().success());
    let second = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    assert_eq!(second.describe(&id).unwrap()["valid"], true);
    assert_eq!(second.http.get(&format!("/jobstatus/{id}")).unwrap().status, 200);
}

async fn is_filled(outside: &zookeeper_async::ZooKeeper) -> usize {
    outside
        .get_children("/fill", false)
        .await
        .map_or(0, |children| children.len())
}

by_each_adapter!(a_restore_that_was_killed_is_finished_by_running_it_again);

/// `kill -9` while a restore is writing: the job says that it was interrupted, and asking again completes it.
async fn a_restore_that_was_killed_is_finished_by_running_it_again(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    fill(&as_super(&zookeeper), 30_000).await;
    let before = dump(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(&zookeeper.address()).unwrap();
    let mut first = daemon_by(driver, proxy.address(), storage.path(), &[]);
    let (id, state) = first.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    empty(&outside).await;
    let body = format!(r#"{{"vault": "{id}"}}"#);
    // Half of 30,000 znodes of 200 bytes.
    proxy.hold_after(4_000_000);
    let task = first.http.post("/restore", &body).unwrap().text;
    wait_until_held(&proxy, &first);
    first.kill();
    let half = is_filled(&outside).await;
    assert!((1..30_000).contains(&half), "{half} were restored");
    let second = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    let state = second.http.get(&format!("/jobstatus/{task}")).unwrap();
    assert_eq!(state.status, 500);
    assert!(state.text.contains("interrupted"), "{}", state.text);
    let (_, state) = second.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_same(&before, &dump(&outside).await);
}

by_each_adapter!(a_restore_whose_connection_is_cut_ends_equal);

/// Connections are cut while a restore is writing, so that outcomes are unknown: they are looked up, not assumed.
async fn a_restore_whose_connection_is_cut_ends_equal(driver: Driver) {
    let zookeeper = server();
    let proxy = Proxy::start(&zookeeper.address()).unwrap();
    let outside = observer(&zookeeper).await;
    fill(&as_super(&zookeeper), 30_000).await;
    let before = dump(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, proxy.address(), storage.path(), &[]);
    let (id, _) = daemon.do_job("/backup", "").unwrap();
    empty(&outside).await;
    let task = daemon
        .http
        .post("/restore", &format!(r#"{{"vault": "{id}"}}"#))
        .unwrap()
        .text;
    for cut in [1, 10_000, 20_000] {
        let deadline = Instant::now() + Duration::from_secs(300);
        while is_filled(&outside).await < cut {
            assert!(Instant::now() < deadline, "nothing is restored");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.cut();
    }
    let state = daemon.wait_for_job(&task).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let report = &state.json()["result"]["report"];
    assert_eq!(
        (&report["created"], &report["failed"]),
        (&json!(30_001), &json!(0)),
        "{report}"
    );
    assert_same(&before, &dump(&outside).await);
}

async fn empty(outside: &zookeeper_async::ZooKeeper) {
    let children = outside.get_children("/fill", false).await.unwrap();
    let paths: Vec<_> = children.iter().map(|name| format!("/fill/{name}")).collect();
    futures::future::try_join_all(paths.iter().map(|path| outside.delete(path, None)))
        .await
        .unwrap();
    outside.delete("/fill", None).await.unwrap();
}
