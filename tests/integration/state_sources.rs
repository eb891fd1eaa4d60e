//! Transactional backups by the AdminServer.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zk_backup_testkit::{Daemon, Distribution, Ensemble, Proxy, ZooKeeper};
use zk_snapshot::archive::{Frame, Record, RecordSource};
use zk_snapshot::files::{DataDirs, ReceivedSnapshot, SnapshotRecords, gather};
use zk_snapshot::tree::ZnodePath;

use zookeeper_client::{Acls, CreateMode};

use crate::common::clients::client;
use crate::common::daemons::{AS_SUPER, by_admin, daemon};
use crate::common::servers::busy;
use crate::common::snapshots::{from_file, snapshot_of, take_snapshot};
use crate::common::trees::{assert_exact, exact, plant_all_kinds};
use crate::common::writers::Writer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_server_sends_its_snapshot_and_says_why_it_does_not() {
    let distribution = Distribution::locate().unwrap();
    let mut setup = busy();
    setup.admin = true;
    let (server, port) = ZooKeeper::start_with(&distribution, &setup).unwrap();
    let outside = client(&server.address()).await;
    plant_all_kinds(&outside).await;
    let (storage, url) = (tempfile::tempdir().unwrap(), format!("http://127.0.0.1:{port}"));
    let settings = by_admin(&url);
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let before = exact(&outside).await;
    let (id, info) = take_snapshot(&daemon_here);
    assert_eq!(info["taken_from"]["source"], json!("admin"), "{info:?}");
    assert_eq!(
        info["kinds"],
        json!({ "persistent": 7, "container": 1, "ttl": 1 })
    );
    let copy = from_file(snapshot_of(storage.path(), &id));
    assert_exact(&before, &exact(&client(&copy.address()).await).await);
    drop((copy, daemon_here));

    // Without credentials, and from a server where it is disabled.
    let daemon_here = daemon(&server.address(), storage.path(), &settings[..3]);
    let (_, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(
        state.text.contains("does not take our authorization"),
        "{}",
        state.text
    );
    drop(daemon_here);
    setup
        .java
        .push("-Dzookeeper.admin.snapshot.enabled=false".to_owned());
    let (server, port) = ZooKeeper::start_with(&distribution, &setup).unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let settings = by_admin(&url);
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (_, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(state.text.contains("disabled"), "{}", state.text);
}

/// The state at `zxid`, by everything that a server has logged since its beginning.
fn logged(data: &Path, zxid: &str) -> BTreeMap<ZnodePath, Record> {
    let zxid = i64::from_str_radix(zxid.strip_prefix("0x").unwrap(), 16).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(data).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("log.") || name == "snapshot.0" {
            fs::copy(entry.path(), copy.path().join(name)).unwrap();
        }
    }
    let dirs = DataDirs::same(copy.path());
    let gathered = gather(&dirs, Some(zxid)).unwrap();
    assert_eq!(gathered.tree.zxid(), zxid);
    let file = copy.path().join(gathered.tree.file_name());
    let mut bytes = Vec::new();
    let write = |part: &[u8], _| {
        bytes.extend_from_slice(part);
        Ok(())
    };
    gathered.tree.write(write).unwrap();
    fs::write(&file, bytes).unwrap();
    records(&file)
}

/// What a snapshot holds, with the owners that no client is shown.
fn records(snapshot: &Path) -> BTreeMap<ZnodePath, Record> {
    let tree = ReceivedSnapshot::read("snapshot", 0, fs::File::open(snapshot).unwrap()).unwrap();
    let tree = tree.into_gathered().unwrap().tree;
    let (mut bytes, mut parts) = (Vec::new(), Vec::new());
    let write = |part: &[u8], records| {
        parts.push(Frame {
            offset: bytes.len() as u64,
            length: part.len() as u64,
            records,
            sha256: Sha256::digest(part)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        });
        bytes.extend_from_slice(part);
        Ok(())
    };
    tree.write(write).unwrap();
    let parts = SnapshotRecords::open(Cursor::new(bytes), parts).unwrap();
    let frames = (0..parts.frames()).flat_map(|frame| parts.frame(frame).unwrap());
    frames.map(|record| (record.path.clone(), record)).collect()
}

/// So many znodes that writing them takes a server longer than some changes.
async fn fill(writer: &str) {
    let outside = client(writer).await;
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    outside.create("/fill", b"", &open).await.unwrap();
    for begin in 0..40 {
        let mut multi = outside.new_multi_writer();
        for i in 0..500 {
            let path = format!("/fill/{begin}-{i}");
            multi.add_create(&path, &[7; 200], &open).unwrap();
        }
        multi.commit().await.unwrap();
    }
}

/// Runs `work` while clients write to the server at `address`.
async fn under_load<T>(address: &str, work: impl AsyncFnOnce(&Writer) -> T) -> T {
    fill(address).await;
    let writer = Writer::start(address.to_owned());
    let result = work(&writer).await;
    writer.stop().await;
    result
}

/// Compares a consistent backup with what the server whose files are in `data` has logged up to its zxid.
fn assert_logged(snapshot: &Path, info: &Value, data: &Path) {
    let now = records(snapshot);
    let mut truth = logged(data, info["zxid"]["newest"].as_str().unwrap());
    let from = &info["taken_from"];
    // What came and went between two snapshots was seen, and nobody tells its kind.
    let mut unknown = 0;
    truth.remove(&ZnodePath::parse("/zookeeper/config").unwrap()); // each server has its own
    for (path, record) in &mut truth {
        let found = &now[path];
        if found.stat.ephemeral_owner != record.stat.ephemeral_owner {
            assert_eq!(found.stat.ephemeral_owner, 0, "{path}");
            record.stat.ephemeral_owner = 0;
            unknown += 1;
        }
        if from["acls"] != json!("exact") && found.stat.aversion > record.stat.aversion {
            (record.acl, record.stat.aversion) = (found.acl.clone(), found.stat.aversion);
        }
        assert_eq!(found, record, "{info:?}");
    }
    assert_eq!(now.len(), truth.len() + 1);
    assert!(from["kind_unknown"].as_u64().unwrap() >= unknown, "{info:?}");
}

/// Backs up `times` times while clients write to `writer`, and on until enough has changed beneath, and compares with what `data` has logged.
async fn are_states(daemon_here: &Daemon, storage: &Path, writer: &str, data: &Path, times: u64) {
    let taken = under_load(writer, async |writer: &Writer| {
        let (mut taken, mut read_later) = (Vec::new(), 0);
        // How much that is in one of them is up to the machine.
        let deadline = Instant::now() + Duration::from_secs(180);
        while (taken.len() as u64) < times || read_later <= 5 * times {
            assert!(Instant::now() < deadline, "{read_later}: {taken:?}");
            writer.steps(150).await;
            let (id, info) = take_snapshot(daemon_here);
            read_later += info["taken_from"]["read_later"].as_u64().unwrap();
            taken.push((id, info));
        }
        taken
    });
    let taken = taken.await;
    for (id, info) in &taken {
        assert_logged(&snapshot_of(storage, id), info, data);
    }
    let (id, info) = &taken[0];
    let said = from_file(snapshot_of(storage, id)).four_letter("srvr").unwrap();
    let zxid = format!("Zxid: {}\n", info["zxid"]["newest"].as_str().unwrap());
    assert!(said.contains(&zxid), "{said}");
}

fn as_super<'a>(settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [settings, &AS_SUPER].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_servers_snapshots_under_load_are_made_the_state_at_their_zxid() {
    let mut setup = busy();
    setup.admin = true;
    let (server, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), format!("http://127.0.0.1:{port}"));
    let daemon_here = daemon(&server.address(), storage.path(), &as_super(&by_admin(&url)));
    let (address, data) = (server.address(), server.data_directory());
    are_states(&daemon_here, storage.path(), &address, &data, 6).await;
    drop(daemon_here);

    let outside = client(&address).await;
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    // Whoever may not read everything is not told of everything.
    let secret = CreateMode::Persistent.with_acls(Acls::creator_all());
    outside.create("/secret", b"", &secret).await.unwrap();
    let daemon_here = |settings: &[_]| daemon(&address, storage.path(), settings);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    outside.create("/other", b"", &open).await.unwrap();
    let writing = tokio::spawn({
        let (outside, stop, done) = (outside.clone(), Arc::clone(&stop), Arc::clone(&done));
        async move {
            while !stop.load(Ordering::Relaxed) {
                outside.set_data("/other", b"", None).await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    while done.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let reader = daemon_here(&as_super(&by_admin(&url)));
    // Nothing is deleted now, so that what was not read again is known to be as it was.
    assert_eq!(take_snapshot(&reader).1["taken_from"]["acls"], json!("exact"));
    drop(reader);
    let reader = daemon_here(&by_admin(&url));
    let (id, state) = reader.do_job("/backup", r#"{"mode": "transactional"}"#).unwrap();
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    let info = reader.describe(&id).unwrap();
    assert_eq!(
        (state.status, &info["consistency"]),
        (200, &json!("fuzzy")),
        "{info:?}"
    );
    let why = info["taken_from"]["unsettled"].as_str().unwrap();
    assert!(why.contains("we may not read"), "{why}");
}

/// The server that sends is not the one that is asked what has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followers_snapshots_under_load_are_made_the_state_at_their_zxid() {
    let mut setup = busy();
    setup.admin = true;
    let ensemble = Ensemble::start(&Distribution::locate().unwrap(), &setup).unwrap();
    let leader = ensemble.leader().unwrap();
    let mut servers = ensemble.servers().iter().zip(ensemble.ports());
    let (_, port) = servers
        .find(|(server, _)| server.address() != leader.address())
        .unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), format!("http://127.0.0.1:{port}"));
    let daemon_here = daemon(&leader.address(), storage.path(), &as_super(&by_admin(&url)));
    let (address, data) = (ensemble.address(), leader.data_directory());
    are_states(&daemon_here, storage.path(), &address, &data, 3).await;
}

/// What is not told while a connection is cut is never taken for unchanged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_makes_no_state_of_an_admin_servers_snapshot_that_never_was() {
    let mut setup = busy();
    setup.admin = true;
    let (server, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let (address, data) = (server.address(), server.data_directory());
    let proxy = Proxy::start(&address).unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), format!("http://127.0.0.1:{port}"));
    let daemon_here = daemon(proxy.address(), storage.path(), &as_super(&by_admin(&url)));
    let taken = under_load(&address, async |writer: &Writer| {
        let (mut taken, mut consistent) = (Vec::new(), 0);
        for turn in 0..20_u64 {
            if turn >= 12 && consistent > 0 {
                break;
            }
            // How long a machine needs between two cuts is up to it.
            let patience = 1 << turn.saturating_sub(11);
            writer.steps(20).await;
            let answer = daemon_here.http.post("/backup", r#"{"mode": "transactional"}"#);
            let id = answer.unwrap().text;
            // Never at the same step of a backup twice.
            for cut in 0..=turn % 3 {
                let wait = patience * (20 + (turn * 37 + cut * 61) % 250);
                tokio::time::sleep(Duration::from_millis(wait)).await;
                proxy.cut();
            }
            let state = daemon_here.wait_for_job(&id).unwrap();
            let info = daemon_here.describe(&id).unwrap();
            consistent += u32::from(info["consistency"] == json!("consistent"));
            taken.push((id, state));
        }
        taken
    });
    let (mut consistent, mut others) = (0, Vec::new());
    for (id, state) in taken.await {
        if state.status != 200 {
            let why = ["connection", "in time"];
            assert!(why.iter().any(|why| state.text.contains(why)), "{}", state.text);
            others.push(state.text);
            continue;
        }
        let info = daemon_here.describe(&id).unwrap();
        if info["consistency"] == json!("consistent") {
            consistent += 1;
            assert_logged(&snapshot_of(storage.path(), &id), &info, &data);
        } else {
            others.push(info["taken_from"]["unsettled"].as_str().unwrap().to_owned());
        }
    }
    assert!(consistent > 0, "{others:?}");
}
