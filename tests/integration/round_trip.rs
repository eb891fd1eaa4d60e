//! Back up, break, restore, compare byte for byte.

use zk_backup_testkit::{Distribution, ZooKeeper};
use zk_snapshot::{
    Acl, AclEntry, PlainClient, Policy, RestoreOptions, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter,
};
use zookeeper_async::CreateMode;

use crate::live::{as_super, assert_same, back_up, dump, observer, put_back, server};

fn acl(entries: &[(u32, &str, &str)]) -> Acl {
    let entry = |(perms, scheme, id): &(u32, &str, &str)| AclEntry {
        perms: *perms,
        scheme: (*scheme).to_owned(),
        id: (*id).to_owned(),
    };
    Acl(entries.iter().map(entry).collect())
}

fn create(path: &str, data: &[u8], acl: Acl) -> WriteOp {
    WriteOp::Create {
        path: ZnodePath::parse(path).unwrap(),
        data: data.to_vec(),
        acl,
    }
}

/// Everything that has ever broken a backup tool.
async fn fill(client: &PlainClient) {
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
        create("/large", &vec![0x0d; 1_000_000], Acl::open()),
    ];
    let mut below = vec![
        create("/awkward/empty", b"", Acl::open()),
        create("/awkward/cr lf %2e..x", b"a\r\nb\rc\n", Acl::open()),
        create("/awkward/...", b"dots", Acl::open()),
        create("/awkward/zażółć-日本", "naïve ☃".as_bytes(), Acl::open()),
        create("/awkward/content", b"{}", Acl::open()),
        create("/awkward/manifest.json", b"[1", Acl::open()),
        create("/config/read-only", b"r", acl(&[(1, "world", "anyone")])),
        create(
            "/private/child",
            b"closed parent",
            acl(&[(16, "digest", "eve:c29tZWhhc2g="), (1, "ip", "10.0.0.0/8")]),
        ),
    ];
    below.extend((0..20_000).map(|i| create(&format!("/many/n{i:05}"), &bytes[..i % 257], Acl::open())));
    for ops in [tops, below] {
        for outcome in client.write_many(ops).await {
            outcome.unwrap();
        }
    }
}

async fn everything_comes_back(distribution: &Distribution) {
    let server = ZooKeeper::start(distribution).unwrap();
    let client = PlainClient::connect(as_super(&server)).await.unwrap();
    let outside = observer(&server).await;
    fill(&client).await;
    outside
        .create(
            "/awkward/session",
            b"mine".to_vec(),
            zookeeper_async::Acl::open_unsafe().clone(),
            CreateMode::Ephemeral,
        )
        .await
        .unwrap();
    let before = dump(&outside).await;

    let file = tempfile::NamedTempFile::new().unwrap();
    let (summary, archive) = back_up(&client, file.path()).await;
    assert_eq!(summary.ephemerals_skipped, 1);
    assert!(!summary.is_partial(), "{summary:?}");
    assert!(summary.znodes >= before.len() as u64);

    // Nothing differs, so nothing is written.
    let same = put_back(&client, &archive, &RestoreOptions::default()).await;
    assert_eq!(
        (same.created, same.data_changed, same.acl_changed, same.deleted),
        (0, 0, 0, 0),
        "{same:?}"
    );

    // Delete everything, deepest first.
    let mut paths: Vec<_> = before.keys().filter(|path| *path != "/").collect();
    paths.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
    outside.delete("/awkward/session", None).await.unwrap();
    for path in paths {
        outside.delete(path, None).await.unwrap();
    }
    assert_eq!(dump(&outside).await.len(), 1);

    let dry = RestoreOptions {
        dry_run: true,
        ..RestoreOptions::default()
    };
    let planned = put_back(&client, &archive, &dry).await;
    assert_eq!(dump(&outside).await.len(), 1, "a dry run must write nothing");
    let done = put_back(&client, &archive, &RestoreOptions::default()).await;
    assert!(done.is_complete(), "{:?}", done.failures);
    assert_eq!(
        (planned.created, done.created),
        (before.len() as u64 - 1, before.len() as u64 - 1)
    );
    assert_same(&before, &dump(&outside).await);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_on_the_current_release() {
    everything_comes_back(&Distribution::locate().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_on_debians_release_where_it_is_installed() {
    if let Some(debian) = Distribution::debian() {
        everything_comes_back(&debian).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_differs_is_written_and_live_ephemerals_stay() {
    let server = server();
    let client = PlainClient::connect(as_super(&server)).await.unwrap();
    let outside = observer(&server).await;
    let top = vec![create("/app", b"v1", Acl::open())];
    let below = (0..50)
        .map(|i| create(&format!("/app/n{i}"), b"x", Acl::open()))
        .collect();
    for ops in [top, below] {
        client
            .write_many(ops)
            .await
            .into_iter()
            .for_each(|outcome| outcome.unwrap());
    }
    let before = dump(&outside).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let (_, archive) = back_up(&client, file.path()).await;
    let versions = |tree: Vec<zk_snapshot::Reading>| format!("{tree:?}");
    let untouched = ZnodePath::parse("/app/n7").unwrap();
    let stat = versions(client.read_many(std::slice::from_ref(&untouched)).await.unwrap());

    let open = zookeeper_async::Acl::open_unsafe().clone();
    let persistent = CreateMode::Persistent;
    outside
        .set_data("/app/n1", b"changed".to_vec(), None)
        .await
        .unwrap();
    outside
        .set_acl("/app/n2", zookeeper_async::Acl::read_unsafe().clone(), None)
        .await
        .unwrap();
    outside.delete("/app/n3", None).await.unwrap();
    outside
        .create("/app/extra", vec![], open.clone(), persistent)
        .await
        .unwrap();
    outside
        .create("/app/extra/deep", vec![], open.clone(), persistent)
        .await
        .unwrap();
    outside
        .create("/app/busy", vec![], open.clone(), persistent)
        .await
        .unwrap();
    outside
        .create("/app/busy/owner", vec![], open, CreateMode::Ephemeral)
        .await
        .unwrap();

    let merge = RestoreOptions {
        policy: Policy::Merge,
        dry_run: true,
        ..RestoreOptions::default()
    };
    assert_eq!(put_back(&client, &archive, &merge).await.deleted, 0);
    let report = put_back(&client, &archive, &RestoreOptions::default()).await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(
        (
            report.created,
            report.data_changed,
            report.acl_changed,
            report.deleted,
            report.left_alone
        ),
        (1, 1, 1, 2, 2),
        "{report:?}"
    );
    assert!(
        outside.exists("/app/busy/owner", false).await.is_ok(),
        "a live session's znode must survive"
    );
    assert_eq!(
        stat,
        versions(client.read_many(std::slice::from_ref(&untouched)).await.unwrap())
    );
    let mut after = dump(&outside).await;
    after.remove("/app/busy");
    assert_same(&before, &after);

    // Under another root, without touching the old one.
    let renames = [(
        ZnodePath::parse("/app").unwrap(),
        ZnodePath::parse("/copy").unwrap(),
    )]
    .into();
    let roots = vec![ZnodePath::parse("/app").unwrap()];
    let report = put_back(
        &client,
        &archive,
        &RestoreOptions {
            roots,
            renames,
            ..RestoreOptions::default()
        },
    )
    .await;
    assert_eq!(report.created, 51, "{report:?}");
    let copy = dump(&outside).await;
    assert_eq!(copy["/copy/n7"], before["/app/n7"]);
    client.close().await;
}
