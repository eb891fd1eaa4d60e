//! Transactional backups: what the servers' own files say, put back exactly.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use zk_backup_testkit::{Setup, ZooKeeper};
use zookeeper_client::{Acls, Client, CreateMode};

use crate::common::clients::client;
use crate::common::daemons::daemon;
use crate::common::servers::{busy, start};
use crate::common::snapshots::{copy_of, from_file, snapshot_of, take_snapshot};
use crate::common::trees::{assert_exact, exact, plant_all_kinds};
use crate::common::writers::Writer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_under_load_are_the_servers_state_at_their_zxid() {
    let server = start(&busy());
    let storage = tempfile::tempdir().unwrap();
    let data = server.data_directory();
    let settings = [
        ("ZOOKEEPER_DATA_DIR", data.to_str().unwrap()),
        ("EVICTION_POLICY", "1y/delete"),
    ];
    let daemon = daemon(&server.address(), storage.path(), &settings);
    let writer = Writer::start(server.address());
    let (mut zxids, mut newest) = (Vec::new(), 0);
    for _ in 0..8 {
        writer.steps(150).await;
        let (id, info) = take_snapshot(&daemon);
        // A server is known to log a wrong one, so that one that differs alone is tolerated.
        let digests = &info["taken_from"]["digests"];
        assert!(digests["differing"].as_u64().unwrap() <= 1, "{info:?}");
        // All but a snapshot that is just being written.
        match info["taken_from"]["passed_over"].as_array().unwrap().as_slice() {
            [] => newest += 1,
            [one] => assert!(one.as_str().unwrap().contains("still be writing"), "{info:?}"),
            _ => panic!("{info:?}"),
        }
        zxids.push((info["zxid"]["newest"].as_str().unwrap().to_owned(), id));
    }
    writer.stop().await;
    assert!(newest > 0);
    let number = |zxid: &str| i64::from_str_radix(zxid.strip_prefix("0x").unwrap(), 16).unwrap();
    assert!(
        zxids
            .windows(2)
            .all(|pair| number(&pair[0].0) < number(&pair[1].0)),
        "{zxids:?}"
    );

    // A backup from under load is a state that a server starts from, and finds its digest right.
    let (zxid, id) = &zxids[zxids.len() / 2];
    let from_load = from_file(snapshot_of(storage.path(), id));
    assert!(
        from_load
            .four_letter("srvr")
            .unwrap()
            .contains(&format!("Zxid: {zxid}\n"))
    );
    drop(from_load);

    // Nothing moves now but what a live session holds: znode by znode, Stat included.
    let outside = client(&server.address()).await;
    let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    outside.create("/load/mine", b"", &ephemeral).await.unwrap();
    let before = exact(&outside).await;
    let (id, info) = take_snapshot(&daemon);
    assert!(info["skipped"]["ephemeral"].as_u64().unwrap() >= 1, "{info:?}");
    assert!(info["kinds"]["ttl"].as_u64().unwrap() > 20, "{info:?}");
    assert!(info["kinds"]["container"].as_u64().unwrap() > 20, "{info:?}");
    let copy = from_file(snapshot_of(storage.path(), &id));
    let inside = client(&copy.address()).await;
    assert_exact(&before, &exact(&inside).await);
}

