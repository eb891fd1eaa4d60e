//! `docs/MIGRATION.md`, run as it stands there.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Command;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;
use zk_backup_testkit::Daemon;

use crate::common::clients::observer;
use crate::common::documents::{assert_shown, blocks};
use crate::common::predecessor::Left;
use crate::common::servers::server;
use crate::common::trees::plant;

const GUIDE: &str = include_str!("../../docs/MIGRATION.md");
/// Printed after each block.
const END: &str = "\n-- the end of a block --\n";

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

    let programs = place.path().join("bin");
    fs::create_dir(&programs).unwrap();
    for (name, program) in [
        ("zk-backup", env!("CARGO_BIN_EXE_cli-under-test")),
        ("zk-backup-daemon", env!("CARGO_BIN_EXE_daemon-under-test")),
    ] {
        symlink(program, programs.join(name)).unwrap();
    }
    let shell = |script: &str, url: &str| {
        let script = script
            .replace("localhost:2181", &zookeeper.address())
            .replace("/opt/zookeeper/backup-storage", storage.to_str().unwrap());
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command
            .args(["-eu", "-c", &script])
            .current_dir(place.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", place.path())
            .env("ZK_BACKUP_URL", url)
            .env("PORT", "0")
            .env("BROADCAST_ADDRESS", "127.0.0.1");
        command
    };
    let blocks = blocks(GUIDE);
    let (_, start) = blocks.iter().find(|(kind, _)| *kind == "sh server").unwrap();
    let daemon = Daemon::run(shell(
        &start.replace("zk-backup-daemon\n", "exec zk-backup-daemon\n"),
        "",
    ))
    .unwrap();
    let steps = blocks.iter().filter(|(kind, _)| *kind == "sh walk");
    let script: String = steps
        .map(|(_, text)| format!("{text}\nprintf '{END}'\n"))
        .collect();
    let output = shell(&script, &format!("http://{}", daemon.address))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let mut said = out.split(END);
    for pair in blocks.windows(2) {
        if pair[0].0 == "sh walk" {
            let out = said.next().unwrap();
            if pair[1].0 == "text" {
                assert_shown(pair[1].1, out);
            }
        }
    }
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
