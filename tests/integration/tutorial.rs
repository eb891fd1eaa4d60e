//! `docs/TUTORIAL.md`, run as it stands there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use zk_backup_testkit::{Daemon, Distribution};

use crate::common::clients::observer;
use crate::common::documents::{assert_shown, blocks};
use crate::common::servers::server;

const TUTORIAL: &str = include_str!("../../docs/TUTORIAL.md");
/// Printed after each block.
const END: &str = "\n-- the end of a block --\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_ten_minutes_go_as_the_tutorial_shows_them() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let place = tempfile::tempdir().unwrap();
    let programs = place.path().join("bin");
    install(&programs);
    let shell = |script: &str, url: &str| {
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command
            .args([
                "-eu",
                "-c",
                &script.replace("localhost:2181", &zookeeper.address()),
            ])
            .current_dir(place.path())
            .env_clear()
            .env("PATH", path)
            .env("HOME", place.path())
            .env("ZK_BACKUP_URL", url)
            .env("PORT", "0")
            .env("BROADCAST_ADDRESS", "127.0.0.1");
        command
    };
    let says = |script: &str, url: &str| {
        let output = shell(script, url).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{script}\n{out}\n{err}");
        out
    };
    let blocks = blocks(TUTORIAL);
    let the = |kind: &str| blocks.iter().position(|(found, _)| *found == kind).unwrap();

    says(blocks[the("sh tour")].1, "");
    let started = blocks[the("sh server")]
        .1
        .replace("\nzk-backup-daemon", "\nexec zk-backup-daemon");
    let mut daemon = Daemon::run(shell(&started, "")).unwrap();

    let tour = blocks[the("sh server")..]
        .iter()
        .filter(|(kind, _)| *kind == "sh tour");
    let script: Vec<_> = tour.map(|(_, text)| format!("{text}printf '{END}'\n")).collect();
    let out = says(&script.concat(), &format!("http://{}", daemon.address));
    let mut said = out.split(END);
    for pair in blocks[the("sh server")..].windows(2) {
        if pair[0].0 == "sh tour" {
            let out = said.next().unwrap();
            if pair[1].0 == "text" {
                assert_shown(pair[1].1, out);
            }
        }
    }
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
    says(blocks[the("sh alone")].1, "");
    assert_eq!(prices().await, br#"{"tea":3,"coffee":4}"#);
}

/// What the tutorial takes for granted.
fn install(programs: &Path) {
    fs::create_dir(programs).unwrap();
    for (name, program) in [
        ("zk-backup", env!("CARGO_BIN_EXE_cli-under-test")),
        ("zk-backup-daemon", env!("CARGO_BIN_EXE_daemon-under-test")),
    ] {
        symlink(program, programs.join(name)).unwrap();
    }
    let distribution = Distribution::debian()
        .map_or_else(Distribution::locate, Ok)
        .unwrap();
    let class_path = distribution.class_path();
    let client =
        format!("#!/bin/sh\nexec java -cp '{class_path}' org.apache.zookeeper.ZooKeeperMain \"$@\"\n");
    let file = programs.join("zkCli.sh");
    fs::write(&file, client).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}
