//! The command line where nobody reads what it says.

use std::io::PipeWriter;
use std::process::Stdio;

use crate::common::cli::Cli;
use crate::common::clients::observer;
use crate::common::daemons::daemon;
use crate::common::servers::server;
use crate::common::trees::{assert_same, dump, plant};

/// A pipe whose reader is gone.
fn closed() -> PipeWriter {
    std::io::pipe().unwrap().1
}

/// The exit code, and what is told on stderr, where nobody reads stdout.
fn unread(cli: &Cli, args: &[&str]) -> (Option<i32>, String) {
    let mut command = cli.command(args);
    let ended = command.stdout(closed()).stderr(Stdio::piped()).output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_works_or_judges_goes_on_to_its_end() {
    let (zookeeper, other) = (server(), server());
    let (outside, target) = (observer(&zookeeper).await, observer(&other).await);
    plant(&outside, &[("/a", b"1"), ("/a/b", b"2")]).await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);
    let id = cli.back_up(&[]);
    let before = dump(&outside).await;
    outside.set_data("/a/b", b"3".to_vec(), None).await.unwrap();

    let quiet = |code: i32| (Some(code), String::new());
    for shows in [
        &["ls"][..],
        &["browse", &id],
        &["diff", &id, "live"],
        &["export", &id, "-o", "-"],
    ] {
        assert_eq!(unread(&cli, shows), quiet(0), "{shows:?}");
    }
    let judges = ["diff", &id, "live", "--exit-code"];
    assert_eq!(unread(&cli, &judges), quiet(1));
    assert_eq!(unread(&cli, &["backup", "--wait", "--json"]), quiet(0));
    assert_eq!(cli.json(&["ls", "--valid"]).len(), 2, "the backup was waited for");

    for form in [&[][..], &["--json"]] {
        outside.set_data("/a/b", b"3".to_vec(), None).await.unwrap();
        let restore = ["restore", &id, "--yes", "--no-backup-first"];
        assert_eq!(unread(&cli, &[&restore[..], form].concat()), quiet(0), "{form:?}");
        assert_same(&before, &dump(&outside).await);
    }
    let (from, to) = (zookeeper.address(), other.address());
    let copy = ["copy", "--from", &from, "--to", &to, "--yes"];
    assert_eq!(unread(&Cli::alone(), &copy), quiet(0));
    assert_same(&before, &dump(&target).await);

    // Nor has it to be read why something fails.
    for args in [
        &["show", "20200101T000000"][..],
        &["restore", "20200101T000000", "--yes"],
    ] {
        let ended = cli.command(args).stdout(closed()).stderr(closed()).status();
        assert_eq!(ended.unwrap().code(), Some(10), "{args:?}");
    }
}

/// What is not named must not be this machine's own ensemble.
#[test]
fn an_ensemble_that_is_not_named_is_not_the_usual_one() {
    let storage = tempfile::tempdir().unwrap();
    let storage = storage.path().to_str().unwrap();
    for args in [
        &["copy", "--from", "zk1", "--to", "", "--yes"][..],
        &["copy", "--from", " ", "--to", "zk1", "--yes"],
        &["--storage", storage, "--zookeeper", "", "backup"],
        &[
            "--storage",
            storage,
            "--zookeeper",
            " ",
            "restore",
            "latest",
            "--yes",
        ],
    ] {
        let (_, why) = Cli::alone().ends(2, args);
        assert!(
            why.contains(" is empty: name ZooKeeper's servers"),
            "{args:?}: {why}"
        );
    }
}
