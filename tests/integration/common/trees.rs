//! Trees of znodes: planted, looked at from outside, compared.

use std::collections::BTreeMap;
use std::time::Duration;

use backup_engine::Driver;
use futures::StreamExt as _;
use zk_snapshot::client::BatchedConfig;
use zk_snapshot::tree::{Acl, Kind, WriteOp, ZnodePath};
use zookeeper_client::{Acls, Client, CreateMode};

use super::clients::connect;

/// Path → data and ACL entries (permissions, scheme, id).
pub(crate) type Tree = BTreeMap<String, (Vec<u8>, Vec<String>)>;

/// The request that makes a persistent znode.
pub(crate) fn create(path: &str, data: &[u8], acl: Acl) -> WriteOp {
    WriteOp::Create {
        path: ZnodePath::parse(path).unwrap(),
        data: data.to_vec(),
        acl,
        kind: Kind::Persistent,
    }
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

/// Writes a few znodes from outside.
pub(crate) async fn plant(zookeeper: &zookeeper_async::ZooKeeper, znodes: &[(&str, &[u8])]) {
    for (path, data) in znodes {
        let acl = zookeeper_async::Acl::open_unsafe().clone();
        let mode = zookeeper_async::CreateMode::Persistent;
        zookeeper.create(path, data.to_vec(), acl, mode).await.unwrap();
    }
}

/// Writes znodes of every kind, and uses some sequential numbers.
pub(crate) async fn plant_all_kinds(client: &Client) {
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

/// As many znodes of 200 bytes below `/fill`.
pub(crate) async fn fill(config: &BatchedConfig, znodes: usize) {
    let client = connect(Driver::Batched, config.clone()).await.unwrap();
    let create = |path: String| WriteOp::Create {
        path: ZnodePath::parse(&path).unwrap(),
        data: vec![7; 200],
        acl: Acl::open(),
        kind: Kind::Persistent,
    };
    for ops in [
        vec![create("/fill".to_owned())],
        (0..znodes).map(|i| create(format!("/fill/n{i}"))).collect(),
    ] {
        for outcome in client.write_many(&ops).await {
            outcome.unwrap();
        }
    }
    client.close().await;
}
