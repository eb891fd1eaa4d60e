//! Transactional backups: what the servers' own files say, put back exactly.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zk_backup_testkit::{Daemon, Distribution, SUPER_PASSWORD, Setup, ZooKeeper};
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

pub(crate) fn start(setup: &Setup) -> ZooKeeper {
    ZooKeeper::start_with(&Distribution::locate().unwrap(), setup)
        .unwrap()
        .0
}

pub(crate) async fn client(address: &str) -> Client {
    // A server that waits for its disk is silent for seconds.
    let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
    let client = connector.connect(address).await.unwrap();
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
pub(crate) async fn write(address: String, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
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
pub(crate) fn snapshot_of(storage: &Path, id: &str) -> PathBuf {
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

pub(crate) fn from_file(snapshot: PathBuf) -> ZooKeeper {
    let setup = Setup {
        data: vec![snapshot],
        java: vec![
            "-Dzookeeper.extendedTypesEnabled=true".to_owned(),
            "-Dznode.container.checkIntervalMs=3600000".to_owned(),
        ],
        ..Setup::default()
    };
    let server = start(&setup);
    assert_digest_right(&server);
    server
}

/// A server only counts and logs that the digest of its snapshot is not that of the znodes; what it logs goes nowhere here.
pub(crate) fn assert_digest_right(server: &ZooKeeper) {
    let counts = server.four_letter("mntr").unwrap();
    assert!(counts.contains("zk_digest_mismatches_count\t0\n"), "{counts}");
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
    let (mut zxids, mut newest) = (Vec::new(), 0);
    for _ in 0..8 {
        while done.load(Ordering::Relaxed) < last + 150 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        last = done.load(Ordering::Relaxed);
        let (id, info) = back_up(&daemon);
        let digests = &info["taken_from"]["digests"];
        assert_eq!(digests["differing"], json!(0), "{info:?}");
        // All but a snapshot that is just being written.
        match info["taken_from"]["passed_over"].as_array().unwrap().as_slice() {
            [] => newest += 1,
            [one] => assert!(one.as_str().unwrap().contains("still be writing"), "{info:?}"),
            _ => panic!("{info:?}"),
        }
        zxids.push((info["zxid"]["newest"].as_str().unwrap().to_owned(), id));
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
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
    let (id, info) = back_up(&daemon);
    assert!(info["skipped"]["ephemeral"].as_u64().unwrap() >= 1, "{info:?}");
    assert!(info["kinds"]["ttl"].as_u64().unwrap() > 20, "{info:?}");
    assert!(info["kinds"]["container"].as_u64().unwrap() > 20, "{info:?}");
    let copy = from_file(snapshot_of(storage.path(), &id));
    let inside = client(&copy.address()).await;
    assert_exact(&before, &exact(&inside).await);
}

/// Waits until the server has removed `path` by itself.
async fn gone(client: &Client, path: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
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

/// Waits until all sessions have ended, so that nothing more is logged.
pub(crate) async fn without_sessions(server: &ZooKeeper) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !server
        .four_letter("mntr")
        .unwrap()
        .contains("zk_global_sessions\t0\n")
    {
        assert!(Instant::now() < deadline, "a session stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
