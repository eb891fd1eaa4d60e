//! Backups while an ensemble elects a leader.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use zk_backup_testkit::{Distribution, Ensemble, ZooKeeper};
use zookeeper_client::{Acls, CreateMode};

use crate::common::clients::client;
use crate::common::daemons::daemon;
use crate::common::servers::busy;
use crate::common::snapshots::{copy_of, from_file, newest, read, snapshot_of, take_snapshot};
use crate::common::trees::{assert_exact, exact, plant_all_kinds};

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
    setup.config = "tickTime=6000\n".to_owned(); // so long it waits for followers that say nothing
    let mut ensemble = Ensemble::start(&Distribution::locate().unwrap(), &setup).unwrap();
    let leader = ensemble.leader().unwrap();
    let (address, data) = (leader.address(), leader.data_directory());
    let outside = client(&address).await;
    plant_all_kinds(&outside).await;
    let leads = |server: &ZooKeeper| server.address() == address;
    let follows = |server: &ZooKeeper| !leads(server);
    ensemble.suspend(follows).unwrap();
    let lost = tokio::spawn(async move {
        let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
        outside.create("/never", b"committed", &open).await.map(drop)
    });
    let deadline = Instant::now() + Duration::from_secs(60); // after that it leads no more
    while !logs_speak_of(&data, "/never") {
        assert!(Instant::now() < deadline, "the leader logs nothing");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ensemble.kill(|_| true);
    lost.abort();
    ensemble.start_again(follows).unwrap();
    let next = ensemble.leader().unwrap();
    let said = next.four_letter("srvr").unwrap();
    let zxid = said
        .lines()
        .find_map(|line| line.strip_prefix("Zxid: 0x"))
        .unwrap();
    let (epoch, _) = zxid.split_at(zxid.len() - 8); // a session that is over is logged in it, too

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
    assert!(state.text.contains(&format!("0x{epoch}000000")), "{}", state.text);

    let (id, info) = take_snapshot(&by_files(&next.data_directory()));
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

/// Takes the last record off a log.
fn shorten(log: &Path) {
    let bytes = fs::read(log).unwrap();
    let length = |at: usize| u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
    let (mut at, mut last) = (16, 16);
    while at + 12 < bytes.len() && length(at) > 0 {
        last = at;
        at += 12 + length(at) + 1;
    }
    assert!(last > 16);
    fs::write(log, &bytes[..last]).unwrap();
}

/// A member that was sent a snapshot between two epochs never logged what led to it. Without that snapshot, only digests
/// tell whether something is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_is_not_crossed_below_a_snapshot_that_is_of_no_use() {
    for digests in [true, false] {
        let mut setup = busy();
        setup.java.push(format!("-Dzookeeper.digest.enabled={digests}"));
        let mut ensemble = Ensemble::start(&Distribution::locate().unwrap(), &setup).unwrap();
        let outside = client(&ensemble.address()).await;
        plant_all_kinds(&outside).await;
        outside
            .set_data("/box/child", b"last in the first", None)
            .await
            .unwrap();
        ensemble.kill(|_| true);
        drop(outside);
        ensemble.start_again(|_| true).unwrap();
        let outside = client(&ensemble.address()).await;
        let written = outside
            .set_data("/plain", b"in the second epoch", None)
            .await
            .unwrap()
            .mzxid;
        let epoch = written >> 32; // an election may take more than one
        assert!(epoch > 1);
        // The others are enough for a change to be committed.
        let leader = ensemble.leader().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !read(&leader.data_directory()).is_ok_and(|gathered| gathered.tree.zxid() >= written) {
            assert!(Instant::now() < deadline, "the leader logs nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let directory = copy_of(leader);
        let logs = newest(directory.path(), "log.");
        assert!(logs[0].ends_with(format!("log.{epoch:x}00000001")), "{logs:?}");
        let snapshots = newest(directory.path(), "snapshot.");
        snapshots
            .iter()
            .filter(|path| !path.ends_with("snapshot.0"))
            .for_each(|path| fs::remove_file(path).unwrap());
        let whole = read(directory.path()).unwrap();
        assert_eq!(whole.tree.zxid() >> 32, epoch);

        let damaged = directory.path().join(format!("snapshot.{epoch:x}00000000"));
        fs::write(damaged, b"damaged").unwrap();
        match read(directory.path()) {
            Ok(gathered) => {
                assert!(digests);
                assert_eq!(gathered.tree.digest(), whole.tree.digest());
            }
            Err(why) => assert!(!digests && why.contains("is missing"), "{why}"),
        }
        shorten(&logs[1]);
        let refused = read(directory.path()).err().unwrap();
        assert!(refused.contains("is missing"), "{refused}");
    }
}
