//! `docs/MIGRATION.md`, run as it stands there.

use std::fs::File;
use std::io::Write as _;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;
use zk_backup_testkit::{Walk, blocks};

use crate::common::cli::PROGRAMS;
use crate::common::clients::observer;
use crate::common::predecessor::Left;
use crate::common::servers::server;
use crate::common::trees::plant;

const GUIDE: &str = include_str!("../../docs/MIGRATION.md");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_storage_is_taken_over_as_the_guide_shows_it() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/shop", b""), ("/shop/prices", b"tea 0")]).await;
    let place = tempfile::tempdir().unwrap();
    let storage = place.path().join("backup-storage");
    let znodes: &[(&str, &[u8])] = &[
        ("/shop", b""),
        ("/shop/prices", b"tea 3, coffee 4"),
        ("/shop/open", b"yes"),
    ];
    let earlier = Left::new(&storage, "20240104T100000");
    earlier.znodes(znodes);
    let left = Left::new(&storage, "20240105T100000");
    let before = left.znodes(znodes).contents();

    // What its `GET /backup/<id>` made.
    let elsewhere = place.path().join("elsewhere");
    let downloaded = Left::new(&elsewhere, "20240103T100000").znodes(znodes).contents();
    let archive = File::create(place.path().join("20240103T100000.zip")).unwrap();
    let mut archive = ZipWriter::new(archive);
    for (name, bytes) in &downloaded {
        archive
            .start_file(name.as_str(), SimpleFileOptions::default())
            .unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();

    let instead = vec![
        ("localhost:2181", zookeeper.address()),
        (
            "/opt/zookeeper/backup-storage",
            storage.to_str().unwrap().to_owned(),
        ),
    ];
    let walk = Walk::new(place.path(), PROGRAMS, instead);
    let blocks = blocks(GUIDE);
    let (_, start) = blocks.iter().find(|(kind, _)| *kind == "sh server").unwrap();
    let daemon = walk.server(start);
    let out = walk.run_blocks(&blocks, "sh walk", &format!("http://{}", daemon.address));
    assert!(out.contains("ACLs are not in it"), "{out}");
    assert_eq!(
        outside.get_data("/shop/prices", false).await.unwrap().0,
        b"tea 3, coffee 4"
    );
    assert_eq!(outside.get_data("/shop/open", false).await.unwrap().0, b"yes");
    assert!(!earlier.directory.exists());
    let unpacked = daemon.describe("20240103T100000").unwrap();
    assert_eq!(
        (&unpacked["valid"], &unpacked["verified_at"].is_string()),
        (&true.into(), &true),
        "{unpacked}"
    );
    assert_eq!(left.contents(), before, "it was written into");
}
