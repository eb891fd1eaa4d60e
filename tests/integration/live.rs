//! What the suites share: a server, a second client that looks from outside, backups in a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use zk_backup_testkit::{Daemon, DaemonError, Distribution, SUPER_PASSWORD, ZooKeeper};
use zk_snapshot::{
    ArchiveFile, ArchiveWriter, CaptureOptions, CaptureSummary, PlainClient, PlainConfig, RestoreOptions,
    RestoreReport, capture, restore,
};

/// Path → data and ACL entries (permissions, scheme, id).
pub(crate) type Tree = BTreeMap<String, (Vec<u8>, Vec<String>)>;

pub(crate) fn server() -> ZooKeeper {
    ZooKeeper::start(&Distribution::locate().unwrap()).unwrap()
}

pub(crate) fn as_super(server: &ZooKeeper) -> PlainConfig {
    let digest_auth = Some(format!("super:{SUPER_PASSWORD}"));
    PlainConfig {
        digest_auth,
        ..PlainConfig::new(server.address())
    }
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
                let children = zookeeper.get_children(&path, false).await.unwrap();
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

/// Backs up into `file`, and opens it again.
pub(crate) async fn back_up(client: &PlainClient, file: &Path) -> (CaptureSummary, ArchiveFile<File>) {
    let (sender, mut records) = tokio::sync::mpsc::channel(256);
    let out = BufWriter::new(File::create(file).unwrap());
    let writing = tokio::task::spawn_blocking(move || {
        let mut writer = ArchiveWriter::new(out);
        while let Some(record) = records.blocking_recv() {
            writer.push(&record).unwrap();
        }
        writer.finish().unwrap()
    });
    let summary = capture(client, &CaptureOptions::default(), sender).await.unwrap();
    let frames = writing.await.unwrap();
    (summary, ArchiveFile::new(File::open(file).unwrap(), frames))
}

/// Restores everything from `archive`.
pub(crate) async fn put_back(
    client: &PlainClient,
    archive: &ArchiveFile<File>,
    options: &RestoreOptions,
) -> RestoreReport {
    restore(archive, client, options).await.unwrap()
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
    Daemon::start(
        env!("CARGO_BIN_EXE_daemon-under-test"),
        zookeeper,
        storage,
        settings,
    )
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
