//! Only what differs is written, seen from outside.

use backup_engine::{Driver, FilesSource, ZooKeeperEnsemble};
use zk_backup_testkit::ZooKeeper;
use zk_snapshot::files::DataDirs;
use zk_snapshot::restore::{Policy, RestoreOptions};
use zk_snapshot::tree::{Acl, History, ZnodePath};
use zookeeper_async::CreateMode;

use crate::common::by_each_adapter;
use crate::common::clients::{as_super, connect, observer};
use crate::common::servers::server;
use crate::common::snapshots::{capture_into, put_back};
use crate::common::trees::{assert_same, create, dump, plant};

by_each_adapter!(only_what_differs_is_written_and_live_ephemerals_stay);

async fn only_what_differs_is_written_and_live_ephemerals_stay(driver: Driver) {
    let server = server();
    let client = connect(driver, as_super(&server)).await.unwrap();
    let outside = observer(&server).await;
    let top = vec![create("/app", b"v1", Acl::open())];
    let below: Vec<_> = (0..50)
        .map(|i| create(&format!("/app/n{i}"), b"x", Acl::open()))
        .collect();
    for ops in [top, below] {
        client
            .write_many(&ops)
            .await
            .into_iter()
            .for_each(|outcome| outcome.unwrap());
    }
    let before = dump(&outside).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let (_, archive) = capture_into(&*client, file.path()).await;
    let versions = |tree: Vec<zk_snapshot::tree::Reading>| format!("{tree:?}");
    let untouched = ZnodePath::parse("/app/n7").unwrap();
    let stat = versions(
        client
            .read_many(std::slice::from_ref(&untouched), History::One)
            .await
            .unwrap(),
    );

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
    assert_eq!(put_back(&*client, &archive, &merge).await.deleted, 0);
    let report = put_back(&*client, &archive, &RestoreOptions::default()).await;
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
        outside.get_data("/app/busy/owner", false).await.is_ok(),
        "a live session's znode must survive"
    );
    assert_eq!(
        stat,
        versions(
            client
                .read_many(std::slice::from_ref(&untouched), History::One)
                .await
                .unwrap()
        )
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
        &*client,
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

by_each_adapter!(the_ensemble_does_what_every_ensemble_must_do);

async fn the_ensemble_does_what_every_ensemble_must_do(driver: Driver) {
    let server = server();
    let outside = observer(&server).await;
    plant(&outside, &[("/app", b"1"), ("/app/n", b"2")]).await;
    let whole = ZooKeeperEnsemble::new(as_super(&server), driver);
    backup_engine::conformance::ensemble(&whole).await;
    let chroot = ZnodePath::parse("/app").unwrap();
    backup_engine::conformance::ensemble(&whole.clone().below(chroot)).await;
    let data = server.data_directory();
    let files = FilesSource(DataDirs::same(data.parent().unwrap()));
    backup_engine::conformance::state_source(&files, &whole).await;
}

by_each_adapter!(the_client_does_what_every_client_must_do);

async fn the_client_does_what_every_client_must_do(driver: Driver) {
    let mut servers = vec![server()];
    servers
        .extend(zk_backup_testkit::Distribution::debian().map(|debian| ZooKeeper::start(&debian).unwrap()));
    for server in servers {
        let client = connect(driver, as_super(&server)).await.unwrap();
        let root = ZnodePath::parse("/conformance").unwrap();
        zk_snapshot::conformance::run(&*client, &root).await;
        let digest_auth = Some("bob:secret".to_owned());
        let as_bob = zk_snapshot::client::BatchedConfig {
            digest_auth,
            ..as_super(&server)
        };
        let bob = connect(driver, as_bob).await.unwrap();
        zk_snapshot::conformance::guards(&*client, &*bob, &root).await;
        bob.close().await;
        client.close().await;
    }
}
