//! Every awkward znode, backed up and restored over HTTP, compared byte for byte.

use backup_engine::Driver;
use serde_json::json;
use zk_backup_testkit::{Distribution, SUPER_PASSWORD, ZooKeeper};
use zk_snapshot::tree::{Acl, AclEntry};

use crate::common::by_each_adapter;
use crate::common::clients::{as_super, connect, observer};
use crate::common::daemons::daemon_by;
use crate::common::trees::{assert_same, create, dump};

/// The largest data that the server's default limit on requests takes, with room for path and ACL.
const LARGE: usize = (1 << 20) - 1_000;

fn acl(entries: &[(u32, &str, &str)]) -> Acl {
    let entry = |(perms, scheme, id): &(u32, &str, &str)| AclEntry {
        perms: *perms,
        scheme: (*scheme).to_owned(),
        id: (*id).to_owned(),
    };
    Acl::new(entries.iter().map(entry).collect())
}

/// Everything that has ever broken a backup tool.
async fn fill(driver: Driver, server: &ZooKeeper) {
    let client = connect(driver, as_super(server)).await.unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let private = acl(&[(31, "digest", "bob:ZWxzZXdoZXJlIQ==")]);
    let tops = vec![
        create("/awkward", b"", Acl::open()),
        create(
            "/config",
            &bytes,
            acl(&[(1, "world", "anyone"), (31, "ip", "127.0.0.1")]),
        ),
        create("/private", b"only bob", private.clone()),
        create("/many", b"", Acl::open()),
        create("/large", &vec![0x0d; LARGE], Acl::open()),
        create("/mine", b"", acl(&[(31, "auth", "")])),
    ];
    let mut below = vec![
        create("/awkward/empty", b"", Acl::open()),
        create("/awkward/cr lf %2e..x", b"a\r\nb\rc\n", Acl::open()),
        create("/awkward/...", b"dots", Acl::open()),
        create("/awkward/100%", b"%0d%0a", Acl::open()),
        create("/awkward/zażółć-日本", "naïve ☃".as_bytes(), Acl::open()),
        create("/awkward/content", b"{}", Acl::open()),
        create("/awkward/manifest.json", b"[1", Acl::open()),
        create("/awkward/nul", &[0, 0, 0xff, 0xfe], Acl::open()),
        create("/config/read-only", b"r", acl(&[(1, "world", "anyone")])),
        create(
            "/private/child",
            b"closed parent",
            acl(&[(16, "digest", "eve:c29tZWhhc2g="), (1, "ip", "10.0.0.0/8")]),
        ),
        create("/private/closed to all", b"", acl(&[(0, "world", "anyone")])),
    ];
    below.extend((0..100_000).map(|i| create(&format!("/many/n{i:06}"), &bytes[..i % 257], Acl::open())));
    for ops in [tops, below] {
        for outcome in client.write_many(&ops).await {
            outcome.unwrap();
        }
    }
    client.close().await;
}

async fn everything_comes_back(driver: Driver, distribution: &Distribution) {
    let server = ZooKeeper::start(distribution).unwrap();
    let outside = observer(&server).await;
    fill(driver, &server).await;
    let before = dump(&outside).await;
    assert!(before.len() > 100_000);

    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("ZOOKEEPER_DIGEST_USERNAME", "super"),
        ("ZOOKEEPER_DIGEST_PASSWORD", SUPER_PASSWORD),
    ];
    let daemon = daemon_by(driver, &server.address(), storage.path(), &settings);
    let (id, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let restore = json!({"vault": id}).to_string();
    let result = daemon.do_job("/restore", &restore).unwrap().1.json()["result"]["report"].clone();
    for kind in ["created", "data_changed", "acl_changed", "deleted"] {
        assert_eq!(
            result[kind], 0,
            "nothing differs, so nothing may be written: {result}"
        );
    }

    let mut paths: Vec<_> = before.keys().filter(|path| *path != "/").collect();
    paths.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
    for some in paths.chunk_by(|a, b| a.matches('/').count() == b.matches('/').count()) {
        for batch in some.chunks(1_000) {
            futures::future::join_all(batch.iter().map(|path| outside.delete(path, None)))
                .await
                .into_iter()
                .for_each(|outcome| outcome.unwrap());
        }
    }
    assert_eq!(dump(&outside).await.len(), 1, "everything was deleted");

    let (_, state) = daemon.do_job("/restore", &restore).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_same(&before, &dump(&outside).await);
    if let Some(peak) = daemon.peak_memory() {
        assert!(peak < 150 << 10, "peak memory {peak} KiB");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_on_the_current_release() {
    everything_comes_back(Driver::Batched, &Distribution::locate().unwrap()).await;
}

by_each_adapter!(everything_comes_back_on_debians_release_where_it_is_installed);

async fn everything_comes_back_on_debians_release_where_it_is_installed(driver: Driver) {
    if let Some(debian) = Distribution::debian() {
        everything_comes_back(driver, &debian).await;
    }
}
