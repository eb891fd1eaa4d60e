//! What may not be read, or cannot be understood, costs itself only, and is never taken for absent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backup_engine::Driver;
use serde_json::json;
use tokio::runtime::Handle;
use zk_backup_testkit::{Proxy, set_raw_acl};
use zookeeper_async::{CreateMode, Permission};

use crate::common::by_each_adapter;
use crate::common::clients::{EVE, digest, observer};
use crate::common::daemons::{AS_BOB, AS_SUPER, daemon, daemon_by, restore};
use crate::common::servers::server;
use crate::common::trees::plant;

/// Servers tell no watch of znodes that the session may not read. They come in the middle of a walk, and another client
/// writes something that the backup does show: it knows of them all the same, so that no restore deletes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_hidden_in_the_middle_of_a_backup_is_known_to_it() {
    let zookeeper = server();
    let outside = Arc::new(observer(&zookeeper).await);
    plant(&outside, &[("/t", b""), ("/t/bulk", b"")]).await;
    let parents: Vec<_> = (0..6).map(|i| format!("/t/a{i}")).collect();
    for parent in &parents {
        plant(&outside, &[(parent, b""), (&format!("{parent}/v"), b"1")]).await;
    }
    for i in 0..3_000 {
        plant(&outside, &[(&format!("/t/bulk/n{i}"), b"0123456789")]).await;
    }
    let (come, handle) = (Arc::new(AtomicBool::new(false)), Handle::current());
    let (other, names, once) = (Arc::clone(&outside), parents.clone(), Arc::clone(&come));
    let hide = move |bytes: &[u8]| {
        let is_half_way = bytes.windows(14).any(|window| window.starts_with(b"/t/bulk/n15"));
        if is_half_way && !once.swap(true, Ordering::SeqCst) {
            handle.block_on(async {
                for parent in &names {
                    let (path, acl) = (format!("{parent}/h"), vec![digest(Permission::ALL, EVE)]);
                    other
                        .create(&path, b"hidden".to_vec(), acl, CreateMode::Persistent)
                        .await
                        .unwrap();
                    other
                        .set_data(&format!("{parent}/v"), b"after".to_vec(), None)
                        .await
                        .unwrap();
                }
            });
        }
    };
    let proxy = Proxy::start_with(&zookeeper.address(), hide).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let bob = daemon(proxy.address(), storage.path(), &AS_BOB);
    let (id, state) = bob.do_job("/backup", r#"{"dbs": ["t"]}"#).unwrap();
    assert!(come.load(Ordering::SeqCst), "nothing came in the middle");
    assert_eq!(state.status, 500, "it is called complete: {}", state.text);
    let skipped = &state.json()["result"]["skipped"];
    assert_eq!(skipped["unreadable"], json!(6), "{}", state.text);
    let why = state.json()["message"].as_str().unwrap().to_owned();
    let (_, needed) = why.split_once("; ZooKeeper knows us as ").unwrap();
    let (names, _) = needed
        .split_once(", and READ is needed there, with ADMIN ")
        .unwrap();
    assert!(names.split(", ").any(|name| name == "digest:bob"), "{why}");
    drop(bob);
    let again = daemon(&zookeeper.address(), storage.path(), &AS_SUPER);
    let (status, state) = restore(&again, &id, r#", "dbs": ["t"]"#);
    assert_eq!(status, 200, "{state}");
    assert_eq!(
        (
            &state["result"]["report"]["unknown"],
            &state["result"]["report"]["deleted"]
        ),
        (&json!(6), &json!(0))
    );
    for parent in &parents {
        let (data, _) = outside.get_data(&format!("{parent}/h"), false).await.unwrap();
        assert_eq!(data, b"hidden", "{parent}");
    }
}

by_each_adapter!(an_acl_that_cannot_be_decoded_costs_its_own_znode_only);

/// Permission bits that no one has defined, and an id that Java sends in another encoding than UTF-8.
async fn an_acl_that_cannot_be_decoded_costs_its_own_znode_only(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(
        &outside,
        &[
            ("/w", b""),
            ("/w/bits", b"b"),
            ("/w/more", b"m"),
            ("/w/text", b"t"),
            ("/w/z", b"z"),
        ],
    )
    .await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &AS_SUPER);
    let (good, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);

    for (path, acl) in [
        ("/w/bits", [(-1, "world", "anyone")]),
        ("/w/more", [(63, "world", "anyone")]),
        ("/w/text", [(31, "digest", "b\u{1F600}b:x1")]),
    ] {
        set_raw_acl(&zookeeper.address(), path, &acl).unwrap();
    }
    outside.delete("/w/z", None).await.unwrap();
    let (status, state) = restore(&daemon, &good, "");
    let report = &state["result"]["report"];
    assert_eq!(
        (status, &report["failed"], &report["created"]),
        (500, &json!(3), &json!(1)),
        "{state}"
    );
    let failures = report["failures"].to_string();
    assert!(
        failures.contains("/w/bits") && failures.contains("/w/text"),
        "{failures}"
    );
    let (_, state) = daemon.do_job("/backup", r#"{"allow_partial": true}"#).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let skipped = &state.json()["result"]["skipped"];
    let mut named = skipped["unreadable_paths"].as_array().unwrap().clone();
    named.sort_by_key(ToString::to_string);
    assert_eq!(named, ["/w/bits", "/w/more", "/w/text"]);
}
