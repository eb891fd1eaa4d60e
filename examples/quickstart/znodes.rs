//! The tree that is backed up, broken and compared.

use std::collections::BTreeMap;
use std::time::Duration;

use zk_backup_testkit::SUPER_PASSWORD;
use zookeeper_async::{Acl, CreateMode, Permission};

use crate::Outcome;

pub(crate) async fn connect(address: &str) -> Outcome<zookeeper_async::ZooKeeper> {
    let session = Duration::from_secs(20);
    let nothing = |_: zookeeper_async::WatchedEvent| {};
    let client = zookeeper_async::ZooKeeper::connect(address, session, nothing).await?;
    let identity = format!("super:{SUPER_PASSWORD}").into_bytes();
    client.add_auth("digest", identity).await?;
    Ok(client)
}

/// Brokers with live sessions, topics, settings, and a secret, as many clusters have them.
pub(crate) async fn fill(client: &zookeeper_async::ZooKeeper) -> Outcome<()> {
    let open = Acl::open_unsafe();
    let secret = [Acl {
        perms: Permission::ALL,
        scheme: "digest".into(),
        id: "app:ZWxzZXdoZXJlIQ==".into(),
    }];
    let create = |path: String, data: Vec<u8>, acl: Vec<Acl>, mode: CreateMode| async move {
        client.create(&path, data, acl, mode).await.map(drop)
    };
    let keep = CreateMode::Persistent;
    for path in ["/brokers", "/brokers/ids", "/brokers/topics", "/config"] {
        create(path.into(), vec![], open.clone(), keep).await?;
    }
    create("/secrets".into(), vec![], secret.to_vec(), keep).await?;
    create("/secrets/key".into(), (0..=255).collect(), secret.to_vec(), keep).await?;
    create("/config/retries".into(), b"3\r\n".to_vec(), open.clone(), keep).await?;
    for broker in 0..3 {
        let data = format!(r#"{{"host":"broker-{broker}"}}"#).into_bytes();
        create(
            format!("/brokers/ids/{broker}"),
            data,
            open.clone(),
            CreateMode::Ephemeral,
        )
        .await?;
    }
    let topics = (0..2_000).map(|topic| {
        let data = format!(r#"{{"version":2,"partitions":{{"0":[{}]}}}}"#, topic % 3);
        create(
            format!("/brokers/topics/t{topic}"),
            data.into_bytes(),
            open.clone(),
            keep,
        )
    });
    futures::future::try_join_all(topics).await?;
    Ok(())
}

pub(crate) async fn break_something(client: &zookeeper_async::ZooKeeper) -> Outcome<()> {
    client.set_data("/config/retries", b"0".to_vec(), None).await?;
    client
        .set_acl("/secrets/key", Acl::open_unsafe().clone(), None)
        .await?;
    client
        .create(
            "/config/typo",
            vec![],
            Acl::open_unsafe().clone(),
            CreateMode::Persistent,
        )
        .await?;
    for topic in 0..500 {
        client.delete(&format!("/brokers/topics/t{topic}"), None).await?;
    }
    Ok(())
}

/// Path → data and ACL of everything outside `/zookeeper`, read straight from ZooKeeper.
pub(crate) async fn tree(
    client: &zookeeper_async::ZooKeeper,
) -> Outcome<BTreeMap<String, (Vec<u8>, String)>> {
    let mut tree = BTreeMap::new();
    let mut waiting = vec!["/".to_owned()];
    while let Some(path) = waiting.pop() {
        let (data, _) = client.get_data(&path, false).await?;
        let (acl, _) = client.get_acl(&path).await?;
        let children = client.get_children(&path, false).await?;
        let prefix = if path == "/" { "" } else { &path };
        let below = children.iter().map(|name| format!("{prefix}/{name}"));
        waiting.extend(below.filter(|child| child != "/zookeeper"));
        let acl = acl.iter().map(|e| format!("{}:{}:{}", e.perms, e.scheme, e.id));
        let acl = acl.collect::<Vec<_>>().join(" ");
        tree.insert(path, (data, acl));
    }
    Ok(tree)
}
