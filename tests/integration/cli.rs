//! The command line, as its users have it: what it prints, and what it does.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::buckets::left_out;
use crate::common::cli::{Cli, lines};
use crate::common::clients::{APP, BOB, digest, observer};
use crate::common::daemons::{daemon, health_with_zookeeper};
use crate::common::servers::server;
use crate::common::snapshots::with_other_digests;
use crate::common::trees::{assert_same, dump, plant};

/// Changes a znode, deletes one below it, and makes another one.
async fn break_config(outside: &zookeeper_async::ZooKeeper) {
    outside
        .set_data("/config", b"retries=0\nurl=a\n".to_vec(), None)
        .await
        .unwrap();
    outside.delete("/config/deep", None).await.unwrap();
    plant(outside, &[("/new", b"")]).await;
}

/// Back up, break, look, compare, restore: by a server, and without one. Both print the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_day_that_something_broke() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(
        &outside,
        &[
            ("/config", b"retries=3\nurl=a\n"),
            ("/config/deep", b"{\"a\":1}"),
            ("/other", b"\x00\xff"),
        ],
    )
    .await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);

    let queued = cli.ok(&["backup"]);
    assert!(cli.ok(&["watch", queued.trim()]).contains("Successful"));
    let before = dump(&outside).await;
    let id = cli.back_up(&["--pin"]);
    assert!(cli.ok(&["ls"]).contains(&id) && cli.ok(&["ls"]).contains("ok, pinned"));
    assert_eq!(cli.json(&["ls", "-n", "1"])[0]["id"], *id);
    health_with_zookeeper(&served);
    assert!(cli.ok(&["status"]).starts_with("status     UP"));
    assert_eq!(cli.ok(&["status", "--live"]), "the server answers\n");

    break_config(&outside).await;
    let later = cli.back_up(&["--root", "/config"]);

    let told = |cli: &Cli| {
        [
            cli.ok(&["show", &id, "--json"]),
            cli.ok(&["browse", &id, "--json", "--depth", "9"]),
            cli.ok(&["browse", &id, "/other", "--json"]),
            cli.ok(&["diff", &id, &later, "--json"]),
            cli.ok(&["diff", &id, "live", "--json"]),
            cli.ok(&["history", "/config", "--json"]),
            cli.ok(&["export", &id, "-o", "-"]),
        ]
    };
    let by_server = told(&cli);
    for text in &by_server {
        assert!(!lines(text).is_empty());
    }
    let diff = cli.ok(&["diff", &id, "live"]);
    for line in ["~ /config  (data)\n", "- /config/deep\n", "+ /new\n"] {
        assert!(diff.contains(line), "{diff}");
    }
    assert_eq!(cli.ends(1, &["diff", &id, "live", "--exit-code"]).0, diff);
    let of = format!("from {id} (of everything) to live\n");
    let below = cli.ok(&["diff", &id, "live", "--path", "/config/deep"]);
    assert!(
        below.starts_with(&format!("{of}- /config/deep\nin all: ")),
        "{below}"
    );
    let same = cli.ok(&["diff", &id, "live", "--path", "/other", "--exit-code"]);
    assert!(same.starts_with(&format!("{of}in all: ")), "{same}");
    // What the later one is not of is not taken for the same.
    let (part, _) = cli.ends(3, &["diff", &id, &later, "--path", "/other", "--exit-code"]);
    assert!(part.contains("? /other: only /config was compared"), "{part}");
    // What neither has is a slip of the pen, not "no difference".
    let (_, why) = cli.ends(10, &["diff", &id, "live", "--path", "/confg", "--exit-code"]);
    assert!(why.contains("/confg"), "{why}");
    let texts = cli.ok(&["diff", &id, &later, "--data"]);
    assert!(
        texts.contains("    - retries=3\n    + retries=0\n") && !texts.contains("url"),
        "{texts}"
    );
    let history = cli.json(&["history", "/config"]);
    let changes: Vec<_> = history
        .iter()
        .map(|line| line["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["added", "data_changed"]);
    assert!(
        cli.ok(&["browse", &id, "/config/deep", "--as", "json"])
            .contains("\"a\": 1")
    );
    assert!(cli.ok(&["browse", &id, "/other"]).contains("00000000  00 ff"));
    assert_eq!(
        cli.run(&["browse", &id, "/other", "--as", "raw"]).stdout,
        b"\x00\xff"
    );

    // Nobody can be asked here, so nothing is done without --yes.
    let broken = dump(&outside).await;
    let (plan, why) = cli.ends(2, &["restore", &id]);
    assert!(
        plan.contains("+ /config/deep\n") && plan.contains("- /new\n") && why.contains("--yes"),
        "{plan}\n{why}"
    );
    let plan = cli.ok(&["restore", &id, "--dry-run"]);
    assert!(plan.contains("1 would be created"), "{plan}");
    assert_same(&broken, &dump(&outside).await);
    let merged = cli.ok(&["restore", &id, "--root", "/config", "--policy", "merge", "--yes"]);
    let undo = merged.split_once("what was there before is backup ").unwrap().1;
    let undo = &cli.json(&["show", &undo[..id.len()]])[0];
    assert_eq!(
        (&undo["pinned"], &undo["db_list"]),
        (&true.into(), &serde_json::json!(["config"]))
    );
    let done = cli.ok(&["restore", &id, "--yes", "--no-backup-first"]);
    assert!(!done.contains("what was there before"), "{done}");
    assert!(
        done.contains("1 were deleted") || done.contains(" 1 deleted"),
        "{done}"
    );
    assert_same(&before, &dump(&outside).await);
    assert!(cli.ok(&["restore", &id, "--yes"]).contains("nothing to do"));
    cli.ok(&["restore", "latest", "--rename", "/config=/config-old", "--yes"]);
    assert_eq!(
        outside.get_data("/config-old", false).await.unwrap().0,
        b"retries=0\nurl=a\n"
    );
    assert_eq!(
        outside.get_data("/config", false).await.unwrap().0,
        b"retries=3\nurl=a\n"
    );

    // One of the root's children is shown, and how many are not.
    let all = cli.json(&["browse", &id, "--depth", "1"]).len();
    let some = cli.json(&["browse", &id, "--depth", "1", "--limit", "1"]);
    assert_eq!((some.len(), &some[0]["message_type"]), (2, &"znode".into()));
    assert_eq!(
        (&some[1]["message_type"], &some[1]["path"], &some[1]["left"]),
        (&"more".into(), &"/".into(), &(all - 1).into())
    );

    if left_out("without a server the command line works on a directory") {
        return;
    }
    // The server is gone; its storage is left, and ZooKeeper is broken as it was.
    let (_, why) = Cli::of_storage(storage.path(), None).ends(11, &["ls"]);
    assert!(why.contains("the server has it: use ZK_BACKUP_URL"), "{why}");
    drop(served);
    cli.ends(1, &["ls"]);
    cli.ends(1, &["status", "--live"]);
    outside.delete("/config-old", None).await.unwrap();
    break_config(&outside).await;
    let cli = Cli::of_storage(storage.path(), Some(&zookeeper.address()));
    for (by_server, by_storage) in by_server.iter().zip(told(&cli)) {
        // The server has checked the whole backup meanwhile, and noted that beside it.
        let of = |text: &str| {
            let mut lines = lines(text);
            for line in &mut lines {
                line["verified_at"] = Value::Null;
                line["size"] = Value::Null;
            }
            lines
        };
        assert_eq!(of(by_server), of(&by_storage));
    }
    assert!(cli.ok(&["restore", &id, "--yes"]).contains("restored from"));
    assert_same(&before, &dump(&outside).await);
    let again = cli.back_up(&[]);
    cli.ok(&["evict", &again]);
    let (_, why) = cli.ends(10, &["show", &again]);
    assert!(why.contains("zk-backup ls"), "{why}");
    // Without ZooKeeper it can still be looked into.
    let cli = Cli::of_storage(storage.path(), None);
    cli.ok(&["show", "latest"]);
    cli.ends(2, &["backup"]);
    cli.ends(2, &["diff", &id, "live"]);
    cli.ends(2, &["evict"]);
}

/// By a server, and without one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_pinned_and_its_pin_taken_away() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let id = Cli::of_server(&served).back_up(&[]);
    let pins = |cli: &Cli| {
        let pinned = || cli.json(&["show", &id])[0]["pinned"].clone();
        assert_eq!(pinned(), false);
        let said = cli.ok(&["pin", &id]);
        assert!(said.contains(&format!("backup {id} is pinned")), "{said}");
        assert_eq!(pinned(), true);
        assert!(cli.ok(&["ls"]).contains("ok, pinned"));
        let unpinned = cli.json(&["unpin", &id]);
        assert_eq!(unpinned[0]["message_type"], "backup");
        assert_eq!(
            (&unpinned[0]["id"], &unpinned[0]["pinned"]),
            (&(*id).into(), &false.into())
        );
        assert_eq!(pinned(), false);
        let (_, why) = cli.ends(10, &["pin", "20200101T000000"]);
        assert!(why.contains("backup 20200101T000000 not found"), "{why}");
        // Another one may have come since it was looked at.
        cli.ends(2, &["unpin", "latest"]);
    };
    pins(&Cli::of_server(&served));
    let (_, why) = Cli::of_server(&served)
        .with("ZK_BACKUP_PASSWORD", "x")
        .ends(12, &["pin", &id]);
    assert!(why.contains("is wrong"), "{why}");
    if !left_out("without a server the command line works on a directory") {
        drop(served);
        pins(&Cli::of_storage(storage.path(), None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_znodes_do_not_reach_the_terminal() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let name = "/evil\u{202e}name";
    let data = "\u{1b}[2J\u{9b}31m\u{202e}data".as_bytes();
    plant(
        &outside,
        &[(name, data), ("/data", b"d"), ("/data/acl.json", b"clash")],
    )
    .await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);
    let id = cli.back_up(&[]);
    outside.delete(name, None).await.unwrap();
    let terminal = [
        vec!["browse", &id],
        vec!["browse", &id, name],
        vec!["browse", &id, name, "--as", "text"],
        vec!["browse", &id, name, "--json"],
        vec!["diff", &id, "live"],
        vec!["diff", &id, "live", "--json"],
        vec!["history", name],
        vec!["history", "/none\u{1b}[2J", "--json"],
        vec!["restore", &id, "--dry-run"],
        vec!["show", "\u{1b}[2J"],
        vec!["export", &id, "-o", "-"],
    ];
    for args in terminal {
        let output = cli.run(&args);
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8(text).unwrap();
            let hostile = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!text.contains(hostile), "{args:?}: {text:?}");
        }
    }
    assert!(cli.ok(&["diff", &id, "live"]).contains("- /evil\\u{202e}name\n"));

    // A tar has them by names that cannot be taken for anything else.
    let directory = tempfile::tempdir().unwrap();
    let tar = directory.path().join("out.tar");
    cli.ok(&["export", &id, "-o", tar.to_str().unwrap()]);
    let (_, why) = cli.ends(2, &["export", &id, "-o", tar.to_str().unwrap()]);
    assert!(why.contains("--force"), "{why}");
    // What cannot be exported leaves nothing lying about, and takes nothing away.
    let lines = directory.path().join("out.jsonl");
    cli.ends(10, &["export", &id, "/none", "-o", lines.to_str().unwrap()]);
    let before = fs::read(&tar).unwrap();
    cli.ends(
        10,
        &["export", &id, "/none", "--force", "-o", tar.to_str().unwrap()],
    );
    assert_eq!(fs::read(&tar).unwrap(), before);
    let there = fs::read_dir(directory.path()).unwrap();
    let there: Vec<_> = there.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(there, std::slice::from_ref(&tar));
    let extracted = Command::new("tar")
        .arg("-xf")
        .arg(&tar)
        .current_dir(directory.path())
        .status();
    assert!(extracted.unwrap().success());
    let read = |path: &str| fs::read(directory.path().join(path)).unwrap();
    assert_eq!(read("%64ata/data"), b"d");
    assert_eq!(read("%64ata/%61cl.json/data"), b"clash");
    assert_eq!(read("evil%E2%80%AEname/data"), data);
    let facts: Value = serde_json::from_slice(&read("%64ata/acl.json")).unwrap();
    assert_eq!(
        (&facts["path"], &facts["acl"][0]["id"]),
        (&"/data".into(), &"anyone".into())
    );
}

