//! ACLs that an earlier backup knows are not asked for again, and never taken for what they are not.

use std::fs;

use backup_engine::Driver;
use serde_json::json;
use zk_backup_testkit::{Daemon, ZooKeeper};
use zookeeper_async::{Acl, CreateMode};

use crate::common::buckets::{copy_of_storage, files_of};
use crate::common::by_each_adapter;
use crate::common::clients::observer;
use crate::common::daemons::{AS_SUPER, back_up, daemon, daemon_by, restore};
use crate::common::servers::server;
use crate::common::snapshots::copy_of;
use crate::common::trees::{Tree, assert_same, dump, plant};

/// `/`, `/zookeeper`, `/zookeeper/config` and `/zookeeper/quota`, which look alike in every ensemble and are always asked for.
const OF_ANY_SERVER: u64 = 4;

fn reused(daemon: &Daemon, id: &str) -> (u64, u64) {
    let acls = &daemon.describe(id).unwrap()["acls"];
    (acls["read"].as_u64().unwrap(), acls["reused"].as_u64().unwrap())
}

/// What a backup holds, seen by restoring it into an empty ensemble.
async fn is_exact(driver: Driver, storage: &std::path::Path, id: &str, expected: &Tree) {
    let empty = server();
    let outside = observer(&empty).await;
    let copy = copy_of_storage(storage);
    let daemon = daemon_by(driver, &empty.address(), copy.path(), &[]);
    let (_, state) = daemon
        .do_job("/restore", &format!(r#"{{"vault": "{id}"}}"#))
        .unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_same(expected, &dump(&outside).await);
}

async fn closed(outside: &zookeeper_async::ZooKeeper, path: &str, who: &str) {
    let acl = Acl::new(zookeeper_async::Permission::ALL, "digest", who);
    outside.set_acl(path, vec![acl], None).await.unwrap();
}

by_each_adapter!(only_what_changed_is_asked_for);

async fn only_what_changed_is_asked_for(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b""), ("/a/b", b"1"), ("/c", b"")]).await;
    closed(&outside, "/a", "bob:x1=").await;
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("EVICTION_POLICY", "7d/delete"),
        ("ZOOKEEPER_DIGEST_USERNAME", "super"),
        ("ZOOKEEPER_DIGEST_PASSWORD", zk_backup_testkit::SUPER_PASSWORD),
    ];
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &settings);
    let first = back_up(&daemon, "");
    let (all, none) = reused(&daemon, &first);
    assert!(all >= OF_ANY_SERVER + 3 && none == 0, "{all} {none}");
    let known = all - OF_ANY_SERVER;
    // One that was set since its znode was created is asked for each time.
    let again = reused(&daemon, &back_up(&daemon, ""));
    assert_eq!(again, (OF_ANY_SERVER + 1, known - 1));

    // A list that changed, a znode that was replaced by another, and data alone.
    closed(&outside, "/a", "eve:x2=").await;
    outside.delete("/c", None).await.unwrap();
    plant(&outside, &[("/c", b"")]).await;
    closed(&outside, "/c", "eve:x3=").await;
    outside.set_data("/a/b", b"2".to_vec(), None).await.unwrap();
    let changed = back_up(&daemon, "");
    assert_eq!(reused(&daemon, &changed), (OF_ANY_SERVER + 2, known - 2));
    is_exact(driver, storage.path(), &changed, &dump(&outside).await).await;
    assert_eq!(
        reused(&daemon, &back_up(&daemon, r#"{"dbs": ["a"]}"#)).0,
        1,
        "a full one knows all but that of /a"
    );

    // Without the vaults, or with damaged ones, every ACL is asked for again.
    let ids = daemon.http.get("/listbackups").unwrap().json();
    for id in ids.as_array().unwrap().iter().filter_map(|id| id.as_str()) {
        let file = files_of(storage.path(), id).join("acls.idx");
        if let Ok(mut bytes) = fs::read(&file) {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(&file, bytes).unwrap();
        }
    }
    let anew = back_up(&daemon, "");
    assert_eq!(reused(&daemon, &anew), (all, 0));
    is_exact(driver, storage.path(), &anew, &dump(&outside).await).await;
    let ids = daemon.http.get("/listbackups").unwrap().json();
    for id in ids.as_array().unwrap().iter().filter_map(|id| id.as_str()) {
        daemon.http.post(&format!("/evict/{id}"), "").unwrap();
    }
    assert_eq!(reused(&daemon, &back_up(&daemon, "")), (all, 0));
}

by_each_adapter!(another_ensemble_is_asked_for_everything);

/// Two ensembles that began alike: the same paths, created by the same zxids, with other ACLs.
async fn another_ensemble_is_asked_for_everything(driver: Driver) {
    let storage = tempfile::tempdir().unwrap();
    let servers: [ZooKeeper; 2] = [server(), server()];
    let mut trees = Vec::new();
    for (zookeeper, who) in servers.iter().zip(["bob:x1=", "eve:x2="]) {
        let outside = observer(zookeeper).await;
        let acl = Acl::new(zookeeper_async::Permission::ALL, "digest", who);
        for path in ["/a", "/b"] {
            outside
                .create(path, vec![], vec![acl.clone()], CreateMode::Persistent)
                .await
                .unwrap();
        }
        let daemon = daemon_by(
            driver,
            &zookeeper.address(),
            storage.path(),
            &[
                ("EVICTION_POLICY", "7d/delete"),
                ("ZOOKEEPER_DIGEST_USERNAME", "super"),
                ("ZOOKEEPER_DIGEST_PASSWORD", zk_backup_testkit::SUPER_PASSWORD),
            ],
        );
        let id = back_up(&daemon, "");
        assert_eq!(daemon.describe(&id).unwrap()["acls"]["reused"], json!(0));
        trees.push((id, dump(&outside).await));
    }
    for (id, tree) in trees {
        is_exact(driver, storage.path(), &id, &tree).await;
    }
}

/// The data directory of before is put back, and the same znode gets as many lists as before, but others.
async fn only_what_is_live_is_told_after_a_rollback(comes_further: bool) {
    let mut zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/secret", b""), ("/open", b"")]).await;
    drop(outside);
    zookeeper.kill();
    let (saved, storage) = (copy_of(&zookeeper), tempfile::tempdir().unwrap());
    zookeeper.restart().unwrap();

    let outside = observer(&zookeeper).await;
    closed(&outside, "/secret", "ann:x1=").await;
    let write = async |outside: &zookeeper_async::ZooKeeper, path: &str, times: usize| {
        for _ in 0..times {
            outside.set_data(path, b"ann's".to_vec(), None).await.unwrap();
        }
    };
    // Whoever looks who is there takes a few, too.
    write(&outside, "/secret", 200).await;
    let daemon = daemon(&zookeeper.address(), storage.path(), &AS_SUPER);
    let before = back_up(&daemon, "");
    drop(outside);
    zookeeper.replace_data(saved.path()).unwrap();
    zookeeper.restart().unwrap();

    let outside = observer(&zookeeper).await;
    closed(&outside, "/secret", "bob:x2=").await;
    write(&outside, "/open", if comes_further { 600 } else { 0 }).await;
    let after = back_up(&daemon, "");
    let log = daemon
        .http
        .get(&format!("/listbackups/{after}/log"))
        .unwrap()
        .text;
    assert_eq!(!comes_further, log.contains("rolled back"), "{log}");
    let saved = daemon
        .http
        .get(&format!("/listbackups/{after}/znode?path=/secret"))
        .unwrap();
    assert!(saved.text.contains("bob:x2="), "{}", saved.text);
    let diff = daemon.http.get(&format!("/diff?from={before}&to=live")).unwrap();
    assert_eq!(diff.json()["acl_changed"], 1, "{}", diff.text);
    let (status, result) = restore(&daemon, &before, r#", "dbs": ["secret"]"#);
    assert_eq!(status, 200, "{result}");
    let (acl, _) = outside.get_acl("/secret").await.unwrap();
    assert_eq!(acl[0].id, "ann:x1=", "her data are shown to another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acls_are_those_of_an_ensemble_that_was_rolled_back() {
    only_what_is_live_is_told_after_a_rollback(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acls_are_those_of_an_ensemble_that_was_rolled_back_and_came_further_than_before() {
    only_what_is_live_is_told_after_a_rollback(true).await;
}
