//! What goes wrong, produced for real.

use std::time::{Duration, Instant};

use backup_engine::Driver;
use zk_snapshot::client::BatchedConfig;
use zk_snapshot::restore::{RestoreError, RestoreOptions, restore};
use zk_snapshot::tree::{Acl, Kind, WriteOp, ZnodePath};

use crate::common::by_each_adapter;
use crate::common::clients::{as_super, closed, connect, observer};
use crate::common::servers::{nobody, server};
use crate::common::snapshots::capture_into;
use crate::common::trees::dump;

by_each_adapter!(an_unreachable_server_is_named_with_the_cause_in_bounded_time);

async fn an_unreachable_server_is_named_with_the_cause_in_bounded_time(driver: Driver) {
    let address = nobody();
    let config = BatchedConfig {
        deadline: Duration::from_secs(5),
        ..BatchedConfig::new(&address)
    };
    let started = Instant::now();
    let error = connect(driver, config)
        .await
        .err()
        .expect("nobody listens there")
        .to_string();
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(error.contains(&address) && error.contains("refused"), "{error}");
}

by_each_adapter!(a_server_that_accepts_and_never_answers_is_given_up);

async fn a_server_that_accepts_and_never_answers_is_given_up(driver: Driver) {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let config = BatchedConfig {
        deadline: Duration::from_secs(1),
        ..BatchedConfig::new(&address)
    };
    let error = connect(driver, config)
        .await
        .err()
        .expect("it never answers")
        .to_string();
    assert!(error.contains(&address) && error.contains("in time"), "{error}");
}

by_each_adapter!(what_may_not_be_read_makes_the_capture_partial_and_is_never_deleted);

async fn what_may_not_be_read_makes_the_capture_partial_and_is_never_deleted(driver: Driver) {
    let server = server();
    let admin = connect(driver, as_super(&server)).await.unwrap();
    let outside = observer(&server).await;
    for (path, acl) in [
        ("/secret", closed()),
        ("/secret/inside", Acl::open()),
        ("/open", Acl::open()),
    ] {
        let path = ZnodePath::parse(path).unwrap();
        let op = WriteOp::Create {
            path,
            data: b"d".to_vec(),
            acl,
            kind: Kind::Persistent,
        };
        admin.write_many(&[op]).await.pop().unwrap().unwrap();
    }
    let before = dump(&outside).await;

    let stranger = connect(driver, BatchedConfig::new(server.address()))
        .await
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let (summary, archive) = capture_into(&*stranger, file.path()).await;
    assert!(summary.is_partial());
    assert_eq!(summary.unreadable_paths, [ZnodePath::parse("/secret").unwrap()]);

    let report = restore(archive.clone(), &*admin, &RestoreOptions::default())
        .await
        .unwrap();
    assert_eq!(report.deleted, 0, "{report:?}");
    assert_eq!(before, dump(&outside).await);

    let roots = vec![ZnodePath::parse("/no-such").unwrap()];
    let refused = restore(
        archive,
        &*admin,
        &RestoreOptions {
            roots,
            ..RestoreOptions::default()
        },
    )
    .await;
    assert!(matches!(refused, Err(RestoreError::NotInBackup(_))));
}

by_each_adapter!(a_damaged_backup_is_refused_before_the_first_write);

async fn a_damaged_backup_is_refused_before_the_first_write(driver: Driver) {
    let server = server();
    let admin = connect(driver, as_super(&server)).await.unwrap();
    let outside = observer(&server).await;
    let path = ZnodePath::parse("/app").unwrap();
    let op = WriteOp::Create {
        path: path.clone(),
        data: vec![7; 5_000],
        acl: Acl::open(),
        kind: Kind::Persistent,
    };
    admin.write_many(&[op]).await.pop().unwrap().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let (_, archive) = capture_into(&*admin, file.path()).await;

    let mut bytes = std::fs::read(file.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file.path(), bytes).unwrap();
    admin
        .write_many(&[WriteOp::Delete { path, version: None }])
        .await
        .pop()
        .unwrap()
        .unwrap();
    let before = dump(&outside).await;
    let error = restore(archive.clone(), &*admin, &RestoreOptions::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("frame 0"), "{error}");
    assert_eq!(before, dump(&outside).await);
}

by_each_adapter!(a_server_that_restarts_in_the_middle_is_waited_for_with_the_identity_kept);

async fn a_server_that_restarts_in_the_middle_is_waited_for_with_the_identity_kept(driver: Driver) {
    let mut server = server();
    let admin = connect(driver, as_super(&server)).await.unwrap();
    let op = WriteOp::Create {
        path: ZnodePath::parse("/secret").unwrap(),
        data: b"d".to_vec(),
        acl: closed(),
        kind: Kind::Persistent,
    };
    admin.write_many(&[op]).await.pop().unwrap().unwrap();
    tokio::task::block_in_place(|| server.restart()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let (summary, _) = capture_into(&*admin, file.path()).await;
    assert!(!summary.is_partial(), "{summary:?}");
}
