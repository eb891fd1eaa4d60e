//! A chroot in `ZOOKEEPER_HOST` is all that is touched.

use backup_engine::Driver;
use serde_json::json;

use crate::common::by_each_adapter;
use crate::common::clients::observer;
use crate::common::daemons::{back_up, daemon, daemon_by, health_with_zookeeper, restore, try_daemon};
use crate::common::servers::{nobody, server};
use crate::common::trees::{assert_same, dump, plant};

by_each_adapter!(only_what_is_below_a_chroot_is_backed_up_and_restored);

async fn only_what_is_below_a_chroot_is_backed_up_and_restored(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let znodes: [(&str, &[u8]); 6] = [
        ("/app", b"root"),
        ("/app/kafka", b"chroot"),
        ("/app/kafka/a", b"1"),
        ("/app/kafka/a/b", b"2"),
        ("/app/kafkaesque", b"a neighbour"),
        ("/secret", b"of others"),
    ];
    plant(&outside, &znodes).await;
    let host = format!("{}/app/kafka", zookeeper.address());
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &host, storage.path(), &[]);
    let http = &daemon.http;
    health_with_zookeeper(&daemon);
    let before = dump(&outside).await;
    let (id, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let info = daemon.describe(&id).unwrap();
    assert_eq!(
        (&info["znodes"], &info["consistency"]),
        (&json!(3), &json!("consistent"))
    );
    let top = http
        .get(&format!("/listbackups/{id}/znodes?path=/"))
        .unwrap()
        .json();
    assert_eq!(
        (&top["total"], &top["znodes"][0]["path"]),
        (&json!(1), &json!("/a")),
        "{top}"
    );
    let (part, state) = daemon.do_job("/backup", r#"{"dbs": ["a"]}"#).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let (_, state) = daemon.do_job("/backup", r#"{"dbs": ["secret"]}"#).unwrap();
    assert_eq!(state.status, 500, "{}", state.text);

    let change = async || {
        outside.delete("/app/kafka/a/b", None).await.unwrap();
        outside
            .set_data("/app/kafka/a", b"changed".to_vec(), None)
            .await
            .unwrap();
    };
    change().await;
    plant(&outside, &[("/app/kafka/new", b"x")]).await;
    let diff = http.get(&format!("/diff?from={id}&to=live")).unwrap().json();
    assert_eq!(
        (&diff["added"], &diff["removed"]),
        (&json!(1), &json!(1)),
        "{diff}"
    );
    let (_, state) = daemon
        .do_job("/restore", &json!({"vault": id}).to_string())
        .unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_same(&before, &dump(&outside).await);
    change().await;
    let body = json!({"vault": part, "dbs": ["a"]}).to_string();
    let (_, state) = daemon.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_same(&before, &dump(&outside).await);

    let refused = http.post("/backup", r#"{"mode": "transactional"}"#).unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("/app/kafka"), "{}", refused.text);
    drop(daemon);

    // One that is not there is no reason to take the whole, and none to create it.
    let before = dump(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let missing = daemon_by(
        driver,
        &format!("{}/gone", zookeeper.address()),
        storage.path(),
        &[],
    );
    let (_, state) = missing.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 500);
    assert!(
        state.text.contains("the chroot /gone does not exist"),
        "{}",
        state.text
    );
    assert_same(&before, &dump(&outside).await);
    drop(missing);

    // What could be taken for the server's own is not left out in silence.
    plant(&outside, &[("/app/kafka/zookeeper", b"not the server's")]).await;
    let storage = tempfile::tempdir().unwrap();
    let unclear = daemon_by(driver, &host, storage.path(), &[]);
    let (_, state) = unclear.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 500);
    assert!(state.text.contains("/app/kafka/zookeeper"), "{}", state.text);
}

/// A backup of a chroot is of another place than one of the whole, or of another chroot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_means_a_backup_of_the_same_chroot() {
    let zookeeper = server();
    plant(
        &observer(&zookeeper).await,
        &[("/kafka", b""), ("/secret", b"of others")],
    )
    .await;
    let storage = tempfile::tempdir().unwrap();
    let whole = daemon(&zookeeper.address(), storage.path(), &[]);
    let (id, state) = whole.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    drop(whole);
    let part = daemon(&format!("{}/kafka", zookeeper.address()), storage.path(), &[]);
    let first = part.http.post("/restore", r#"{"ts": 1000000000000}"#).unwrap();
    assert_eq!(first.status, 404, "{}", first.text);
    let last = part
        .http
        .post("/restore", r#"{"before": 99999999999999}"#)
        .unwrap();
    assert_eq!(last.status, 404, "{} and not {id}", last.text);
}

/// All of it would replace all that there is, and the ACL of the root. Subtrees that are named move.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_another_chroot_is_not_restored_in_the_place_of_everything() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let znodes: [(&str, &[u8]); 3] = [("/kafka", b"k"), ("/kafka/topic", b"t"), ("/other", b"of others")];
    plant(&outside, &znodes).await;
    let storage = tempfile::tempdir().unwrap();
    let (whole, below) = (zookeeper.address(), format!("{}/kafka", zookeeper.address()));
    let before = dump(&outside).await;
    for (from, to, chroots) in [
        (&below, &whole, ["below /kafka", "below /,"]),
        (&whole, &below, ["below /,", "below /kafka"]),
    ] {
        let there = daemon(from, storage.path(), &[]);
        let id = back_up(&there, "");
        drop(there);
        let here = daemon(to, storage.path(), &[]);
        for more in ["", r#", "dry_run": true"#, r#", "policy": "merge""#] {
            let refused = here
                .http
                .post("/restore", &format!(r#"{{"vault": "{id}"{more}}}"#))
                .unwrap();
            assert_eq!(refused.status, 400, "{}", refused.text);
            for said in [chroots[0], chroots[1], "dbs"] {
                assert!(refused.text.contains(said), "{said}: {}", refused.text);
            }
        }
        assert_same(&before, &dump(&outside).await);
        drop(here);
        if from == &below {
            let here = daemon(to, storage.path(), &[]);
            let (status, result) = restore(&here, &id, r#", "dbs": ["topic"]"#);
            assert_eq!(status, 200, "{result}");
            assert_eq!(outside.get_data("/topic", false).await.unwrap().0, b"t");
            assert_eq!(outside.get_data("/other", false).await.unwrap().0, b"of others");
            outside.delete("/topic", None).await.unwrap();
        }
    }
}

#[test]
fn hosts_that_are_none_stop_the_start() {
    let storage = tempfile::tempdir().unwrap();
    for host in [
        "\"zk1:2181\"",
        "zk1,,zk2",
        "zk1:2181,",
        "zk1:client",
        "zk1:0",
        "http://zk1:2181",
        "zk1/kafka,zk2/kafka",
        "zk1/kafka/",
        "zk1/zookeeper",
    ] {
        let refused = try_daemon(host, storage.path(), &[]).unwrap_err().to_string();
        let named = format!("ZOOKEEPER_HOST={host}");
        assert!(refused.contains(&named), "{host}: {refused}");
    }
    let port = [("ZOOKEEPER_PORT", "tcp://10.0.0.1:2181")];
    let refused = try_daemon(&nobody(), storage.path(), &port)
        .unwrap_err()
        .to_string();
    for part in ["ZOOKEEPER_PORT=tcp://10.0.0.1:2181", "enableServiceLinks: false"] {
        assert!(refused.contains(part), "{refused}");
    }
}
