//! Transactional backups: what the servers' own files say, put back exactly.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zk_backup_testkit::{Daemon, Distribution, SUPER_PASSWORD, Setup, ZooKeeper};
use zk_snapshot::{DataDirs, Gathered, gather};
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Permission};

use crate::live::daemon;

/// A server that knows TTL znodes, and begins a new snapshot and log often.
pub(crate) fn busy() -> Setup {
    Setup {
        java: [
            "-Dzookeeper.extendedTypesEnabled=true",
            "-Dzookeeper.snapCount=500",
            "-Dzookeeper.preAllocSize=64",
            // TTL znodes that are due stay while a test runs.
            "-Dznode.container.checkIntervalMs=3600000",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Setup::default()
    }
}

fn start(setup: &Setup) -> ZooKeeper {
    ZooKeeper::start_with(&Distribution::locate().unwrap(), setup)
        .unwrap()
        .0
}

pub(crate) async fn client(address: &str) -> Client {
    let client = Client::connect(address).await.unwrap();
    let secret = format!("super:{SUPER_PASSWORD}");
    client.auth("digest", secret.as_bytes()).await.unwrap();
    client
}

/// Everything of a znode that a client can see, but for what ephemeral children change. Those are left out.
pub(crate) type Exact = BTreeMap<String, (Vec<u8>, Vec<String>, [i64; 8])>;

pub(crate) async fn exact(client: &Client) -> Exact {
    let mut found = Exact::new();
    let mut left = vec!["/".to_owned()];
    while let Some(path) = left.pop() {
        let (data, stat) = client.get_data(&path).await.unwrap();
        if stat.ephemeral_owner != 0 {
            continue;
        }
        let (acl, _) = client.get_acl(&path).await.unwrap();
        let children = client.list_children(&path).await.unwrap();
        let prefix = if path == "/" { "" } else { &path };
        left.extend(children.iter().map(|name| format!("{prefix}/{name}")));
        let acl = acl.iter().map(|entry| format!("{entry:?}")).collect();
        let numbers = [
            stat.czxid,
            stat.mzxid,
            stat.pzxid,
            stat.ctime,
            stat.mtime,
            stat.version.into(),
            stat.aversion.into(),
            (i64::from(stat.cversion) + i64::from(stat.num_children)) / 2,
        ];
        found.insert(path, (data, acl, numbers));
    }
    found
}

pub(crate) fn assert_exact(left: &Exact, right: &Exact) {
    for (path, node) in left {
        assert_eq!(Some(node), right.get(path), "{path}");
    }
    assert_eq!(left.len(), right.len());
}

/// Creations, changes, deletions, multis, ephemerals, TTL and container znodes and changes of ACLs.
async fn write(address: String, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let client = client(&address).await;
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let only_super = [Acl::new(
        Permission::ALL,
        AuthId::new("digest", "bob:ZWxzZXdoZXJlIQ=="),
    )];
    client.create("/load", b"", &open).await.unwrap();
    let mut turn = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let path = format!("/load/n{turn}");
        match turn % 8 {
            0 => {
                let ttl = CreateMode::Persistent
                    .with_acls(Acls::anyone_all())
                    .with_ttl(Duration::from_secs(3_600));
                client.create(&path, b"ttl", &ttl).await.unwrap();
            }
            1 => {
                let container = CreateMode::Container.with_acls(Acls::anyone_all());
                client.create(&path, b"", &container).await.unwrap();
                client.create(&format!("{path}/child"), b"", &open).await.unwrap();
            }
            2 => {
                let own = Client::connect(&address).await.unwrap();
                let ephemeral = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
                own.create(&format!("{path}-"), b"mine", &ephemeral)
                    .await
                    .unwrap();
                drop(own);
            }
            3 => {
                let mut multi = client.new_multi_writer();
                multi.add_create(&path, b"one", &open).unwrap();
                multi
                    .add_create(&format!("{path}/two"), &vec![7; 3_000], &open)
                    .unwrap();
                multi
                    .add_set_data("/load", turn.to_string().as_bytes(), None)
                    .unwrap();
                multi.commit().await.unwrap();
            }
            4 => {
                let sequential = CreateMode::PersistentSequential.with_acls(Acls::new(&only_super));
                client.create("/load/s-", b"", &sequential).await.unwrap();
                let mut multi = client.new_multi_writer();
                multi.add_create(&path, b"never", &open).unwrap();
                multi.add_delete("/no/such/znode", None).unwrap();
                assert!(multi.commit().await.is_err());
            }
            5 => {
                client.create(&path, b"", &open).await.unwrap();
                client.set_data(&path, &turn.to_be_bytes(), None).await.unwrap();
                client.set_acl(&path, &only_super, None).await.unwrap();
            }
            6 if turn > 16 => {
                let gone = format!("/load/n{}", turn - 14);
                client.delete(&format!("{gone}/none"), None).await.unwrap_err();
                client
                    .delete(&format!("/load/n{}", turn - 9), None)
                    .await
                    .unwrap();
            }
            _ => {
                client.create(&path, "ł".as_bytes(), &open).await.unwrap();
                client.set_data("/load", b"again", None).await.unwrap();
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn back_up(daemon: &Daemon) -> (String, Value) {
    let (id, state) = daemon.do_job("/backup", r#"{"mode": "transactional"}"#).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let info = daemon.describe(&id).unwrap();
    assert_eq!(
        (&info["valid"], &info["mode"], &info["consistency"]),
        (&json!(true), &json!("transactional"), &json!("consistent")),
        "{info:?}"
    );
    (id, info)
}

/// The one snapshot in a vault.
fn snapshot_of(storage: &Path, id: &str) -> PathBuf {
    let vault = [storage.join(id), storage.join("granular").join(id)]
        .into_iter()
        .find(|path| path.is_dir())
        .unwrap();
    let mut names = fs::read_dir(vault).unwrap().map(|entry| entry.unwrap().path());
    names
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("snapshot.")
        })
        .unwrap()
}

fn from_file(snapshot: PathBuf) -> ZooKeeper {
    let setup = Setup {
        data: vec![snapshot],
        java: vec![
            "-Dzookeeper.extendedTypesEnabled=true".to_owned(),
            "-Dznode.container.checkIntervalMs=3600000".to_owned(),
        ],
        ..Setup::default()
    };
    let server = start(&setup);
    let said = server.said().unwrap();
    assert!(!said.contains("igests are not matching"), "{said}");
    server
}

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
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing = tokio::spawn(write(server.address(), Arc::clone(&stop), Arc::clone(&done)));
    let mut last = 0;
    let mut zxids = Vec::new();
    for _ in 0..8 {
        while done.load(Ordering::Relaxed) < last + 150 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        last = done.load(Ordering::Relaxed);
        let (id, info) = back_up(&daemon);
        let digests = &info["taken_from"]["digests"];
        assert_eq!(digests["differing"], json!(0), "{info:?}");
        assert_eq!(info["taken_from"]["passed_over"], json!([]), "{info:?}");
        zxids.push((info["zxid"]["newest"].as_str().unwrap().to_owned(), id));
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    assert!(zxids.windows(2).all(|pair| pair[0] < pair[1]), "{zxids:?}");

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
    let (id, info) = back_up(&daemon);
    assert!(info["skipped"]["ephemeral"].as_u64().unwrap() >= 1, "{info:?}");
    assert!(info["kinds"]["ttl"].as_u64().unwrap() > 20, "{info:?}");
    assert!(info["kinds"]["container"].as_u64().unwrap() > 20, "{info:?}");
    let copy = from_file(snapshot_of(storage.path(), &id));
    let inside = client(&copy.address()).await;
    assert_exact(&before, &exact(&inside).await);
}

/// What a client cannot see: containers go with their last child, TTL znodes when nothing happens to them.
async fn kinds_work(client: &Client) {
    client.delete("/box/child", None).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    for path in ["/box", "/brief"] {
        while client.check_stat(path).await.unwrap().is_some() {
            assert!(Instant::now() < deadline, "{path} stays");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(client.check_stat("/plain").await.unwrap().is_some());
}

pub(crate) async fn plant(client: &Client) {
    let open = Acls::anyone_all();
    let create = |path: &'static str, options| async move {
        client.create(path, path.as_bytes(), &options).await.unwrap();
    };
    create("/plain", CreateMode::Persistent.with_acls(open)).await;
    create("/plain/below", CreateMode::Persistent.with_acls(open)).await;
    create("/box", CreateMode::Container.with_acls(open)).await;
    create("/box/child", CreateMode::Persistent.with_acls(open)).await;
    // Longer than the checks of the server that is backed up, so that it stays there.
    let ttl = Duration::from_secs(2);
    create("/brief", CreateMode::Persistent.with_acls(open).with_ttl(ttl)).await;
    for _ in 0..5 {
        let sequential = CreateMode::PersistentSequential.with_acls(open);
        let (_, number) = client.create("/plain/s-", b"", &sequential).await.unwrap();
        client.delete(&format!("/plain/s-{number}"), None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_online_restore_brings_back_what_clients_cannot_see() {
    let server = start(&busy());
    let outside = client(&server.address()).await;
    plant(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let data = server.data_directory();
    let settings = [
        ("ZOOKEEPER_DATA_DIR", data.to_str().unwrap()),
        ("ZOOKEEPER_DRIVER", "batched"),
    ];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (id, info) = back_up(&daemon_here);
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

fn copy_of(server: &ZooKeeper) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(server.data_directory()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    directory
}

/// The newest files of a kind first.
fn newest(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    let zxid = |path: &PathBuf| i64::from_str_radix(path.extension().unwrap().to_str().unwrap(), 16).unwrap();
    found.sort_by_key(|path| std::cmp::Reverse(zxid(path)));
    found
}

fn read(directory: &Path) -> Result<Gathered, String> {
    let dirs = DataDirs {
        data: directory.to_owned(),
        log: directory.to_owned(),
    };
    gather(&dirs, None).map_err(|error| error.to_string())
}

fn damage(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named_or_passed_over_and_never_skipped() {
    let mut server = start(&busy());
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing = tokio::spawn(write(server.address(), Arc::clone(&stop), Arc::clone(&done)));
    while newest(&server.data_directory(), "snapshot.").len() < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    server.kill();

    let sound = copy_of(&server);
    let whole = read(sound.path()).unwrap();
    assert_eq!(whole.report.digest_agrees, Some(true));
    assert_eq!(whole.report.passed_over, [""; 0]);
    let same = |gathered: &Gathered| {
        (gathered.tree.zxid(), gathered.tree.digest(), gathered.tree.len())
            == (whole.tree.zxid(), whole.tree.digest(), whole.tree.len())
    };

    // The newest snapshot: the one before it and more of the logs make the same state.
    for (cut, what) in [(true, "ends too early"), (false, "checksum")] {
        let directory = copy_of(&server);
        let snapshot = &newest(directory.path(), "snapshot.")[0];
        damage(snapshot, |bytes| {
            let middle = bytes.len() / 2;
            if cut {
                bytes.truncate(middle);
            } else {
                let data = bytes.windows(5).rposition(|window| window == [7; 5]).unwrap();
                bytes[data] ^= 1;
            }
        });
        let gathered = read(directory.path()).unwrap();
        assert!(same(&gathered), "{:?}", gathered.report);
        let name = snapshot.file_name().unwrap().to_str().unwrap();
        let passed_over = gathered.report.passed_over.join(";");
        assert!(
            passed_over.contains(name) && passed_over.contains(what),
            "{passed_over}"
        );
    }

    // A record in the middle of the newest log: no snapshot helps.
    let directory = copy_of(&server);
    let logs = newest(directory.path(), "log.");
    damage(&logs[0], |bytes| bytes[16 + 12 + 40] ^= 1);
    let refused = read(directory.path()).err().unwrap();
    let name = logs[0].file_name().unwrap().to_str().unwrap();
    assert!(
        refused.contains(name) && refused.contains("checksum"),
        "{refused}"
    );

    // One without its end mark is not taken for the last.
    let directory = copy_of(&server);
    let log = &newest(directory.path(), "log.")[0];
    damage(log, |bytes| {
        let length = u32::from_be_bytes(bytes[24..28].try_into().unwrap()) as usize;
        assert_eq!(bytes[28 + length], b'B');
        bytes[28 + length] = 0;
    });
    let refused = read(directory.path()).err().unwrap();
    assert!(refused.contains("others follow"), "{refused}");

    // The last record may be torn: it was never acknowledged.
    let directory = copy_of(&server);
    let log = &newest(directory.path(), "log.")[0];
    damage(log, |bytes| {
        let end = bytes.iter().rposition(|byte| *byte == b'B').unwrap();
        bytes.truncate(end - 3);
    });
    let gathered = read(directory.path()).unwrap();
    assert_eq!(gathered.tree.zxid(), whole.tree.zxid() - 1);

    // A log is missing between the snapshot and the newest log.
    let directory = copy_of(&server);
    let (snapshots, logs) = (
        newest(directory.path(), "snapshot."),
        newest(directory.path(), "log."),
    );
    fs::remove_file(&logs[1]).unwrap();
    damage(&snapshots[0], |bytes| bytes.clear());
    let refused = read(directory.path()).err().unwrap();
    assert!(refused.contains("is missing"), "{refused}");

    // No log at all: the snapshot was written while the server went on.
    let directory = copy_of(&server);
    for log in newest(directory.path(), "log.") {
        fs::remove_file(log).unwrap();
    }
    match read(directory.path()) {
        Err(refused) => assert!(refused.contains("the logs end at"), "{refused}"),
        Ok(gathered) => assert!(gathered.tree.zxid() < whole.tree.zxid()),
    }
}

/// Logs that are kept elsewhere, or files of another ensemble: an old state is not taken for the present one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_lack_what_was_committed_are_refused() {
    let mut setup = busy();
    setup.config = "dataLogDir={dir}/logs\n".to_owned();
    let server = start(&setup);
    plant(&client(&server.address()).await).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), server.data_directory());
    let logs = data.join("../../logs");
    let (data, logs) = (data.to_str().unwrap(), logs.to_str().unwrap());
    let daemon_here = daemon(&server.address(), storage.path(), &[("ZOOKEEPER_DATA_DIR", data)]);
    let (_, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(state.text.contains("has committed 0x"), "{}", state.text);
    drop(daemon_here);
    let settings = [("ZOOKEEPER_DATA_DIR", data), ("ZOOKEEPER_DATA_LOG_DIR", logs)];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (_, info) = back_up(&daemon_here);
    assert_eq!(
        info["kinds"],
        json!({ "persistent": 7, "container": 1, "ttl": 1 })
    );
    assert!(
        info["taken_from"]["committed"]
            .as_str()
            .unwrap()
            .starts_with("0x"),
        "{info:?}"
    );
}

/// What is written can be read by an old server, packed snapshots by us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packed_snapshots_are_read_and_debians_server_starts_from_ours() {
    for method in ["gz", "snappy"] {
        let mut setup = busy();
        setup
            .java
            .push(format!("-Dzookeeper.snapshot.compression.method={method}"));
        let mut server = start(&setup);
        let outside = client(&server.address()).await;
        plant(&outside).await;
        drop(outside);
        server.restart().unwrap(); // which takes a snapshot
        let outside = client(&server.address()).await;
        let before = exact(&outside).await;
        let gathered = read(&server.data_directory()).unwrap();
        assert!(
            gathered.report.snapshot.ends_with(method),
            "{:?}",
            gathered.report
        );
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(gathered.tree.file_name());
        let mut bytes = Vec::new();
        gathered
            .tree
            .write(|part, _| {
                bytes.extend_from_slice(part);
                Ok(())
            })
            .unwrap();
        fs::write(&file, bytes).unwrap();
        let Some(debian) = Distribution::debian() else {
            eprintln!("Debian's ZooKeeper is not installed: not tested with it");
            continue;
        };
        let setup = Setup {
            data: vec![file],
            ..busy()
        };
        let (old, _) = ZooKeeper::start_with(&debian, &setup).unwrap();
        let inside = client(&old.address()).await;
        assert_exact(&before, &exact(&inside).await);
        assert!(!old.said().unwrap().contains("igests are not matching"));
    }
}

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

/// No claim that does not hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_was_written_while_the_server_went_on_is_fuzzy() {
    let mut setup = busy();
    setup.admin = true;
    let (server, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let settings = by_admin(&url);
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing = tokio::spawn(write(server.address(), Arc::clone(&stop), Arc::clone(&done)));
    while done.load(Ordering::Relaxed) < 300 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..3 {
        let (id, state) = daemon_here
            .do_job("/backup", r#"{"mode": "transactional"}"#)
            .unwrap();
        let info = daemon_here.describe(&id).unwrap();
        if state.status != 200 {
            assert!(state.text.contains("access control list"), "{}", state.text);
        } else if info["consistency"] == json!("consistent") {
            // Then a server that starts from it finds its digest right.
            from_file(snapshot_of(storage.path(), &id));
        } else {
            assert_eq!(info["consistency"], json!("fuzzy"), "{info:?}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
}
