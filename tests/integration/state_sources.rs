//! Transactional backups by agents and by the AdminServer.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use zk_backup_testkit::{Daemon, Distribution, Ensemble, SUPER_PASSWORD, ZooKeeper};
use zk_snapshot::{DataDirs, Frame, Handout, Record, RecordSource, SnapshotRecords, ZnodePath, gather};

use zookeeper_client::{Acls, CreateMode};

use crate::live::daemon;
use crate::transactional::{
    assert_exact, back_up, busy, client, exact, from_file, plant, snapshot_of, start, write,
};

/// An agent as the predecessor has one beside each server: `POST /store` copies the data directory to the shared disk.
pub(crate) fn agent(data: PathBuf, storage: PathBuf, answers: &'static str) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for socket in listener.incoming() {
            let (mut socket, mut head) = (socket.unwrap(), Vec::new());
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(
                head.starts_with(b"POST /store "),
                "{}",
                String::from_utf8_lossy(&head)
            );
            let copy = storage.join("tmp/version-2");
            fs::create_dir_all(&copy).unwrap();
            for entry in fs::read_dir(&data).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answers.len()
            );
            socket.write_all((head + answers).as_bytes()).unwrap();
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_copies_the_files_and_what_is_not_possible_is_told() {
    let server = start(&busy());
    let outside = client(&server.address()).await;
    plant(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let leftover = storage.path().join("tmp/version-2/snapshot.ffffffff");
    fs::create_dir_all(leftover.parent().unwrap()).unwrap();
    fs::write(leftover, b"from an earlier time").unwrap();
    let port = agent(
        server.data_directory(),
        storage.path().to_owned(),
        r#"{"Status":"Ok"}"#,
    )
    .to_string();
    let settings = [
        ("ZOOKEEPER_DATA_DIR", "/no/such/directory"),
        ("ZOOKEEPER_AGENT_PORT", &*port),
    ];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let before = exact(&outside).await;
    let (id, info) = back_up(&daemon_here);
    let from = &info["taken_from"];
    assert_eq!(
        (&from["source"], &from["passed_over"]),
        (&json!("agent"), &json!([])),
        "{info:?}"
    );
    assert!(
        from["not_possible"][0]
            .as_str()
            .unwrap()
            .contains("/no/such/directory"),
        "{info:?}"
    );
    assert!(!storage.path().join("tmp").exists());
    let copy = from_file(snapshot_of(storage.path(), &id));
    assert_exact(&before, &exact(&client(&copy.address()).await).await);
    drop(daemon_here);

    let port = agent(
        server.data_directory(),
        storage.path().to_owned(),
        r#"{"Status":"Failed"}"#,
    )
    .to_string();
    let settings = [
        ("ZOOKEEPER_DATA_DIR", "/no/such/directory"),
        ("ZOOKEEPER_AGENT_PORT", &*port),
    ];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (_, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    for why in ["files: /no/such/directory", "agent: ", "/store answered 200"] {
        assert!(state.text.contains(why), "{}", state.text);
    }
    assert!(!storage.path().join("tmp").exists());
}

fn by_admin(url: &str) -> [(&'static str, &str); 4] {
    [
        ("TRANSACTIONAL_SOURCE", "admin"),
        ("ZOOKEEPER_ADMIN_URL", url),
        ("EVICTION_POLICY", "1y/delete"),
        ("ZOOKEEPER_ADMIN_AUTHORIZATION", "digest super:secret"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_server_sends_its_snapshot_and_says_why_it_does_not() {
    let distribution = Distribution::locate().unwrap();
    let mut setup = busy();
    setup.admin = true;
    let (server, port) = ZooKeeper::start_with(&distribution, &setup).unwrap();
    let outside = client(&server.address()).await;
    plant(&outside).await;
    let (storage, url) = (tempfile::tempdir().unwrap(), format!("http://127.0.0.1:{port}"));
    let settings = by_admin(&url);
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let before = exact(&outside).await;
    let (id, info) = back_up(&daemon_here);
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
        state.text.contains("does not take our credentials"),
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
    let dirs = DataDirs {
        data: copy.path().to_owned(),
        log: copy.path().to_owned(),
    };
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
    let tree = Handout::read("snapshot", 0, fs::read(snapshot).unwrap()).unwrap();
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

/// Backs up `times` times while clients write to `writer`, and compares with what `data` has logged.
async fn are_states(daemon_here: &Daemon, storage: &Path, writer: &str, data: &Path, times: u64) {
    // So many that writing them takes longer than some changes.
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
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing = tokio::spawn(write(writer.to_owned(), Arc::clone(&stop), Arc::clone(&done)));
    let mut taken = Vec::new();
    for _ in 0..times {
        let last = done.load(Ordering::Relaxed);
        while done.load(Ordering::Relaxed) < last + 150 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        taken.push(back_up(daemon_here));
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    let mut read_later = 0;
    for (id, info) in &taken {
        let now = records(&snapshot_of(storage, id));
        let mut truth = logged(data, info["zxid"]["newest"].as_str().unwrap());
        let from = &info["taken_from"];
        read_later += from["read_later"].as_u64().unwrap();
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
    assert!(read_later > 5 * times, "{read_later}: {taken:?}");
    let (id, info) = &taken[0];
    let said = from_file(snapshot_of(storage, id)).four_letter("srvr").unwrap();
    let zxid = format!("Zxid: {}\n", info["zxid"]["newest"].as_str().unwrap());
    assert!(said.contains(&zxid), "{said}");
}

fn as_super<'a>(settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let identity = [
        ("ZOOKEEPER_DIGEST_USERNAME", "super"),
        ("ZOOKEEPER_DIGEST_PASSWORD", SUPER_PASSWORD),
    ];
    [settings, &identity].concat()
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
    assert_eq!(back_up(&reader).1["taken_from"]["acls"], json!("exact"));
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
