//! What ZooKeeper does to a backup, seen over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backup_engine::Driver;
use serde_json::json;
use zookeeper_async::{Acl, CreateMode};

use crate::live::{daemon, driver, dump, nobody, observer, plant, server};

#[test]
fn an_unreachable_zookeeper_fails_jobs_in_time_and_leaves_the_server_up() {
    let (address, storage) = (nobody(), tempfile::tempdir().unwrap());
    let daemon = daemon(&address, storage.path(), &[("ZOOKEEPER_TIMEOUT", "3")]);
    let begun = Instant::now();
    let (id, state) = daemon.do_job("/backup", "").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(state.status, 500);
    let state = state.json();
    let message = state["message"].as_str().unwrap();
    assert!(
        message.contains(&address) && message.contains("refused"),
        "{message}"
    );
    assert!(state["err"].as_str().unwrap().contains(&address));
    assert_eq!(daemon.describe(&id).unwrap()["failed"], true);
    let health = daemon.http.get("/health").unwrap();
    assert_eq!(
        (health.status, &health.json()["zookeeper"]["reachable"]),
        (200, &json!(false))
    );
    let ready = daemon.http.get("/health/ready").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.text.contains("ZooKeeper"), "{}", ready.text);
}

/// Znodes come and go during the walk: no failure, and no claim that does not hold. Where nothing can be watched,
/// two walks never agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn znodes_that_come_and_go_fail_nothing() {
    let zookeeper = server();
    let outside = Arc::new(observer(&zookeeper).await);
    plant(&outside, &[("/moving", b""), ("/still", b"still")]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (outside, stop) = (Arc::clone(&outside), Arc::clone(&stop));
        async move {
            let mut turns = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let paths: Vec<_> = (0..50).map(|i| format!("/moving/{turns}-{i}")).collect();
                for path in &paths {
                    let acl = Acl::open_unsafe().clone();
                    outside
                        .create(path, vec![1; 100], acl, CreateMode::Persistent)
                        .await
                        .unwrap();
                }
                for path in &paths {
                    outside.delete(path, None).await.unwrap();
                }
                turns += 1;
            }
            turns
        }
    });
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    for _ in 0..10 {
        let (id, state) = daemon.do_job("/backup", "").unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        let info = daemon.describe(&id).unwrap();
        assert_eq!(info["valid"], json!(true), "{info:?}");
        // Where the tree is watched a quiet moment is found, unless the machine is too busy for it.
        let moving = info["moving"]["count"].as_u64().unwrap() > 0;
        let claim = if driver() == Driver::Plain || moving {
            "fuzzy"
        } else {
            "consistent"
        };
        assert_eq!(info["consistency"], json!(claim), "{info:?}");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0, "nothing moved");
}

/// What may not be read makes the backup partial: failed unless the request allows it, and named either way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_subtree_is_named_and_never_silently_left_out() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(
        &outside,
        &[("/open", b"1"), ("/closed", b"2"), ("/closed/below", b"3")],
    )
    .await;
    let closed = vec![Acl {
        perms: zookeeper_async::Permission::ALL,
        scheme: "digest".into(),
        id: "bob:ZWxzZXdoZXJlIQ==".into(),
    }];
    outside.set_acl("/closed", closed, None).await.unwrap();
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    for (body, status, valid) in [("{}", 500, false), (r#"{"allow_partial": true}"#, 200, true)] {
        let (id, state) = daemon.do_job("/backup", body).unwrap();
        assert_eq!(state.status, status, "{}", state.text);
        let info = daemon.describe(&id).unwrap();
        assert_eq!(info["valid"], valid, "{info}");
        assert!(info["skipped"]["unreadable"].as_u64().unwrap() >= 1, "{info}");
        let named = info["skipped"]["unreadable_paths"].to_string();
        assert!(named.contains("/closed"), "{info}");
        assert!(info["exception"].as_str().unwrap().contains("/closed"), "{info}");
    }
}

/// Ephemeral znodes are counted and never come back as persistent ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ephemeral_znodes_are_skipped_and_counted() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/members", b"")]).await;
    for name in ["/members/a", "/members/b", "/alone"] {
        let acl = Acl::open_unsafe().clone();
        outside
            .create(name, b"me".to_vec(), acl, CreateMode::Ephemeral)
            .await
            .unwrap();
    }
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let (id, _) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(daemon.describe(&id).unwrap()["skipped"]["ephemeral"], 3);
    for path in ["/members/a", "/members/b", "/alone", "/members"] {
        outside.delete(path, None).await.unwrap();
    }
    assert_eq!(
        daemon
            .do_job("/restore", &json!({"vault": id}).to_string())
            .unwrap()
            .1
            .status,
        200
    );
    let paths: Vec<_> = dump(&outside).await.into_keys().collect();
    assert_eq!(paths, ["/", "/members"]);
    assert!(outside.get_data("/members/a", false).await.is_err());
    assert!(outside.get_data("/alone", false).await.is_err());
}

/// The schedule fires without being asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schedule_is_told() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(
        &zookeeper.address(),
        storage.path(),
        &[("BACKUP_SCHEDULE", "*/5 * * * *")],
    );
    let schedule = daemon.http.get("/health").unwrap().json()["schedule"].clone();
    assert!(schedule["next"].as_str().unwrap().ends_with(":00Z"), "{schedule}");
    assert_eq!(schedule["missed"], 0);
}
