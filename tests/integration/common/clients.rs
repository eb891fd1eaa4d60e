//! Clients of ZooKeeper, and the identities and ACLs they work with.

use std::time::{Duration, Instant};

use backup_engine::{Driver, Ensemble as _, ZooKeeperEnsemble};
use zk_backup_testkit::{SUPER_PASSWORD, ZooKeeper};
use zk_snapshot::client::BatchedConfig;
use zk_snapshot::tree::{Acl, AclEntry, ClientError};
use zookeeper_client::Client;

pub(crate) fn as_super(server: &ZooKeeper) -> BatchedConfig {
    let digest_auth = Some(format!("super:{SUPER_PASSWORD}"));
    BatchedConfig {
        digest_auth,
        ..BatchedConfig::new(server.address())
    }
}

/// The client under test.
pub(crate) async fn connect(
    driver: Driver,
    config: BatchedConfig,
) -> Result<Box<dyn backup_engine::Client>, ClientError> {
    ZooKeeperEnsemble::new(config, driver).connect().await
}

/// A client of the tests' own, so that the code under test does not judge itself.
pub(crate) async fn observer(server: &ZooKeeper) -> zookeeper_async::ZooKeeper {
    let (address, session) = (server.address(), Duration::from_secs(20));
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let ignored = |_: zookeeper_async::WatchedEvent| {};
        let zookeeper = zookeeper_async::ZooKeeper::connect(&address, session, ignored)
            .await
            .unwrap();
        let secret = format!("super:{SUPER_PASSWORD}").into_bytes();
        // It waits two seconds for a connection, and fails what is asked for then.
        match zookeeper.add_auth("digest", secret).await {
            Ok(()) => return zookeeper,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

/// Another, which knows every kind of znode, and is nobody in particular.
pub(crate) async fn stranger(address: &str) -> Client {
    // A server that waits for its disk is silent for seconds.
    let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
    connector.connect(address).await.unwrap()
}

/// The same, as `super`, whom no ACL binds.
pub(crate) async fn client(address: &str) -> Client {
    let client = stranger(address).await;
    let secret = format!("super:{SUPER_PASSWORD}");
    client.auth("digest", secret.as_bytes()).await.unwrap();
    client
}

/// Digests of the password `pw`.
pub(crate) const APP: &str = "app:ZUmrOH+NqIBTBJgKHGgQPRrLd34=";
pub(crate) const BOB: &str = "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=";
pub(crate) const EVE: &str = "eve:tPVS62yQF/M0lNvU6mzotOuRJxo=";

pub(crate) fn digest(perms: zookeeper_async::Permission, id: &str) -> zookeeper_async::Acl {
    zookeeper_async::Acl::new(perms, "digest", id)
}

/// An ACL that lets nobody in but bob, whose password nobody knows.
pub(crate) fn closed() -> Acl {
    Acl::new(vec![AclEntry {
        perms: 31,
        scheme: "digest".to_owned(),
        id: "bob:ZWxzZXdoZXJlIQ==".to_owned(),
    }])
}
