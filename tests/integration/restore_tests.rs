//! Backups that are restored for a test: to a second ensemble, which has nothing of it afterwards.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zk_backup_testkit::{Daemon, Proxy, Setup};
use zookeeper_async::ZooKeeper;

use crate::common::clients::{client, digest, observer};
use crate::common::daemons::{AS_SUPER, back_up, daemon, try_daemon};
use crate::common::servers::{busy, server, start};
use crate::common::snapshots::take_snapshot;
use crate::common::trees::{assert_same, dump, plant, plant_all_kinds};

fn test(daemon: &Daemon, id: &str) -> (u16, Value) {
    let (_, state) = daemon.do_job(&format!("/restoretest/{id}"), "").unwrap();
    (state.status, state.json())
}

async fn scratch_roots(outside: &ZooKeeper) -> Vec<String> {
    let mut names = outside.get_children("/", false).await.unwrap();
    names.retain(|name| name.starts_with("zk-backup-test-"));
    names
}

/// Backups of both kinds, with closed znodes, containers, TTL znodes and sequence numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_in_a_second_ensemble_proves_a_backup_and_leaves_nothing() {
    let (zookeeper, second) = (start(&busy()), start(&busy()));
    let outside = observer(&zookeeper).await;
    plant_all_kinds(&client(&zookeeper.address()).await).await;
    plant(&outside, &[("/closed", b"secret"), ("/closed/below", b"more")]).await;
    let closed = vec![digest(zookeeper_async::Permission::ALL, "bob:ZWxzZXdoZXJlIQ==")];
    for path in ["/closed", "/closed/below", "/"] {
        outside.set_acl(path, closed.clone(), None).await.unwrap();
    }
    let there = observer(&second).await;
    plant(&there, &[("/mine", b"stays")]).await;
    let before = dump(&there).await;
    let storage = tempfile::tempdir().unwrap();
    let (data, host) = (zookeeper.data_directory(), second.address());
    let settings = [
        ("ZOOKEEPER_DATA_DIR", data.to_str().unwrap()),
        ("RESTORE_TEST_HOST", &host),
    ];
    let daemon = daemon(
        &zookeeper.address(),
        storage.path(),
        &[&settings[..], &AS_SUPER].concat(),
    );
    let walked = back_up(&daemon, "");
    let (snapshot, _) = take_snapshot(&daemon);
    for id in [&walked, &snapshot] {
        let (status, state) = test(&daemon, id);
        assert_eq!(status, 200, "{state}");
        let info = daemon.describe(id).unwrap();
        let tested = &info["tested"];
        assert_eq!(
            (&tested["place"], &tested["by"]),
            (&json!(second.address()), &json!("operator"))
        );
        assert!(tested["znodes"].as_u64().unwrap() >= 8, "{tested}");
        assert_eq!(
            (&info["tested_at"], tested["sha256"].as_str().unwrap().len()),
            (&tested["at"], 64)
        );
        assert_eq!(state["result"]["sha256"], tested["sha256"]);
        assert_same(&before, &dump(&there).await);
    }
    // In memory the same is read.
    let of = |id: &str| daemon.describe(id).unwrap()["tested"]["sha256"].clone();
    let in_second = of(&walked);
    let (_, state) = daemon
        .do_job(&format!("/restoretest/{walked}?in=memory"), "")
        .unwrap();
    assert_eq!((state.status, of(&walked)), (200, in_second), "{}", state.text);
    let health = daemon.http.get("/health").unwrap().json();
    assert!(health["seconds_since_proof"].as_u64().unwrap() < 600, "{health}");
    let metrics = daemon.http.get("/metrics").unwrap().text;
    assert!(
        metrics.contains("\nzk_backup_restore_tests_total{outcome=\"successful\"} 3\n"),
        "{metrics}"
    );
}

