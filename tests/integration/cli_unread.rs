//! The command line and backups that lack what nobody could read.

use zookeeper_async::{Acl, Permission, ZooKeeper};

use crate::common::cli::Cli;
use crate::common::clients::{closed, observer};
use crate::common::daemons::daemon;
use crate::common::servers::server;
use crate::common::trees::plant;

async fn close(outside: &ZooKeeper, path: &str) {
    let acl = vec![Acl::new(
        Permission::ALL,
        "digest",
        closed().entries()[0].id.clone(),
    )];
    outside.set_acl(path, acl, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_read_is_not_handed_out_as_empty() {
    let (zookeeper, other) = (server(), server());
    let outside = observer(&zookeeper).await;
    plant(
        &outside,
        &[("/config", b"3"), ("/secure", b"s"), ("/secure/owner", b"o")],
    )
    .await;
    close(&outside, "/secure").await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);
    let (partial, _) = cli.ends(3, &["backup", "--wait", "--json"]);
    let partial = crate::common::cli::lines(&partial).pop().unwrap()["task_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (allowed, _) = cli.ends(3, &["backup", "--wait", "--allow-partial"]);
    let allowed = allowed.split_whitespace().next().unwrap().to_owned();

    for form in [
        &["--raw"][..],
        &["--as", "text"],
        &["--as", "hex"],
        &["--as", "base64"],
        &["--as", "json"],
    ] {
        let (told, why) = cli.ends(1, &[&["browse", &allowed, "/secure"], form].concat());
        assert_eq!(told, "", "{form:?}");
        assert!(
            why.contains("the backup could not read /secure"),
            "{form:?}: {why}"
        );
    }
    let told = cli.ok(&["browse", &allowed, "/secure"]);
    assert!(
        told.contains("role      unreadable: the backup could not read it"),
        "{told}"
    );
    assert!(!told.contains("1970") && !told.contains("0 B"), "{told}");
    assert_eq!(cli.ok(&["browse", &allowed, "/config", "--raw"]), "3");

    let listed = cli.ok(&["ls"]);
    let row = |id: &str| {
        listed
            .lines()
            .find(|line| line.starts_with(id))
            .unwrap()
            .to_owned()
    };
    assert!(
        row(&partial).contains("partial, lacks 1") && row(&allowed).contains("ok, lacks 1"),
        "{listed}"
    );
    let shown = cli.ok(&["show", &allowed]);
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("state ") && line.ends_with("ok, lacks 1")),
        "{shown}"
    );
    for id in [&partial, &allowed] {
        cli.ends(3, &["watch", id]);
        cli.ends(3, &["watch", id, "--json"]);
    }

    // What may differ is not the same.
    let (told, _) = cli.ends(3, &["diff", &allowed, "live", "--exit-code"]);
    assert!(
        told.contains("1 may differ") && told.contains("? /secure"),
        "{told}"
    );
    cli.ends(3, &["diff", &allowed, "live", "--exit-code", "--path", "/secure"]);
    cli.ok(&["diff", &allowed, "live", "--exit-code", "--path", "/config"]);
    cli.ok(&["diff", &allowed, "live"]);
    for path in ["/secure", "/secure/owner"] {
        let (_, why) = cli.ends(10, &["history", path]);
        assert!(why.contains("1 do not tell: `zk-backup find"), "{why}");
    }

    let (from, to) = (zookeeper.address(), other.address());
    let (told, why) = Cli::alone().ends(1, &["copy", "--from", &from, "--to", &to, "--yes"]);
    assert!(
        why.contains("nothing was copied") && why.contains("/secure"),
        "{why}"
    );
    assert!(
        !why.contains("zk-backup show") && !told.contains("created"),
        "{told}{why}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_told_by_its_own_exit_code() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/seq", b"1")]).await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);
    cli.back_up(&[]);
    outside.delete("/seq", None).await.unwrap();
    let id = cli.back_up(&[]);
    for id in [&*id, "latest"] {
        let (told, why) = cli.ends(10, &["restore", id, "--root", "/seq", "--dry-run"]);
        assert_eq!(told, "", "nothing is said of a plan that there is not");
        assert!(
            why.contains("has no znode /seq") && why.contains("`zk-backup find PATH`"),
            "{why}"
        );
    }
    let (_, why) = cli.ends(10, &["backup", "--wait", "--root", "/nope"]);
    assert!(why.contains("no such znode to back up: /nope"), "{why}");

    // What was not there has no way back, and no backup is named that was not taken.
    let told = cli.ok(&[
        "restore",
        &cli.ok(&["find", "/seq"]).lines().nth(1).unwrap()[..15],
        "--root",
        "/seq",
        "--yes",
    ]);
    assert!(
        told.contains("note: no backup was taken first, as /seq did not exist"),
        "{told}"
    );
    let archive = storage.path().to_str().unwrap();
    let (_, why) = cli.ends(2, &["import", archive]);
    assert!(why.contains("is a directory"), "{why}");
}
