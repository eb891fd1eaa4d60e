//! Sequential children after a restore get numbers that were never given before.

use backup_engine::Driver;
use serde_json::json;
use zk_backup_testkit::{Distribution, ZooKeeper};
use zookeeper_async::{Acl, CreateMode, ZooKeeper as Client};

use crate::common::buckets::copy_of_storage;
use crate::common::by_each_adapter;
use crate::common::clients::observer;
use crate::common::daemons::daemon_by;
use crate::common::servers::server;
use crate::common::trees::plant;

async fn next(client: &Client, parent: &str, mode: CreateMode) -> u64 {
    let open = Acl::open_unsafe().clone();
    let path = client
        .create(&format!("{parent}/n-"), vec![], open, mode)
        .await
        .unwrap();
    path.rsplit('-').next().unwrap().parse().unwrap()
}

/// Uses some numbers up; leaves only a few of the children.
async fn use_numbers(client: &Client) {
    plant(
        client,
        &[
            ("/queue", b""),
            ("/locks", b""),
            ("/plain", b""),
            ("/plain/child", b""),
        ],
    )
    .await;
    for number in 0..60 {
        assert_eq!(
            next(client, "/queue", CreateMode::PersistentSequential).await,
            number
        );
        if number % 7 != 0 {
            client
                .delete(&format!("/queue/n-{number:010}"), None)
                .await
                .unwrap();
        }
        // Those of a live session are never in a backup, but their numbers were given.
        assert_eq!(
            next(client, "/locks", CreateMode::EphemeralSequential).await,
            number
        );
    }
}

async fn numbers_go_on(driver: Driver, distribution: &Distribution) {
    let first = ZooKeeper::start(distribution).unwrap();
    let outside = observer(&first).await;
    use_numbers(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let (id, state) = daemon_by(driver, &first.address(), storage.path(), &[])
        .do_job("/backup", "")
        .unwrap();
    assert_eq!(state.status, 200, "{}", state.text);

    // Into an ensemble that has never seen any of it.
    let second = ZooKeeper::start(distribution).unwrap();
    let elsewhere = observer(&second).await;
    let server = daemon_by(driver, &second.address(), storage.path(), &[]);
    let body = |more: &str| format!(r#"{{"vault": "{id}"{more}}}"#);
    let (_, plan) = server.do_job("/restore", &body(r#", "dry_run": true"#)).unwrap();
    let (_, state) = server.do_job("/restore", &body("")).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let (plan, report) = (
        plan.json()["result"]["report"].clone(),
        state.json()["result"]["report"].clone(),
    );
    for key in ["counters_raised", "counter_steps", "created"] {
        assert_eq!(plan[key], report[key], "{key}: {plan} {report}");
    }
    assert!(report["counter_steps"].as_u64().unwrap() >= 51 + 60, "{report}");
    assert_eq!(report["counters_left"], 0, "{report}");
    assert!(next(&elsewhere, "/queue", CreateMode::PersistentSequential).await >= 60);
    assert!(next(&elsewhere, "/locks", CreateMode::EphemeralSequential).await >= 60);
    let mut left = elsewhere.get_children("/queue", false).await.unwrap();
    left.retain(|name| !name.starts_with("n-"));
    assert!(left.is_empty(), "{left:?}");

    // Where the numbers are ahead already, nothing is done.
    let (_, state) = server.do_job("/restore", &body("")).unwrap();
    assert_eq!(
        state.json()["result"]["report"]["counters_raised"],
        0,
        "{}",
        state.text
    );

    // A session that lives on in the first one keeps its znodes, and the numbers go on there too.
    let back = daemon_on(driver, &first, &storage);
    let (_, state) = back.do_job("/restore", &body("")).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_eq!(
        next(&outside, "/locks", CreateMode::EphemeralSequential).await,
        60
    );
    assert_eq!(
        next(&outside, "/queue", CreateMode::PersistentSequential).await,
        60
    );
}

/// The storage serves one daemon at a time, so this one has a copy.
fn daemon_on(driver: Driver, server: &ZooKeeper, storage: &tempfile::TempDir) -> CopyOf {
    let copy = copy_of_storage(storage.path());
    CopyOf {
        daemon: daemon_by(driver, &server.address(), copy.path(), &[]),
        _copy: copy,
    }
}

struct CopyOf {
    daemon: zk_backup_testkit::Daemon,
    _copy: tempfile::TempDir,
}

impl std::ops::Deref for CopyOf {
    type Target = zk_backup_testkit::Daemon;

    fn deref(&self) -> &Self::Target {
        &self.daemon
    }
}

by_each_adapter!(numbers_go_on_after_a_restore);

async fn numbers_go_on_after_a_restore(driver: Driver) {
    numbers_go_on(driver, &Distribution::locate().unwrap()).await;
    if let Some(debian) = Distribution::debian() {
        numbers_go_on(driver, &debian).await;
    }
}

by_each_adapter!(what_the_limit_leaves_behind_is_named);

/// Past the limit the result says whose numbers may come again.
async fn what_the_limit_leaves_behind_is_named(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    use_numbers(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let server = daemon_by(
        driver,
        &zookeeper.address(),
        storage.path(),
        &[("SEQUENCE_RESTORE_LIMIT", "55")],
    );
    let (id, _) = server
        .do_job("/backup", r#"{"dbs": ["queue", "plain"]}"#)
        .unwrap();
    for i in (0..60).step_by(7) {
        outside.delete(&format!("/queue/n-{i:010}"), None).await.unwrap();
    }
    outside.delete("/queue", None).await.unwrap();
    let body = format!(r#"{{"vault": "{id}", "dbs": ["queue", "plain"]}}"#);
    let (_, state) = server.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let report = &state.json()["result"]["report"];
    assert_eq!(
        (&report["counters_raised"], &report["counter_steps"]),
        (&json!(1), &json!(51)),
        "{report}"
    );

    for i in (0..60).step_by(7) {
        outside.delete(&format!("/queue/n-{i:010}"), None).await.unwrap();
    }
    outside.delete("/queue", None).await.unwrap();
    drop(server);
    let server = daemon_by(
        driver,
        &zookeeper.address(),
        storage.path(),
        &[("SEQUENCE_RESTORE_LIMIT", "50")],
    );
    let (_, state) = server.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let result = &state.json()["result"];
    assert_eq!(result["report"]["counters_left"], 1, "{result}");
    assert_eq!(
        result["report"]["counters_left_behind"][0]["path"], "/queue",
        "{result}"
    );
    assert!(result["notes"].to_string().contains("sequential"), "{result}");
    let metrics = server.http.get("/health/prometheus").unwrap().text;
    assert!(
        metrics.contains("zk_backup_not_restored_total{what=\"counters\"} 1"),
        "{metrics}"
    );
}
