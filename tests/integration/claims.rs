//! What a backup claims where ACLs hide something, or cannot be decoded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backup_engine::{Driver, Ensemble as _, ZooKeeperEnsemble};
use zk_snapshot::archive::{RecordSource, Role};
use zk_snapshot::capture::{CaptureOptions, Captured, Consistency, capture_in_memory};
use zk_snapshot::client::BatchedConfig;
use zk_snapshot::tree::{Acl, WriteOp, ZnodePath};

use crate::common::clients::{as_super, closed, connect};
use crate::common::servers::server;
use crate::common::trees::create;

async fn capture(config: BatchedConfig, driver: Driver) -> Captured {
    let client = ZooKeeperEnsemble::new(config, driver).connect().await.unwrap();
    let captured = capture_in_memory(&*client, &CaptureOptions::default())
        .await
        .unwrap();
    client.close().await;
    captured
}

/// Path → data, or `None` where it could not be read.
fn held(captured: &Captured) -> BTreeMap<String, Option<Vec<u8>>> {
    let frames = 0..captured.records.frames();
    let records = frames.flat_map(|index| captured.records.frame(index).unwrap());
    let of = |record: zk_snapshot::archive::Record| (record.role != Role::Unreadable).then_some(record.data);
    records
        .map(|record| (record.path.to_string(), of(record)))
        .collect()
}

/// Znodes that nobody may read are created one by one, and each is counted where everybody may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_hidden_is_in_the_backup_that_has_what_came_later() {
    let server = server();
    let setup = connect(Driver::Batched, as_super(&server)).await.unwrap();
    let mut ops = vec![create("/a", b"", Acl::open()), create("/a/v", b"0", Acl::open())];
    ops.extend((0..1_500).map(|i| create(&format!("/n{i}"), b"", Acl::open())));
    setup
        .write_many(&ops)
        .await
        .into_iter()
        .for_each(|outcome| outcome.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                count += 1;
                let hidden = [create(&format!("/a/h{count}"), b"", closed())];
                setup.write_many(&hidden).await.remove(0).unwrap();
                let counted = [WriteOp::SetData {
                    path: ZnodePath::parse("/a/v").unwrap(),
                    data: count.to_string().into_bytes(),
                    version: None,
                }];
                setup.write_many(&counted).await.remove(0).unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await; // a rate, not a wait
            }
            setup.close().await;
            count
        }
    });
    let check = |captured: &Captured| {
        let held = held(captured);
        let hidden = held.keys().filter(|path| path.starts_with("/a/h")).count();
        let counted = String::from_utf8(held["/a/v"].clone().unwrap()).unwrap();
        let counted: usize = counted.parse().unwrap();
        let consistent = captured.summary.consistency == Consistency::Consistent;
        assert!(
            !consistent || hidden == counted || hidden == counted + 1,
            "{hidden} of {counted}: {:?}",
            captured.summary
        );
        (consistent, hidden)
    };
    for _ in 0..6 {
        check(&capture(BatchedConfig::new(server.address()), Driver::Batched).await);
        let (consistent, _) = check(&capture(as_super(&server), Driver::Batched).await);
        assert!(consistent, "nothing is hidden from super");
    }
    stop.store(true, Ordering::Relaxed);
    let count = writing.await.unwrap();
    for driver in [Driver::Batched, Driver::Plain] {
        let captured = capture(BatchedConfig::new(server.address()), driver).await;
        assert_eq!(check(&captured), (true, count));
        assert_eq!(captured.summary.unreadable, count as u64);
    }
}
