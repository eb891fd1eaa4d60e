//! The order in which a restore writes: nobody is shown more than the backup shows him, and nothing locks us out of our
//! own work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backup_engine::Driver;
use serde_json::json;
use tokio::runtime::Handle;
use zk_backup_testkit::{Distribution, Proxy, SUPER_DIGEST, Setup, ZooKeeper};
use zookeeper_async::{Acl, CreateMode, Permission, ZooKeeper as Observer};

use crate::common::by_each_adapter;
use crate::common::clients::{BOB, EVE, digest, observer};
use crate::common::daemons::{AS_BOB, AS_SUPER, back_up, daemon_by, restore};
use crate::common::servers::server;
use crate::common::trees::{assert_same, dump, plant};

async fn create(outside: &Observer, path: &str, data: &[u8], acl: &[Acl]) {
    let created = outside
        .create(path, data.to_vec(), acl.to_vec(), CreateMode::Persistent)
        .await;
    created.unwrap_or_else(|error| panic!("{path}: {error}"));
}

by_each_adapter!(an_acl_that_keeps_us_out_is_opened_where_we_may);

/// The live ACL lets us read and change it, but nothing else: one restore brings everything back all the same.
async fn an_acl_that_keeps_us_out_is_opened_where_we_may(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let (ours, admin) = (
        digest(Permission::ALL, BOB),
        digest(Permission::READ | Permission::ADMIN, BOB),
    );
    let eve = digest(Permission::ALL, EVE);
    create(&outside, "/d", b"d", &[eve.clone(), ours.clone()]).await;
    create(&outside, "/d/e", b"e", &[eve.clone(), ours.clone()]).await;
    create(&outside, "/d/e/x", b"x", std::slice::from_ref(&ours)).await;
    create(&outside, "/d/queue", b"", std::slice::from_ref(&ours)).await;
    for name in ["1", "2", "3"] {
        create(
            &outside,
            &format!("/d/queue/{name}"),
            b"",
            std::slice::from_ref(&ours),
        )
        .await;
        outside.delete(&format!("/d/queue/{name}"), None).await.unwrap();
    }
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &AS_BOB);
    let id = back_up(&daemon, r#"{"dbs": ["d"]}"#);
    let before = dump(&outside).await;

    // Data that differ, children that lack, strangers to be deleted, a counter that is too low: each behind such an ACL.
    outside.delete("/d/e/x", None).await.unwrap();
    outside.delete("/d/queue", None).await.unwrap();
    create(&outside, "/d/queue", b"", &[eve.clone(), admin.clone()]).await;
    create(&outside, "/d/e/stranger", b"", &[eve.clone(), admin.clone()]).await;
    create(&outside, "/d/e/stranger/below", b"", std::slice::from_ref(&admin)).await;
    outside.set_data("/d/e", b"changed".to_vec(), None).await.unwrap();
    outside.set_acl("/d/e", vec![eve, admin], None).await.unwrap();
    let (status, state) = restore(&daemon, &id, r#", "dbs": ["d"]"#);
    assert_eq!(status, 200, "{state}");
    let report = &state["result"]["report"];
    assert_eq!(
        (&report["failed"], &report["counters_left"]),
        (&json!(0), &json!(0)),
        "{report}"
    );
    assert_same(&before, &dump(&outside).await);
    let stat = outside.exists("/d/queue", false).await.unwrap().unwrap();
    assert!(
        stat.cversion >= 6,
        "the next sequential child would get a number that was given before"
    );
    let (status, state) = restore(&daemon, &id, r#", "dbs": ["d"]"#);
    let report = &state["result"]["report"];
    assert_eq!(
        (status, &report["unchanged"], &report["acl_changed"]),
        (200, &json!(4), &json!(0)),
        "{state}"
    );
}

by_each_adapter!(nobody_sees_meanwhile_what_the_backup_hides);

/// A client without identity looks between any two of our requests: what the backup hides it never sees.
async fn nobody_sees_meanwhile_what_the_backup_hides(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let only_eve = [digest(Permission::ALL, EVE)];
    plant(&outside, &[("/s", b"")]).await;
    for path in ["/s/parent", "/s/leaf", "/s/new"] {
        create(&outside, path, b"secret", &only_eve).await;
    }
    for parent in ["/s/parent", "/s/new"] {
        for i in 0..300 {
            create(&outside, &format!("{parent}/c{i}"), b"secret", &only_eve).await;
        }
    }
    let before = dump(&outside).await;
    let address = zookeeper.address();
    let stranger = Observer::connect(
        &address,
        std::time::Duration::from_secs(20),
        |_: zookeeper_async::WatchedEvent| {},
    );
    let stranger = Arc::new(stranger.await.unwrap());
    let (looks, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (handle, counts) = (Handle::current(), (Arc::clone(&looks), Arc::clone(&seen)));
    let look = move |_: &[u8]| {
        for path in ["/s/parent", "/s/leaf", "/s/new", "/s/parent/c7", "/s/new/c299"] {
            counts.0.fetch_add(1, Ordering::SeqCst);
            if let Ok((data, _)) = handle.block_on(stranger.get_data(path, false)) {
                counts
                    .1
                    .fetch_add(usize::from(data == b"secret"), Ordering::SeqCst);
            }
        }
    };
    let proxy = Proxy::start_with(&zookeeper.address(), look).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, proxy.address(), storage.path(), &AS_SUPER);
    let id = back_up(&daemon, r#"{"dbs": ["s"]}"#);

    let open = Acl::open_unsafe().clone();
    for path in ["/s/parent", "/s/leaf"] {
        outside.set_data(path, b"old".to_vec(), None).await.unwrap();
        outside.set_acl(path, open.clone(), None).await.unwrap();
    }
    for i in 0..300 {
        outside.delete(&format!("/s/parent/c{i}"), None).await.unwrap();
        outside.delete(&format!("/s/new/c{i}"), None).await.unwrap();
    }
    outside.delete("/s/new", None).await.unwrap();
    looks.store(0, Ordering::SeqCst);
    let (status, state) = restore(&daemon, &id, "");
    assert_eq!(status, 200, "{state}");
    assert!(looks.load(Ordering::SeqCst) > 20, "it was looked at meanwhile");
    assert_eq!(seen.load(Ordering::SeqCst), 0, "it was shown to a stranger");
    assert_same(&before, &dump(&outside).await);
}

by_each_adapter!(an_empty_parent_that_shuts_us_out_gets_its_counter);

/// A lock root at night: no children, an ACL that lets us do nothing there, and a counter that must not begin anew.
async fn an_empty_parent_that_shuts_us_out_gets_its_counter(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let locks = [
        digest(Permission::ALL, EVE),
        digest(Permission::READ | Permission::ADMIN, BOB),
    ];
    plant(&outside, &[("/app", b"")]).await;
    create(&outside, "/app/locks", b"", &locks).await;
    for i in 0..5 {
        let path = format!("/app/locks/{i}");
        plant(&outside, &[(&path, b"")]).await;
        outside.delete(&path, None).await.unwrap();
    }
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &AS_BOB);
    let id = back_up(&daemon, r#"{"dbs": ["app"]}"#);
    let before = dump(&outside).await;
    outside.delete("/app/locks", None).await.unwrap();
    outside.delete("/app", None).await.unwrap();
    // The ancestor of what is asked for is made anew, too, and its counter is no less of worth.
    let (status, state) = restore(&daemon, &id, r#", "dbs": ["app/locks"]"#);
    assert_eq!(status, 200, "{state}");
    let report = &state["result"]["report"];
    assert_eq!(
        (&report["counters_left"], &report["failed"]),
        (&json!(0), &json!(0)),
        "{report}"
    );
    assert_same(&before, &dump(&outside).await);
    let made = outside.create(
        "/app/locks/l-",
        vec![],
        Acl::open_unsafe().clone(),
        CreateMode::PersistentSequential,
    );
    assert_eq!(made.await.unwrap(), "/app/locks/l-0000000005");
}

by_each_adapter!(an_acl_without_its_digests_is_never_written);

/// An ACL of which the backup knows no digests is written nowhere; what should have it is named each time.
async fn an_acl_without_its_digests_is_never_written(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let readable = [digest(Permission::ALL, EVE), digest(Permission::READ, BOB)];
    plant(&outside, &[("/m", b"")]).await;
    create(&outside, "/m/parent", b"secret", &readable).await;
    create(&outside, "/m/parent/child", b"secret", &readable).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &AS_BOB);
    let id = back_up(&daemon, r#"{"dbs": ["m"], "allow_partial": true}"#);
    for policy in ["replace", "missing", "merge"] {
        outside.delete("/m/parent/child", None).await.unwrap();
        outside.delete("/m/parent", None).await.unwrap();
        for _ in 0..2 {
            let (status, state) = restore(&daemon, &id, &format!(r#", "policy": "{policy}""#));
            let failures = state["result"]["report"]["failures"].to_string();
            assert_eq!(
                (status, &state["result"]["partial"]),
                (500, &json!(true)),
                "{state}"
            );
            assert!(
                failures.contains("\"/m/parent\"") && failures.contains("/m/parent/child"),
                "{failures}"
            );
            assert!(failures.contains("without the digests"), "{failures}");
        }
        for path in ["/m/parent", "/m/parent/child"] {
            let (acl, _) = outside.get_acl(path).await.unwrap();
            assert_eq!(
                acl.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(),
                [BOB],
                "{path}"
            );
            assert_eq!(outside.get_data(path, false).await.unwrap().0, b"secret");
        }
    }
}

/// A server that takes requests of up to `bytes`.
fn taking(bytes: usize) -> ZooKeeper {
    let setup = Setup {
        java: vec![
            format!("-Djute.maxbuffer={bytes}"),
            format!("-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"),
        ],
        ..Setup::default()
    };
    ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup)
        .unwrap()
        .0
}

by_each_adapter!(what_is_too_large_for_one_request_costs_only_itself);

/// Data and ACL that no create can carry together are written one after another; what not even that can carry is named,
/// and costs nothing else. The servers take requests of 200,000 bytes.
async fn what_is_too_large_for_one_request_costs_only_itself(driver: Driver) {
    let (wide, narrow) = (taking(400_000), taking(200_000));
    let (outside, there) = (observer(&wide).await, observer(&narrow).await);
    let only_eve = [digest(Permission::ALL, EVE)];
    let many: Vec<_> = (0..10)
        .map(|i| digest(Permission::ALL, &format!("user{i}:{}", "x1".repeat(20))))
        .collect();
    plant(&outside, &[("/j", b""), ("/j/a", b"a"), ("/j/z", b"z")]).await;
    create(&outside, "/j/closed", b"closed", &only_eve).await;
    // With the default list each create just fits; with its own it does not.
    create(&outside, "/j/closed/split", &vec![1; 199_900], &many).await;
    create(&outside, "/j/closed/huge", &vec![2; 250_000], &many).await;
    for i in 0..40 {
        create(
            &outside,
            &format!("/j/closed/k{i:02}"),
            &vec![3; 50_000],
            &only_eve,
        )
        .await;
    }
    let storage = tempfile::tempdir().unwrap();
    let first = daemon_by(driver, &wide.address(), storage.path(), &AS_SUPER);
    let id = back_up(&first, r#"{"dbs": ["j"]}"#);
    let mut before = dump(&outside).await;
    drop(first);
    let second = daemon_by(driver, &narrow.address(), storage.path(), &AS_SUPER);
    let (status, state) = restore(&second, &id, "");
    assert_eq!(status, 500, "{state}");
    let failures = state["result"]["report"]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0]["path"], "/j/closed/huge");
    let mut after = dump(&there).await;
    before.remove("/j/closed/huge");
    let (data, acl) = after.remove("/j/closed/huge").unwrap();
    assert!(
        data.is_empty() && acl.len() == 1 && acl[0].starts_with("ALL:digest:super:"),
        "{acl:?}"
    );
    assert_same(&before, &after);
}

/// A server whose `jute.maxbuffer` is small takes fewer of the long paths at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_short_requests_alone_is_backed_up_and_restored() {
    let zookeeper = taking(50_000);
    let outside = observer(&zookeeper).await;
    let top = format!("/{}", "p".repeat(500));
    let paths: Vec<_> = (0..1000).map(|n| format!("{top}/{n}")).collect();
    plant(&outside, &[(&top, b"")]).await;
    let below: Vec<_> = paths.iter().map(|path| (&**path, b"x".as_slice())).collect();
    plant(&outside, &below).await;
    // Short requests go over the same connection.
    let short: Vec<_> = (0..300).map(|n| format!("/s/{n}")).collect();
    let short = ["/s"].into_iter().chain(short.iter().map(|path| &**path));
    plant(
        &outside,
        &short.map(|path| (path, b"y".as_slice())).collect::<Vec<_>>(),
    )
    .await;
    let before = dump(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(Driver::Batched, &zookeeper.address(), storage.path(), &AS_SUPER);
    let id = back_up(&daemon, "");
    assert_eq!(daemon.describe(&id).unwrap()["consistency"], "consistent");
    for path in &paths {
        outside.delete(path, None).await.unwrap();
    }
    let (status, state) = restore(&daemon, &id, "");
    assert_eq!(status, 200, "{state}");
    assert_same(&before, &dump(&outside).await);
}
