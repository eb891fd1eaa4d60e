//! What the suites share: a server, a second client that looks from outside, backups in a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use std::sync::Arc;

use backup_engine::{Client, Driver, Ensemble as _, ZooKeeperEnsemble};
use futures::StreamExt;
use zk_backup_testkit::{Daemon, DaemonError, Distribution, SUPER_PASSWORD, ZooKeeper};
use zk_snapshot::archive::{ArchiveFile, ArchiveWriter, RecordSource};
use zk_snapshot::capture::{CaptureOptions, CaptureSummary, Portion, capture};
use zk_snapshot::client::BatchedConfig;
use zk_snapshot::restore::{RestoreOptions, RestoreReport, restore};
use zk_snapshot::tree::{Acl, AclEntry, ClientError};

/// Path → data and ACL entries (permissions, scheme, id).
pub(crate) type Tree = BTreeMap<String, (Vec<u8>, Vec<String>)>;

pub(crate) fn server() -> ZooKeeper {
    ZooKeeper::start(&Distribution::locate().unwrap()).unwrap()
}

pub(crate) fn as_super(server: &ZooKeeper) -> BatchedConfig {
    let digest_auth = Some(format!("super:{SUPER_PASSWORD}"));
    BatchedConfig {
        digest_auth,
        ..BatchedConfig::new(server.address())
    }
}

/// Whether the suites are to run by plain requests: set `ZOOKEEPER_DRIVER=plain` for that.
pub(crate) fn driver() -> Driver {
    match std::env::var("ZOOKEEPER_DRIVER").as_deref() {
        Ok("plain") => Driver::Plain,
        Ok("batched") | Err(_) => Driver::Batched,
        Ok(other) => panic!("ZOOKEEPER_DRIVER={other}"),
    }
}

pub(crate) async fn connect(config: BatchedConfig) -> Result<Box<dyn Client>, ClientError> {
    ZooKeeperEnsemble::new(config, driver()).connect().await
}

/// An ACL that lets nobody in but bob, whose password nobody knows.
pub(crate) fn closed() -> Acl {
    Acl::new(vec![AclEntry {
        perms: 31,
        scheme: "digest".to_owned(),
        id: "bob:ZWxzZXdoZXJlIQ==".to_owned(),
    }])
}

/// A client of the tests' own, so that the code under test does not judge itself.
pub(crate) async fn observer(server: &ZooKeeper) -> zookeeper_async::ZooKeeper {
    let (address, session) = (server.address(), Duration::from_secs(20));
    let zookeeper =
        zookeeper_async::ZooKeeper::connect(&address, session, |_: zookeeper_async::WatchedEvent| {})
            .await
            .unwrap();
    zookeeper
        .add_auth("digest", format!("super:{SUPER_PASSWORD}").into_bytes())
        .await
        .unwrap();
    zookeeper
}

/// Every znode outside `/zookeeper`, ephemeral ones left out.
pub(crate) async fn dump(zookeeper: &zookeeper_async::ZooKeeper) -> Tree {
    let mut tree = Tree::new();
    let mut level = vec!["/".to_owned()];
    while !level.is_empty() {
        let mut reads = futures::stream::iter(level)
            .map(|path| async move {
                let (data, stat) = zookeeper.get_data(&path, false).await.unwrap();
                let (acl, _) = zookeeper.get_acl(&path).await.unwrap();
                let children = match stat.num_children {
                    0 => Vec::new(),
                    _ => zookeeper.get_children(&path, false).await.unwrap(),
                };
                (path, data, stat, acl, children)
            })
            .buffer_unordered(256);
        let mut next = Vec::new();
        while let Some((path, data, stat, acl, children)) = reads.next().await {
            let prefix = if path == "/" { "" } else { &path };
            next.extend(
                children
                    .iter()
                    .map(|name| format!("{prefix}/{name}"))
                    .filter(|child| child != "/zookeeper"),
            );
            if !stat.is_ephemeral() {
                let mut acl: Vec<_> = acl
                    .iter()
                    .map(|e| format!("{}:{}:{}", e.perms, e.scheme, e.id))
                    .collect();
                acl.sort();
                tree.insert(path, (data, acl));
            }
        }
        level = next;
    }
    tree
}

