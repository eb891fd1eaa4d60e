//! What a restore that was interrupted leaves behind is known, named and finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backup_engine::Driver;
use serde_json::json;
use zk_backup_testkit::{Daemon, Proxy};
use zookeeper_async::{CreateMode, Permission};

use crate::common::by_each_adapter;
use crate::common::cli::Cli;
use crate::common::clients::{APP, digest, observer};
use crate::common::daemons::{AS_SUPER, back_up, daemon_by, health_with_zookeeper, restore, wait_until_held};
use crate::common::servers::server;
use crate::common::trees::{assert_same, dump, plant};

by_each_adapter!(a_killed_restore_is_finished_by_the_next_one_in_reach);

/// Killed while the children of guarded parents come into being; then the narrowest restore that has these in reach, one
/// that may touch nothing which exists, finishes the parents as well.
async fn a_killed_restore_is_finished_by_the_next_one_in_reach(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let guarded = vec![digest(Permission::ALL, APP)];
    for (path, data) in [("/p", &b"config"[..]), ("/p/c", b"x")] {
        let created = outside.create(path, data.to_vec(), guarded.clone(), CreateMode::Persistent);
        created.await.unwrap();
    }
    for i in 0..2_000 {
        plant(&outside, &[(&format!("/p/c/n{i}"), b"0123456789")]).await;
    }
    // What comes after the first bytes with data of the children is stopped on its way.
    let (armed, requests, stopped) = (
        Arc::new(AtomicBool::new(false)),
        AtomicUsize::new(0),
        Arc::new(AtomicBool::new(false)),
    );
    let (is_armed, stops) = (Arc::clone(&armed), Arc::clone(&stopped));
    let stop = move |bytes: &[u8]| {
        let has_data =
            is_armed.load(Ordering::SeqCst) && bytes.windows(10).any(|window| window == b"0123456789");
        let number = if has_data {
            requests.fetch_add(1, Ordering::SeqCst)
        } else {
            0
        };
        if number == 1 {
            stops.store(true, Ordering::SeqCst);
        }
        if number > 0 {
            loop {
                std::thread::park(); // it goes no further
            }
        }
    };
    let proxy = Proxy::start_with(&zookeeper.address(), stop).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let first = daemon_by(driver, proxy.address(), storage.path(), &AS_SUPER);
    let id = back_up(&first, "");
    let before = dump(&outside).await;
    for i in 0..2_000 {
        outside.delete(&format!("/p/c/n{i}"), None).await.unwrap();
    }
    outside.delete("/p/c", None).await.unwrap();
    outside.delete("/p", None).await.unwrap();
    armed.store(true, Ordering::SeqCst);
    let body = format!(r#"{{"vault": "{id}", "dbs": ["p/c"]}}"#);
    let task = first.http.post("/restore", &body).unwrap().text;
    let deadline = Instant::now() + Duration::from_secs(60);
    while !stopped.load(Ordering::SeqCst) {
        assert!(Instant::now() < deadline, "{}", first.said());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(first); // kills it
    let left = dump(&outside).await;
    assert!(left.len() < before.len(), "it was over before it could be killed");
    assert_ne!(left["/p"].1, before["/p"].1, "the parent has its own ACL already");

    let second = daemon_by(driver, &zookeeper.address(), storage.path(), &AS_SUPER);
    let health = health_with_zookeeper(&second);
    assert_eq!(
        (&health["status"], &health["unfinished_znodes"]),
        (&json!("Warning"), &json!(2)),
        "{health}"
    );
    assert!(health["problems"].to_string().contains(&task), "{health}");
    let metrics = second.http.get("/metrics").unwrap().text;
    assert!(
        metrics
            .lines()
            .any(|line| line == "zk_backup_unfinished_znodes 2"),
        "{metrics}"
    );

    // A backup of them tells that it has them, and so does a restore of it.
    for body in ["", r#"{"dbs": ["p/c"]}"#] {
        let taken = back_up(&second, body);
        let stored = second.http.get(&format!("/listbackups/{taken}")).unwrap().json();
        let told = stored["exception"].to_string();
        assert!(told.contains("partial: 2 znodes stand under"), "{stored}");
        assert!(told.contains(&task) && told.contains(": /p, /p/c;"), "{stored}");
        assert_eq!(
            (&stored["valid"], &stored["exit_code"]),
            (&json!(true), &json!(0)),
            "{stored}"
        );
        let (_, state) = restore(&second, &taken, r#", "dbs": ["p/c"], "dry_run": true"#);
        assert!(
            state["result"]["notes"]
                .to_string()
                .contains("2 znodes stand under"),
            "{state}"
        );
    }

    // One that has them not in reach leaves them alone, and names them.
    plant(&outside, &[("/other", b"")]).await;
    let other = back_up(&second, r#"{"dbs": ["other"]}"#);
    let (status, state) = restore(&second, &other, r#", "dbs": ["other"]"#);
    let report = &state["result"]["report"];
    assert_eq!(
        (status, &report["unfinished_paths"]),
        (200, &json!(["/p", "/p/c"])),
        "{state}"
    );
    outside.delete("/other", None).await.unwrap();

    // As the way back it serves all the same.
    let with = r#", "dbs": ["p/c"], "policy": "missing", "backup_first": true"#;
    let (status, state) = restore(&second, &id, with);
    assert_eq!(status, 200, "{state}");
    let report = &state["result"]["report"];
    assert_eq!(
        (&report["finished"], &report["unfinished"]),
        (&json!(2), &json!(0)),
        "{report}"
    );
    assert_same(&before, &dump(&outside).await);
    let health = second.http.get("/health").unwrap().json();
    assert_eq!(health["unfinished_znodes"], json!(null), "{health}");
    back_up(&second, "");
}

by_each_adapter!(a_killed_restore_is_told_of_until_as_much_is_restored);

/// Znodes that anybody may change are finished as soon as they are there: what is missing is known by the restore alone.
async fn a_killed_restore_is_told_of_until_as_much_is_restored(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/open", b""), ("/other", b"")]).await;
    for i in 0..2_000 {
        plant(&outside, &[(&format!("/open/n{i}"), &[b'x'; 100])]).await;
    }
    let proxy = Proxy::start(&zookeeper.address()).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let mut first = daemon_by(driver, proxy.address(), storage.path(), &[]);
    let id = back_up(&first, "");
    let before = dump(&outside).await;
    for i in 0..2_000 {
        outside.delete(&format!("/open/n{i}"), None).await.unwrap();
    }
    proxy.hold_after(200_000);
    let body = format!(r#"{{"vault": "{id}", "dbs": ["open"]}}"#);
    let task = first.http.post("/restore", &body).unwrap().text;
    wait_until_held(&proxy, &first);
    first.kill();
    let left = dump(&outside).await.len();
    assert!(left > 3 && left < before.len(), "{left} of {}", before.len());

    let mut again = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    assert_told(&again, &task, &id);
    let failed = |line: &str| line == r#"zk_backup_restores_total{outcome="failed"} 1"#;
    let metrics = again.http.get("/metrics").unwrap().text;
    assert!(metrics.lines().any(failed), "{metrics}");
    again.kill();
    let second = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    let state = second.http.get(&format!("/jobstatus/{task}")).unwrap().json();
    assert_eq!(
        (&state["status"], &state["dbs"], &state["dry_run"]),
        (&json!("Failed"), &json!(["open"]), &json!(null)),
        "{state}"
    );
    // Neither one of something else nor one that only tells makes up for it.
    for asked in [r#", "dbs": ["other"]"#, r#", "dbs": ["open"], "dry_run": true"#] {
        assert_eq!(restore(&second, &id, asked).0, 200);
        assert_told(&second, &task, &id);
    }
    // Nor one that leaves nothing to do, by a policy that does less.
    assert_eq!(restore(&second, &id, r#", "policy": "merge""#).0, 200);
    assert_same(&before, &dump(&outside).await);
    assert_told(&second, &task, &id);

    // The command line says of a plan that would, and without being asked nothing comes of one that would not.
    let cli = Cli::of_server(&second);
    let backups = second.http.get("/listbackups").unwrap().json();
    let told = cli.ok(&["restore", &id, "--root", "/other", "--yes"]);
    assert!(told.contains("there is nothing to do"), "{told}");
    let ask = ["restore", &id, "--root", "/open"];
    let told = cli.ok(&ask);
    assert!(told.contains("nothing is to be changed"), "{told}");
    assert_eq!(cli.json(&ask)[0]["result"]["makes_up_for"], json!([task]));
    assert_eq!(second.http.get("/listbackups").unwrap().json(), backups);
    assert_told(&second, &task, &id);
    let told = cli.ok(&[&ask[..], &["--yes"]].concat());
    assert!(
        told.contains("nothing is to be changed") && told.contains("restored from"),
        "{told}"
    );
    let told = cli.ok(&[&ask[..], &["--yes"]].concat());
    assert!(told.contains("there is nothing to do"), "{told}");
    assert_same(&before, &dump(&outside).await);
    let health = second.http.get("/health").unwrap().json();
    assert_eq!(
        (&health["status"], &health["interrupted_restores"]),
        (&json!("UP"), &json!(null)),
        "{health}"
    );
}

/// That `task`, a restore of `/open` of backup `id`, is known to have been interrupted.
fn assert_told(daemon: &Daemon, task: &str, id: &str) {
    let health = health_with_zookeeper(daemon);
    let words = format!("the restore {task} of backup {id} of /open was interrupted: ask for it again");
    assert_eq!(
        (&health["status"], &health["problems"]),
        (&json!("Warning"), &json!([words])),
        "{health}"
    );
    let metrics = daemon.http.get("/metrics").unwrap().text;
    let told = metrics
        .lines()
        .any(|line| line == "zk_backup_interrupted_restores 1");
    assert!(told, "{metrics}");
}
