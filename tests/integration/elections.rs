//! Backups while an ensemble elects a leader.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use zk_backup_testkit::{Distribution, Ensemble, ZooKeeper};
use zookeeper_client::{Acls, CreateMode};

use crate::live::daemon;
use crate::transactional::{assert_exact, back_up, busy, client, exact, from_file, plant, snapshot_of};

fn logs_speak_of(data: &Path, what: &str) -> bool {
    let mut logs = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    logs.any(|log| {
        let bytes = fs::read(log).unwrap_or_default();
        bytes.windows(what.len()).any(|bytes| bytes == what.as_bytes())
    })
}

/// A leader that fails has logged what nobody else has. Whoever is elected then has a zxid that says nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_lost_leader_has_logged_is_never_taken() {
    let mut setup = busy();
    setup.config = "tickTime=6000\n".to_owned(); // so long it leads without followers
    let mut ensemble = Ensemble::start(&Distribution::locate().unwrap(), &setup).unwrap();
    let leader = ensemble.leader().unwrap();
    let (address, data) = (leader.address(), leader.data_directory());
    let outside = client(&address).await;
    plant(&outside).await;
    let leads = |server: &ZooKeeper| server.address() == address;
    let follows = |server: &ZooKeeper| !leads(server);
    ensemble.kill(follows);
    let lost = tokio::spawn(async move {
        let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
        outside.create("/never", b"committed", &open).await.map(drop)
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !logs_speak_of(&data, "/never") {
        assert!(Instant::now() < deadline, "the leader logs nothing");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ensemble.kill(leads);
    lost.abort();
    ensemble.start_again(follows).unwrap();
    let next = ensemble.leader().unwrap();
    let said = next.four_letter("srvr").unwrap();
    assert!(said.contains("Zxid: 0x200000000\n"), "nobody has written: {said}");

    let storage = tempfile::tempdir().unwrap();
    let by_files = |data: &Path| {
        let settings = [
            ("TRANSACTIONAL_SOURCE", "files"),
            ("ZOOKEEPER_DATA_DIR", data.to_str().unwrap()),
            ("EVICTION_POLICY", "1y/delete"),
        ];
        daemon(&ensemble.address(), storage.path(), &settings)
    };
    let (_, state) = by_files(&data)
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(state.text.contains("0x2000000"), "{}", state.text);

    let (id, info) = back_up(&by_files(&next.data_directory()));
    assert_ne!(info["taken_from"]["committed"], json!(null), "{info:?}");
    let mut before = exact(&client(&next.address()).await).await;
    assert!(!before.contains_key("/never") && before.contains_key("/plain"));
    let copy = from_file(snapshot_of(storage.path(), &id));
    let mut after = exact(&client(&copy.address()).await).await;
    for tree in [&mut before, &mut after] {
        tree.remove("/zookeeper/config"); // each server has its own
    }
    assert_exact(&before, &after);
}