/// Waits until the server has removed `path` by itself.
async fn gone(client: &Client, path: &str) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while client.check_stat(path).await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "{path} stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a client cannot see: containers go with their last child, TTL znodes when nothing happens to them.
async fn kinds_work(client: &Client) {
    client.delete("/box/child", None).await.unwrap();
    for path in ["/box", "/brief"] {
        gone(client, path).await;
    }
    assert!(client.check_stat("/plain").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_online_restore_brings_back_what_clients_cannot_see() {
    let server = start(&busy());
    let outside = client(&server.address()).await;
    plant_all_kinds(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let data = server.data_directory();
    let settings = [
        ("ZOOKEEPER_DATA_DIR", data.to_str().unwrap()),
        ("ZOOKEEPER_DRIVER", "batched"),
    ];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (id, info) = take_snapshot(&daemon_here);
    assert_eq!(
        info["kinds"],
        json!({ "persistent": 7, "container": 1, "ttl": 1 })
    );
    drop(daemon_here);

    // Another ensemble, which knows TTL znodes.
    let java = [
        "-Dzookeeper.extendedTypesEnabled=true",
        "-Dznode.container.checkIntervalMs=200",
    ];
    let setup = Setup {
        java: java.map(str::to_owned).to_vec(),
        ..Setup::default()
    };
    let other = start(&setup);
    let restore = format!(r#"{{"vault": "{id}"}}"#);
    let daemon_there = daemon(&other.address(), storage.path(), &settings[1..]);
    let (_, state) = daemon_there.do_job("/restore", &restore).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let inside = client(&other.address()).await;
    assert_eq!(inside.get_data("/plain/below").await.unwrap().0, b"/plain/below");
    let sequential = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
    let (_, number) = inside.create("/plain/s-", b"", &sequential).await.unwrap();
    assert_eq!(number.to_string(), "0000000006");
    // Some of it, under another name; shown first.
    let mut some =
        json!({ "vault": id, "dbs": ["box"], "changeDbNames": { "box": "copy" }, "dry_run": true });
    for there in [false, true] {
        let (_, state) = daemon_there.do_job("/restore", &some.to_string()).unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        let copy = inside.check_stat("/copy/child").await.unwrap();
        assert_eq!(copy.is_some(), there);
        some["dry_run"] = json!(false);
    }
    assert_eq!(inside.get_data("/copy/child").await.unwrap().0, b"/box/child");
    inside.delete("/copy/child", None).await.unwrap();
    gone(&inside, "/copy").await;
    kinds_work(&inside).await;
    drop(daemon_there);

    // One that does not: said, and the rest is there.
    let third = start(&Setup::default());
    let daemon_there = daemon(&third.address(), storage.path(), &settings[1..]);
    let (_, state) = daemon_there.do_job("/restore", &restore).unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(state.text.contains("extendedTypesEnabled"), "{}", state.text);
    let inside = client(&third.address()).await;
    assert_eq!(inside.get_data("/box/child").await.unwrap().0, b"/box/child");
}

/// Files of another ensemble that has come as far, and of the same one after it was rolled back and went on otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_another_history_are_refused() {
    let (mut server, other) = (start(&busy()), start(&busy()));
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for (of, name) in [(&server, "/ours"), (&other, "/theirs")] {
        let outside = client(&of.address()).await;
        outside.create(name, b"", &open).await.unwrap();
        outside.create("/both", b"", &open).await.unwrap();
    }
    let outside = client(&other.address()).await;
    for i in 0..30 {
        outside
            .set_data("/theirs", format!("{i}").as_bytes(), None)
            .await
            .unwrap();
    }
    let storage = tempfile::tempdir().unwrap();
    let refused = |server: &ZooKeeper, data: &Path, why: &str| {
        let settings = [("ZOOKEEPER_DATA_DIR", data.to_str().unwrap())];
        let daemon = daemon(&server.address(), storage.path(), &settings);
        let (_, state) = daemon.do_job("/backup", r#"{"mode": "transactional"}"#).unwrap();
        assert_eq!(state.status, 500, "{}", state.text);
        for said in ["another ensemble", why] {
            assert!(state.text.contains(said), "{said}: {}", state.text);
        }
    };
    refused(&server, &other.data_directory(), "/");

    // Its own, of a history that is lost: `/both` was changed in both, by the same zxid.
    server.kill();
    let saved = copy_of(&server);
    server.restart().unwrap();
    let change = async |server: &ZooKeeper, times: usize| {
        let outside = client(&server.address()).await;
        for _ in 0..times {
            outside.set_data("/both", b"x", None).await.unwrap();
        }
    };
    change(&server, 40).await;
    server.kill();
    let lost = copy_of(&server);
    server.replace_data(saved.path()).unwrap();
    server.restart().unwrap();
    change(&server, 3).await;
    refused(&server, lost.path(), "/both");

    let data = server.data_directory();
    let settings = [("ZOOKEEPER_DATA_DIR", data.to_str().unwrap())];
    take_snapshot(&daemon(&server.address(), storage.path(), &settings));
}
