//! `docs/TUTORIAL.md`, run as it stands there.

use std::process::Command;

use zk_backup_testkit::{Walk, blocks};

use crate::common::cli::PROGRAMS;
use crate::common::clients::observer;
use crate::common::daemons::health_with_zookeeper;
use crate::common::servers::server;

const TUTORIAL: &str = include_str!("../../docs/TUTORIAL.md");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_ten_minutes_go_as_the_tutorial_shows_them() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let place = tempfile::tempdir().unwrap();
    let walk = Walk::new(
        place.path(),
        PROGRAMS,
        vec![("localhost:2181", zookeeper.address())],
    );
    walk.install_zookeeper_client();
    let blocks = blocks(TUTORIAL);
    let the = |kind: &str| blocks.iter().position(|(found, _)| *found == kind).unwrap();

    walk.run(blocks[the("sh tour")].1, "");
    let mut daemon = walk.server(blocks[the("sh server")].1);
    // Whoever types has seen by then that it is up.
    health_with_zookeeper(&daemon);
    let url = format!("http://{}", daemon.address);
    walk.run_blocks(&blocks[the("sh server")..], "sh tour", &url);
    let prices = || async { outside.get_data("/shop/prices", false).await.unwrap().0 };
    assert_eq!(prices().await, br#"{"tea":3,"coffee":4}"#);
    assert!(outside.exists("/shop/open", false).await.unwrap().is_some());
    assert!(outside.exists("/shop/test", false).await.unwrap().is_none());
    let beside = outside.get_data("/shop-before/open", false).await.unwrap().0;
    assert_eq!(beside, b"yes");

    let pid = daemon.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(daemon.wait_for_end().unwrap().success());
    outside
        .set_data("/shop/prices", b"gone".to_vec(), None)
        .await
        .unwrap();
    walk.run(blocks[the("sh alone")].1, "");
    assert_eq!(prices().await, br#"{"tea":3,"coffee":4}"#);
}
