//! What ZooKeeper does to a backup, seen over HTTP.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backup_engine::Driver;
use serde_json::json;
use tokio::runtime::Handle;
use zk_backup_testkit::Proxy;
use zookeeper_async::{Acl, CreateMode};

use crate::common::by_each_adapter;
use crate::common::clients::observer;
use crate::common::daemons::{daemon, daemon_by};
use crate::common::servers::{nobody, server};
use crate::common::trees::{dump, plant};

/// How many znodes come and go at a time.
const AT_ONCE: usize = 50;

by_each_adapter!(an_unreachable_zookeeper_fails_jobs_in_time_and_leaves_the_server_up);

async fn an_unreachable_zookeeper_fails_jobs_in_time_and_leaves_the_server_up(driver: Driver) {
    let (address, storage) = (nobody(), tempfile::tempdir().unwrap());
    let daemon = daemon_by(driver, &address, storage.path(), &[("ZOOKEEPER_TIMEOUT", "3")]);
    let begun = Instant::now();
    let (id, state) = daemon.do_job("/backup", "").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
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

/// Whether only these are there at some time of what `znodes_that_come_and_go_fail_nothing` does.
fn once_was(names: &[&str]) -> bool {
    let parsed = names.iter().map(|name| name.split_once('-').unwrap());
    let mut numbers: Vec<_> = parsed.clone().map(|(_, i)| i.parse::<usize>().unwrap()).collect();
    numbers.sort_unstable();
    let (turns, count) = (
        parsed.map(|(turn, _)| turn).collect::<HashSet<_>>(),
        numbers.len(),
    );
    let (coming, going) = (0..count, AT_ONCE - count..AT_ONCE);
    turns.len() <= 1 && (numbers.iter().copied().eq(coming) || numbers.into_iter().eq(going))
}

by_each_adapter!(znodes_that_come_and_go_fail_nothing);

/// Znodes come and go during the walk: no failure, and no claim that does not hold.
async fn znodes_that_come_and_go_fail_nothing(driver: Driver) {
    let zookeeper = server();
    let outside = Arc::new(observer(&zookeeper).await);
    plant(&outside, &[("/moving", b""), ("/still", b"still")]).await;
    let (stop, pause) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing = tokio::spawn({
        let (outside, stop, pause) = (Arc::clone(&outside), Arc::clone(&stop), Arc::clone(&pause));
        async move {
            let mut changes = 0_u64;
            for turn in 0.. {
                let steps = [true, false].map(|comes| (0..AT_ONCE).map(move |i| (i, comes)));
                for (i, comes) in steps.into_iter().flatten() {
                    let path = format!("/moving/{turn}-{i}");
                    if comes {
                        plant(&outside, &[(&path, &[1; 100])]).await;
                    } else {
                        outside.delete(&path, None).await.unwrap();
                    }
                    changes += 1;
                    if let pause @ 1.. = pause.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                    if stop.load(Ordering::Relaxed) {
                        return changes;
                    }
                }
            }
            changes
        }
    });
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    let (mut backups, mut consistent) = (0, 0);
    while backups < 10 || consistent == 0 {
        let (id, state) = daemon.do_job("/backup", "").unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        let info = daemon.describe(&id).unwrap();
        assert_eq!(info["valid"], json!(true), "{info:?}");
        backups += 1;
        let moving = info["moving"]["count"].as_u64().unwrap();
        if info["consistency"] == json!("consistent") {
            consistent += 1;
            assert_eq!(moving, 0, "{info:?}");
            let page = format!("/listbackups/{id}/znodes?path=/moving&limit=100");
            let page = daemon.http.get(&page).unwrap().json();
            let znodes = page["znodes"].as_array().unwrap();
            let names: Vec<_> = znodes
                .iter()
                .map(|znode| znode["name"].as_str().unwrap())
                .collect();
            assert!(once_was(&names), "{names:?}");
            continue;
        }
        assert_eq!(info["consistency"], json!("fuzzy"), "{info:?}");
        assert!(moving > 0 || driver == Driver::Plain, "{info:?}");
        // How slowly they have to come and go for a quiet moment is up to the machine.
        let more = (2 * pause.load(Ordering::Relaxed)).max(1);
        assert!(more < 10_000, "there is no quiet moment: {info:?}");
        pause.store(more, Ordering::Relaxed);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0, "nothing moved");
}

/// Where nothing can be watched two walks have to agree, and here something changes before each request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_walks_that_never_agree_claim_nothing() {
    let zookeeper = server();
    let outside = Arc::new(observer(&zookeeper).await);
    plant(&outside, &[("/moving", b""), ("/still", b"still")]).await;
    let (handle, other) = (Handle::current(), Arc::clone(&outside));
    let change = move |_: &[u8]| {
        let changed = handle.block_on(other.set_data("/moving", vec![], None));
        changed.unwrap();
    };
    let proxy = Proxy::start_with(&zookeeper.address(), change).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(Driver::Plain, proxy.address(), storage.path(), &[]);
    for _ in 0..3 {
        let (id, state) = daemon.do_job("/backup", "").unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        let info = daemon.describe(&id).unwrap();
        assert_eq!(
            (&info["valid"], &info["consistency"]),
            (&json!(true), &json!("fuzzy")),
            "{info:?}"
        );
    }
}

by_each_adapter!(an_unreadable_subtree_is_named_and_never_silently_left_out);

/// What may not be read makes the backup partial: failed unless the request allows it, and named either way.
async fn an_unreadable_subtree_is_named_and_never_silently_left_out(driver: Driver) {
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
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
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

by_each_adapter!(ephemeral_znodes_are_skipped_and_counted);

/// Ephemeral znodes are counted and never come back as persistent ones.
async fn ephemeral_znodes_are_skipped_and_counted(driver: Driver) {
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
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
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
