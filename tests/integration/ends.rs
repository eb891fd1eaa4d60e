//! What a restore says at its end, whatever that is.

use std::time::{Duration, Instant};

use backup_engine::Driver;
use serde_json::json;
use zk_backup_testkit::Proxy;
use zookeeper_async::{CreateMode, Permission};

use crate::common::by_each_adapter;
use crate::common::clients::{EVE, digest, observer};
use crate::common::daemons::{AS_BOB, AS_SUPER, back_up, daemon_by, restore, wait_until_held};
use crate::common::servers::server;
use crate::common::trees::plant;

by_each_adapter!(what_the_backup_does_not_know_is_not_called_restored);

/// What the backup could not read is no znode that is as it was: asked for by name it fails, else it is counted and named.
async fn what_the_backup_does_not_know_is_not_called_restored(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/u", b""), ("/u/open", b"1")]).await;
    let hidden = vec![digest(Permission::ALL, EVE)];
    let created = outside.create("/u/hidden", b"x".to_vec(), hidden, CreateMode::Persistent);
    created.await.unwrap();
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &AS_BOB);
    let id = back_up(&daemon, r#"{"dbs": ["u"], "allow_partial": true}"#);
    outside.set_data("/u/open", b"2".to_vec(), None).await.unwrap();

    let (status, state) = restore(&daemon, &id, r#", "dbs": ["u/hidden"]"#);
    assert_eq!(status, 500, "{state}");
    assert!(
        state["message"].as_str().unwrap().contains("/u/hidden"),
        "{state}"
    );
    for (more, changed) in [(r#", "dry_run": true"#, 1), ("", 1), ("", 0)] {
        let (status, state) = restore(&daemon, &id, more);
        let result = &state["result"];
        assert_eq!((status, &result["partial"]), (200, &json!(true)), "{state}");
        assert!(result["consistency"].is_string(), "{state}");
        let report = &result["report"];
        assert_eq!(
            (&report["unknown"], &report["unknown_paths"]),
            (&json!(1), &json!(["/u/hidden"])),
            "{report}"
        );
        assert_eq!(
            (&report["data_changed"], &report["unchanged"]),
            (&json!(changed), &json!(2 - changed)),
            "{report}"
        );
        assert!(result["notes"].to_string().contains("could not read"), "{result}");
    }
    assert_eq!(outside.get_data("/u/hidden", false).await.unwrap().0, b"x");
}

by_each_adapter!(a_restore_that_loses_the_ensemble_says_what_it_did);

/// The ensemble is lost in the middle: the job says how much was done by then, no more and no less.
async fn a_restore_that_loses_the_ensemble_says_what_it_did(driver: Driver) {
    let mut zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/fill", b"")]).await;
    for i in 0..10_000 {
        plant(&outside, &[(&format!("/fill/n{i}"), b"0123456789")]).await;
    }
    let storage = tempfile::tempdir().unwrap();
    let mut settings = AS_SUPER.to_vec();
    settings.push(("ZOOKEEPER_TIMEOUT", "10"));
    let proxy = Proxy::start(&zookeeper.address()).unwrap();
    let daemon = daemon_by(driver, proxy.address(), storage.path(), &settings);
    let id = back_up(&daemon, "");
    for i in 0..10_000 {
        outside.delete(&format!("/fill/n{i}"), None).await.unwrap();
    }
    // Less than half of what creates 10,000 znodes.
    proxy.hold_after(300_000);
    let task = daemon
        .http
        .post("/restore", &format!(r#"{{"vault": "{id}"}}"#))
        .unwrap()
        .text;
    wait_until_held(&proxy, &daemon);
    let deadline = Instant::now() + Duration::from_secs(60);
    while outside
        .exists("/fill", false)
        .await
        .unwrap()
        .unwrap()
        .num_children
        < 50
    {
        assert!(Instant::now() < deadline, "nothing is restored");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    zookeeper.kill();
    let state = daemon.wait_for_job(&task).unwrap();
    let json = state.json();
    assert_eq!(state.status, 500, "{json}");
    let report = &json["result"]["report"];
    let created = report["created"].as_u64().unwrap();
    let message = json["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("{created} changes were made before")),
        "{message}"
    );
    zookeeper.restart().unwrap();
    let outside = observer(&zookeeper).await;
    let there = outside
        .exists("/fill", false)
        .await
        .unwrap()
        .unwrap()
        .num_children;
    let (there, unknown) = (u64::try_from(there).unwrap(), report["failed"].as_u64().unwrap());
    assert!(there < 10_000, "it was over before the ensemble was lost");
    assert!(
        created > 0 && created <= there && there <= created + unknown,
        "{there} are there, {created} were created, the outcome of {unknown} is not known"
    );
}