/// Of each ensemble the identity that may do something there is known to a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_side_of_a_copy_has_its_own_identity() {
    let (from, to) = (server(), server());
    let (source, target) = (observer(&from).await, observer(&to).await);
    plant(&source, &[("/config", b"3")]).await;
    plant(&target, &[("/config", b"0")]).await;
    let only = |id: &str| vec![digest(zookeeper_async::Permission::ALL, id)];
    source.set_acl("/config", only(APP), None).await.unwrap();
    target.set_acl("/config", only(BOB), None).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = |user: &str| {
        let path = directory.path().join(format!("{user}.toml"));
        let text = format!("[zookeeper]\ndigest_username = \"{user}\"\ndigest_password = \"pw\"\n");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (app, bob) = (file("app"), file("bob"));
    let hosts = [&*from.address(), &*to.address()].map(str::to_owned);
    let ends = [
        "copy", "--root", "/config", "--yes", "--from", &hosts[0], "--to", &hosts[1],
    ];
    let (_, why) = Cli::alone().ends(1, &ends);
    assert!(why.contains("/config"), "{why}");
    // That of the other side is of no use.
    Cli::alone().ends(
        1,
        &[&ends[..], &["--from-config", &bob, "--to-config", &app]].concat(),
    );
    assert_eq!(target.get_data("/config", false).await.unwrap().0, b"0");
    Cli::alone().ok(&[&ends[..], &["--from-config", &app, "--to-config", &bob]].concat());
    assert_same(&dump(&source).await, &dump(&target).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_ensemble_is_copied_into_another() {
    let (from, to) = (server(), server());
    let (source, target) = (observer(&from).await, observer(&to).await);
    plant(
        &source,
        &[("/config", b"3"), ("/config/a", b"a"), ("/other", b"o")],
    )
    .await;
    plant(&target, &[("/config", b"0"), ("/stays", b"s")]).await;
    let cli = Cli::alone();
    let ends = ["copy", "--from", &from.address(), "--to", &to.address()];
    let (plan, why) = cli.ends(2, &[&ends[..], &["--root", "/config"]].concat());
    assert!(
        plan.contains("+ /config/a\n") && why.contains("--yes"),
        "{plan}\n{why}"
    );
    assert_eq!(target.get_data("/config", false).await.unwrap().0, b"0");
    cli.ok(&[&ends[..], &["--root", "/config", "--yes"]].concat());
    let part = dump(&target).await;
    assert_eq!(part["/config"].0, b"3");
    assert!(part.contains_key("/config/a") && part.contains_key("/stays") && !part.contains_key("/other"));
    cli.ok(&[&ends[..], &["--yes"]].concat());
    assert_same(&dump(&source).await, &dump(&target).await);
    cli.ends(2, &["copy", "--from", "zk1", "--to", "zk1"]);
    let files = cli.json(&["inspect", from.data_directory().to_str().unwrap(), "--state"]);
    assert!(files.iter().any(|line| line["path"] == "/config/a"));
}

/// An older snapshot, and the logs after it, lead to the same.
#[test]
fn a_damaged_snapshot_that_a_state_is_not_of_is_named() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/zk-snapshot/tests/golden/3.9.5");
    let directory = tempfile::tempdir().unwrap();
    for name in ["snapshot.0", "snapshot.8", "log.1", "log.9"] {
        let bytes = fs::read(golden.join(name)).unwrap();
        let whole = name != "snapshot.8";
        let kept = if whole { bytes.len() } else { bytes.len() / 2 };
        fs::write(directory.path().join(name), &bytes[..kept]).unwrap();
    }
    let cli = Cli::alone();
    let (state, told) = cli.ends(0, &["inspect", directory.path().to_str().unwrap(), "--state"]);
    assert!(state.starts_with("the state as of snapshot.18\n"), "{state}");
    assert!(told.contains("passed over: snapshot.8"), "{told}");
}

#[test]
fn a_state_that_is_not_the_servers_is_shown_and_told() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/zk-snapshot/tests/golden/3.9.5");
    let directory = tempfile::tempdir().unwrap();
    fs::copy(golden.join("snapshot.8"), directory.path().join("snapshot.8")).unwrap();
    let mut log = fs::read(golden.join("log.9")).unwrap();
    with_other_digests(&mut log);
    fs::write(directory.path().join("log.9"), log).unwrap();
    let cli = Cli::alone();
    let (state, told) = cli.ends(
        1,
        &["inspect", directory.path().to_str().unwrap(), "--state", "--json"],
    );
    assert!(lines(&state).iter().any(|line| line["path"] == "/"), "{state}");
    assert!(told.contains("the digest of the state differs"), "{told}");
}

#[test]
fn shells_and_manuals_are_written() {
    let cli = Cli::alone();
    for shell in ["bash", "zsh", "fish"] {
        assert!(cli.ok(&["completions", shell]).contains("restoretest"));
    }
    assert!(cli.ok(&["man"]).starts_with(".ie"));
    let pages = tempfile::tempdir().unwrap();
    cli.ok(&["man", "--out", pages.path().to_str().unwrap()]);
    assert!(pages.path().join("zk-backup-restore.1").exists());
}
