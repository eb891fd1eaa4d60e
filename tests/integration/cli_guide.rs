//! What the README and `docs/CLI.md` show of the command line, typed on a terminal as it stands there.

use std::fs;

use zk_backup_testkit::{Walk, blocks, write_script};

use crate::common::cli::PROGRAMS;
use crate::common::clients::observer;
use crate::common::servers::server;
use crate::common::terminal::{Ended, Outputs, Session};
use crate::common::trees::plant;

/// Types `script`, and answers what it asks by a yes.
fn agrees(walk: &Walk<'_>, script: &str, url: &str) -> Ended {
    let mut session = Session::start(&walk.shell(script, url), Outputs::Both);
    session.wait_for("[y/N] ");
    session.types("y\n");
    let ended = session.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

/// The server is the one of the README, too. Without it somebody stands in for `sudo`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_comes_back_with_the_server_and_without_it() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/config", b"3"), ("/other", b"")]).await;
    let config = || async { outside.get_data("/config", false).await.unwrap().0 };
    let place = tempfile::tempdir().unwrap();
    let storage = place.path().join("zk-backup").display().to_string();
    let address = zookeeper.address();
    let instead = vec![
        ("/var/lib/zk-backup", storage.clone()),
        ("cargo run --release --bin ", String::new()),
        ("HOST=zk1,zk2,zk3", format!("HOST={address}")),
        ("zookeeper zk1,zk2,zk3", format!("zookeeper {address}")),
        ("zookeeper zk1 ", format!("zookeeper {address} ")),
    ];
    let walk = Walk::new(place.path(), PROGRAMS, instead);
    write_script(
        &place.path().join("bin/sudo"),
        "#!/bin/sh\nshift 2\nexec \"$@\"\n",
    )
    .unwrap();
    let script_with = |document: &'static str, what: &str| {
        let mut scripts = blocks(document).into_iter().map(|(_, script)| script);
        scripts.find(|script| script.contains(what)).unwrap()
    };
    let readme = include_str!("../../README.md");
    let start = script_with(readme, "ZOOKEEPER_HOST=");
    let mut served = walk.server(&format!("export BACKUP_SCHEDULE=None\n{start}"));
    let url = format!("http://{}", served.address);

    let lines: Vec<_> = script_with(readme, "zk-backup backup --wait").lines().collect();
    let [login, back_up, compare, restore, alone] = lines[..] else {
        panic!("{lines:?}");
    };
    walk.run(&format!("{login}\n{back_up}"), &url);
    outside.set_data("/config", b"0".to_vec(), None).await.unwrap();
    outside.delete("/other", None).await.unwrap();
    let ended = agrees(&walk, &format!("{login}\n{compare}\n{restore}"), &url);
    for shown in ["/config", "- /other"] {
        assert!(ended.shown.contains(shown), "{ended:?}");
    }
    assert_eq!(config().await, b"3");
    assert!(outside.exists("/other", false).await.unwrap().is_none());

    served.kill();
    agrees(&walk, alone, "");
    assert!(outside.exists("/other", false).await.unwrap().is_some());
    outside.set_data("/config", b"0".to_vec(), None).await.unwrap();
    let ended = agrees(&walk, script_with(include_str!("../../docs/CLI.md"), "sudo "), "");
    let kept = fs::read_dir(&storage)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let is_id = |name: &String| name.len() == 15 && name.contains('T');
    let ids = kept.filter_map(|name| name.into_string().ok()).filter(is_id);
    let ids: Vec<_> = ids.collect();
    assert!(!ids.is_empty(), "{ended:?}");
    for id in ids {
        assert!(ended.shown.contains(&id), "{id} is not in {ended:?}");
    }
    assert_eq!(config().await, b"3");
}