/// The second one takes no znode as large as one that the first has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_brought_back_is_named_and_told() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/large", &[7; 400_000]), ("/small", b"1")]).await;
    let second = start(&Setup {
        java: vec!["-Djute.maxbuffer=100000".to_owned()],
        ..Setup::default()
    });
    let there = observer(&second).await;
    let storage = tempfile::tempdir().unwrap();
    let host = second.address();
    let daemon = daemon(
        &zookeeper.address(),
        storage.path(),
        &[("RESTORE_TEST_HOST", &host)],
    );
    let id = back_up(&daemon, "");
    let (status, state) = test(&daemon, &id);
    assert_eq!(status, 500, "{state}");
    let said = state["message"].as_str().unwrap();
    assert!(
        said.contains("1 znodes are not as in the backup: /large: "),
        "{said}"
    );
    assert_eq!(state["result"]["differences"], json!(["/large"]), "{state}");
    assert_eq!(scratch_roots(&there).await, [""; 0]);
    let info = daemon.describe(&id).unwrap();
    assert_eq!(
        (&info["valid"], &info["tested_at"]),
        (&true.into(), &Value::Null),
        "{info}"
    );
    assert!(info["tested"]["difference"].as_str().unwrap().contains("/large"));
    let health = daemon.http.get("/health").unwrap().json();
    assert_eq!(health["status"], "Warning");
    assert!(health["problems"].to_string().contains("/large"), "{health}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_left_is_removed_by_the_next_test() {
    let (zookeeper, second) = (server(), server());
    let (outside, there) = (observer(&zookeeper).await, observer(&second).await);
    plant(&outside, &[("/many", b"")]).await;
    let znodes: Vec<_> = (0..4_000).map(|number| format!("/many/{number}")).collect();
    let creating = znodes.iter().map(|path| plant_one(&outside, path));
    futures::future::join_all(creating).await;
    plant(&there, &[("/zk-backup-test-of-somebody", b"")]).await;
    let storage = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(&second.address()).unwrap();
    let settings = [("RESTORE_TEST_HOST", proxy.address())];
    let mut first = daemon(&zookeeper.address(), storage.path(), &settings);
    let id = back_up(&first, "");
    // Not all of 4,000 znodes go through.
    proxy.hold_after(100_000);
    let task = first.http.post(&format!("/restoretest/{id}"), "").unwrap().text;
    let deadline = Instant::now() + Duration::from_secs(60);
    while !proxy.holds() {
        assert!(Instant::now() < deadline, "{}", first.said());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.kill();
    let root = format!("/zk-backup-test-{task}");
    let left = there.get_children(&format!("{root}/many"), false).await.unwrap();
    assert!(left.len() < 4_000, "{}", left.len());
    proxy.cut();
    proxy.go_on();

    let next = daemon(&zookeeper.address(), storage.path(), &settings);
    let state = next.wait_for_job(&task).unwrap().json();
    assert_eq!(
        (&state["status"], &state["message"]),
        (&"Failed".into(), &"interrupted".into())
    );
    let (status, state) = test(&next, &id);
    assert_eq!(status, 200, "{state}");
    assert_eq!(scratch_roots(&there).await, ["zk-backup-test-of-somebody"]);
}

async fn plant_one(outside: &ZooKeeper, path: &str) {
    plant(outside, &[(path, b"some data")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ensemble_that_is_backed_up_is_tested_in_only_where_a_place_there_is_named() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1"), ("/tests", b"")]).await;
    let storage = tempfile::tempdir().unwrap();
    let (address, before) = (zookeeper.address(), dump(&outside).await);
    let refused = try_daemon(&address, storage.path(), &[("RESTORE_TEST_HOST", &address)]);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("RESTORE_TEST_ROOT"), "{refused}");

    // By another name it is known by what is seen in it.
    let other_name = address.replace("127.0.0.1", "localhost");
    let id = {
        let daemon = daemon(&address, storage.path(), &[("RESTORE_TEST_HOST", &other_name)]);
        let id = back_up(&daemon, "");
        let (status, state) = test(&daemon, &id);
        assert_eq!(status, 500, "{state}");
        let said = state["message"].as_str().unwrap();
        assert!(said.contains("is the ensemble that is backed up"), "{said}");
        id
    };
    assert_same(&before, &dump(&outside).await);
    let daemon = daemon(&address, storage.path(), &[("RESTORE_TEST_ROOT", "/tests")]);
    let (status, state) = test(&daemon, &id);
    assert_eq!(status, 200, "{state}");
    assert_eq!(state["result"]["place"], format!("{address}/tests"));
    assert_same(&before, &dump(&outside).await);
}