/// Compares two trees without printing megabytes.
pub(crate) fn assert_same(left: &Tree, right: &Tree) {
    for (path, node) in left {
        let other = right.get(path).unwrap_or_else(|| panic!("{path} is missing"));
        assert!(node.0 == other.0, "data of {path} differ");
        assert_eq!(node.1, other.1, "ACL of {path}");
    }
    let extra: Vec<_> = right.keys().filter(|path| !left.contains_key(*path)).collect();
    assert!(extra.is_empty(), "not expected: {extra:?}");
}

/// Backs up what does not change meanwhile into `file`, and opens it again.
pub(crate) async fn back_up(client: &dyn Client, file: &Path) -> (CaptureSummary, Arc<dyn RecordSource>) {
    let (sink, mut portions) = tokio::sync::mpsc::channel(8);
    let path = file.to_owned();
    let writing = tokio::task::spawn_blocking(move || {
        let mut writer = ArchiveWriter::new(BufWriter::new(File::create(&path).unwrap()));
        while let Some(portion) = portions.blocking_recv() {
            match portion {
                Portion::Restart => {
                    writer = ArchiveWriter::new(BufWriter::new(File::create(&path).unwrap()));
                }
                Portion::Records(records) => records.iter().for_each(|record| writer.push(record).unwrap()),
                Portion::Amendments(amendments) => assert_eq!(amendments, []),
            }
        }
        writer.finish().unwrap()
    });
    let summary = capture(client, &CaptureOptions::default(), sink).await.unwrap();
    let frames = writing.await.unwrap();
    let archive = ArchiveFile::new(File::open(file).unwrap(), frames);
    (summary, Arc::new(archive))
}

/// Restores everything from `archive`.
pub(crate) async fn put_back(
    client: &dyn Client,
    archive: &Arc<dyn RecordSource>,
    options: &RestoreOptions,
) -> RestoreReport {
    restore(Arc::clone(archive), client, options).await.unwrap()
}

/// The server under test, as a process of its own.
pub(crate) fn daemon(zookeeper: &str, storage: &Path, settings: &[(&str, &str)]) -> Daemon {
    try_daemon(zookeeper, storage, settings).unwrap()
}

pub(crate) fn try_daemon(
    zookeeper: &str,
    storage: &Path,
    settings: &[(&str, &str)],
) -> Result<Daemon, DaemonError> {
    let mut all = vec![];
    if driver() == Driver::Plain {
        all.push(("ZOOKEEPER_DRIVER", "plain"));
    }
    all.extend(settings); // these come last, and win
    Daemon::start(env!("CARGO_BIN_EXE_daemon-under-test"), zookeeper, storage, &all)
}

/// An address that nothing listens on.
pub(crate) fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Writes a few znodes from outside.
pub(crate) async fn plant(zookeeper: &zookeeper_async::ZooKeeper, znodes: &[(&str, &[u8])]) {
    for (path, data) in znodes {
        let acl = zookeeper_async::Acl::open_unsafe().clone();
        let mode = zookeeper_async::CreateMode::Persistent;
        zookeeper.create(path, data.to_vec(), acl, mode).await.unwrap();
    }
}

/// Marks all vaults as asked for by the schedule, which is too slow for tests.
pub(crate) fn as_if_scheduled(storage: &Path) {
    for entry in std::fs::read_dir(storage).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            as_if_scheduled(&path);
        } else if path.ends_with("manifest.json") {
            let mut manifest: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!(manifest["scheduled"], false, "{manifest}");
            manifest["scheduled"] = true.into();
            std::fs::write(&path, manifest.to_string()).unwrap();
            let sum = std::process::Command::new("sha256sum")
                .arg("manifest.json")
                .current_dir(storage)
                .output()
                .unwrap();
            std::fs::write(storage.join("manifest.json.sha256"), sum.stdout).unwrap();
        }
    }
}
