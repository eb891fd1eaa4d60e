//! How the command line ends: exit codes, interrupts, storages that are not free, certificates.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zk_backup_testkit::Daemon;

use crate::common::buckets::left_out;
use crate::common::cli::Cli;
use crate::common::clients::{closed, observer};
use crate::common::daemons::daemon;
use crate::common::servers::{nobody, server};
use crate::common::trees::plant;

/// Waits until the server has written `what` into its log.
fn wait_for(daemon: &Daemon, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !daemon.said().contains(what) {
        assert!(Instant::now() < deadline, "{}", daemon.said());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_it_ends_says_what_happened() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/config", b"3"), ("/secret", b"s")]).await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);

    let (_, why) = cli.ends(10, &["show", "20200101T000000"]);
    assert!(why.contains("backup 20200101T000000 not found"), "{why}");
    assert_eq!(why.lines().count(), 1, "{why}");
    let (_, why) = cli.ends(10, &["restore", "latest", "--dry-run"]);
    assert!(why.contains("valid") && !why.contains(" ms"), "{why}");
    cli.ends(10, &["show", "latest"]);
    cli.ends(10, &["watch", "none"]);
    cli.ends(2, &["show"]);
    cli.ends(2, &["restore", "latest", "--rename", "/a"]);
    cli.ends(2, &["browse", "latest", "--password", "x"]);
    let (out, _) = cli.ends(0, &["--help"]);
    for line in ["ZK_BACKUP_PASSWORD_FILE", "12  credentials missing or wrong"] {
        assert!(out.contains(line), "{out}");
    }
    let id = cli.back_up(&[]);
    let (_, why) = cli.ends(10, &["browse", &id, "/none", "--json"]);
    let error: Value = serde_json::from_str(why.trim()).unwrap();
    assert_eq!(
        (&error["message_type"], &error["exit_code"]),
        (&"error".into(), &10.into())
    );
    assert_eq!(error["code"], "znode_not_found");

    for (password, told) in [
        ("wrong", "is wrong: check"),
        ("", "are needed: set ZK_BACKUP_USERNAME"),
    ] {
        let mut cli = Cli::of_server(&served).with("ZK_BACKUP_PASSWORD", password);
        if password.is_empty() {
            cli = cli.with("ZK_BACKUP_USERNAME", "");
        }
        let (_, why) = cli.ends(12, &["backup"]);
        assert!(why.contains(told), "{why}");
    }
    let (_, why) = Cli::of_server(&served)
        .with("ZK_BACKUP_URL", &format!("http://{}", nobody()))
        .ends(1, &["ls"]);
    assert!(why.contains("does the server run there?"), "{why}");

    // A disk that is full takes nothing: what is a line or less was held back until the end.
    for form in ["raw", "text"] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let args = ["browse", &id, "/config", "--as", form];
        let ended = cli.command(&args).stdout(full).output().unwrap();
        let why = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{form}: {why}");
        assert!(why.contains("No space left"), "{form}: {why}");
    }

    // What nobody may read makes a backup partial, unless that is allowed.
    let hidden = vec![zookeeper_async::Acl::new(
        zookeeper_async::Permission::ALL,
        "digest",
        closed().entries()[0].id.clone(),
    )];
    outside.set_acl("/secret", hidden, None).await.unwrap();
    let (_, why) = cli.ends(3, &["backup", "--wait"]);
    assert!(why.contains("is partial") && why.contains("/secret"), "{why}");
    let needed =
        "; ZooKeeper knows us as ip:127.0.0.1, and READ is needed there, with ADMIN where an ACL has digests";
    assert!(why.contains(needed), "{why}");
    assert!(cli.ok(&["ls"]).contains("partial"));
    let newest = |valid: &[&str]| cli.json(&[&["ls", "-n", "1"][..], valid].concat());
    let told = why.matches("partial: ").count();
    assert_eq!(told, 1, "{why}");
    let (any, valid) = (newest(&[]), newest(&["--valid"]));
    assert_eq!((any.len(), &any[0]["valid"]), (1, &false.into()));
    assert_eq!((valid.len(), &valid[0]["id"]), (1, &(*id).into()));
    let (told, _) = cli.ends(3, &["backup", "--wait", "--allow-partial"]);
    assert!(told.contains(", partial"), "{told}");
    let lines = storage.path().join("export.jsonl");
    cli.ends(3, &["export", "latest", "-o", lines.to_str().unwrap()]);
    cli.ok(&["export", &id, "-o", lines.to_str().unwrap(), "--force"]);
}

/// It is UP, and work cannot be done.
#[test]
fn a_status_with_problems_needs_attention() {
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&nobody(), storage.path(), &[("ZOOKEEPER_TIMEOUT", "1")]);
    let deadline = Instant::now() + Duration::from_secs(60);
    let health = loop {
        let health = served.http.get("/health").unwrap().json();
        if health["problems"].is_array() {
            break health;
        }
        assert!(Instant::now() < deadline, "{health}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(health["status"], "UP", "{health}");
    let (told, _) = Cli::of_server(&served).ends(3, &["status"]);
    assert!(told.contains("problem    ZooKeeper: "), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_subtrees_is_shown_from_where_it_begins() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(
        &outside,
        &[("/a", b""), ("/a/b", b"1"), ("/c", b""), ("/c/d", b"2")],
    )
    .await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);
    let id = cli.back_up(&["--root", "/a", "--root", "/c"]);
    assert_eq!(cli.ok(&["browse", &id]), "/a\n  b  (1 B)\n/c\n  d  (1 B)\n");
    let paths = |lines: Vec<Value>| -> Vec<String> {
        let path = |line: &Value| line["path"].as_str().unwrap().to_owned();
        lines.iter().map(path).collect()
    };
    let exported = cli.json(&["export", &id, "-o", "-"]);
    assert_eq!(paths(exported), ["/a", "/a/b", "/c", "/c/d"]);
    let archive = storage.path().join("export.tar");
    let told = cli.ok(&["export", &id, "-o", archive.to_str().unwrap()]);
    assert!(told.contains("4 znodes"), "{told}");
    cli.ends(10, &["browse", &id, "/"]);
    for (path, paths) in [(None, json!(["/a", "/c"])), (Some("/a"), json!(["/a"]))] {
        let of: Vec<_> = path.into_iter().collect();
        let to = ["export", &id, "-o", archive.to_str().unwrap(), "--force"];
        let told = cli.json(&[&to[..], &of[..]].concat());
        assert_eq!((&told[0]["paths"], told[0]["path"].as_str()), (&paths, path));
    }
    // What is above a subtree is no slip of the pen, nor is the subtree.
    let [below, later] = [(); 2].map(|()| cli.back_up(&["--root", "/a/b"]));
    for path in ["/a", "/a/b"] {
        let same = cli.ok(&["diff", &below, &later, "--path", path, "--exit-code"]);
        let of = format!("from {below} (of /a/b) to {later}\n");
        assert!(same.starts_with(&format!("{of}in all: ")), "{same}");
    }
    cli.ends(10, &["diff", &below, &later, "--path", "/c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_is_no_restore_and_what_comes_first_is_named_last() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b""), ("/a/b", b"1")]).await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);
    let id = cli.back_up(&[]);
    outside.set_data("/a/b", b"2".to_vec(), None).await.unwrap();
    cli.ok(&["restore", &id, "--root", "/a", "--dry-run"]);
    let jobs = cli.ok(&["jobs"]);
    assert!(jobs.contains("dry run") && !jobs.contains("restore"), "{jobs}");
    assert!(jobs.contains("/a"), "{jobs}");

    let told = cli.ok(&["restore", &id, "--root", "/a", "--yes"]);
    let lines: Vec<_> = told.lines().rev().collect();
    assert!(
        lines[0].starts_with("restored from") && lines[1].starts_with("what was there before is backup "),
        "{told}"
    );
    let listed = cli.ok(&["ls"]);
    assert!(
        listed.contains(&format!("/a (before a restore of {id})")),
        "{listed}"
    );
    let verified = cli.ok(&["verify", &id]);
    assert!(verified.starts_with("1 backups gone through, "), "{verified}");
    for command in ["pin", "unpin", "evict"] {
        let (_, why) = cli.ends(2, &[command, "latest"]);
        assert!(why.contains("name the id"), "{why}");
    }
    let pages = storage.path().join("share/man");
    cli.ok(&["man", "--out", pages.to_str().unwrap()]);
    assert!(pages.join("zk-backup.1").exists());
}

#[test]
fn whoever_interrupts_is_told_what_goes_on() {
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(
        &nobody(),
        storage.path(),
        &[("ZOOKEEPER_TIMEOUT", "60"), ("LOG_LEVEL", "DEBUG")],
    );
    let mut command = Cli::of_server(&served).command(&["backup", "--wait"]);
    let process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&served, "GET /jobstatus/");
    let number = process.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &number])
            .status()
            .unwrap()
            .success()
    );
    let output = process.wait_with_output().unwrap();
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{why}");
    assert!(why.contains("the job goes on: `zk-backup watch 2"), "{why}");
}

/// A server that is gone has left jobs: nobody does them without being told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_a_storage_is_not_done_unasked() {
    if left_out("without a server the command line works on a directory") {
        return;
    }
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let mut served = daemon(&nobody(), storage.path(), &[("ZOOKEEPER_TIMEOUT", "60")]);
    let cli = Cli::of_server(&served);
    cli.ok(&["backup"]);
    let waiting = cli.ok(&["backup"]);
    served.kill();
    let alone = Cli::of_storage(storage.path(), Some(&zookeeper.address()));
    alone.ok(&["ls"]);
    let (_, why) = alone.ends(11, &["backup"]);
    assert!(
        why.contains("jobs of the server wait") && why.contains("--do-waiting"),
        "{why}"
    );
    // Which ensemble the server had is not known.
    let nowhere = Cli::of_storage(storage.path(), None);
    let (_, why) = nowhere.ends(2, &["pin", waiting.trim(), "--do-waiting"]);
    assert!(why.contains("--zookeeper"), "{why}");
    // It is done before the command, which needs it.
    let (told, why) = alone.ends(0, &["pin", waiting.trim(), "--do-waiting"]);
    assert!(told.contains("is pinned"), "{told}");
    let ended = format!("backup {}, which waited, has ended: successful\n", waiting.trim());
    assert!(why.contains(&ended), "{why}");
    alone.ok(&["backup", "--do-waiting"]);
    let valid = alone.json(&["ls", "--valid"]);
    assert!(
        valid.iter().any(|backup| backup["id"] == waiting.trim()),
        "{valid:?}"
    );
    let (_, why) = Cli::of_storage(&storage.path().join("none"), None).ends(2, &["ls"]);
    assert!(why.contains("is no directory"), "{why}");
}

/// Who makes room, on a full disk for example, needs no job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_evicted_though_the_job_database_cannot_be_used() {
    if left_out("without a server the command line works on a directory") {
        return;
    }
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let id = Cli::of_server(&served).back_up(&[]);
    drop(served);
    for file in ["jobs.db", "jobs.db-wal", "jobs.db-shm"] {
        let _ = fs::remove_file(storage.path().join(file));
    }
    fs::create_dir(storage.path().join("jobs.db")).unwrap();
    let alone = Cli::of_storage(storage.path(), None);
    let (_, why) = alone.ends(1, &["pin", &id]);
    assert!(why.contains("jobs.db is a link, or no file"), "{why}");
    let (out, why) = alone.ends(0, &["evict", &id]);
    assert!(out.contains("is removed"), "{out}");
    assert!(
        why.contains("jobs are not known") && why.contains("jobs.db is a link"),
        "{why}"
    );
    assert!(!storage.path().join(&id).exists());
}

#[test]
fn a_server_is_trusted_by_its_authority_alone() {
    let (storage, certs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = [
        ("TLS_ENABLED", "true"),
        ("TLS_PORT", "0"),
        ("CERTS_PATH", certs.path().to_str().unwrap()),
    ];
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (ca, wrong) = (certs.path().join("tls.crt"), certs.path().join("other.crt"));
    fs::write(&ca, pair.cert.pem()).unwrap();
    fs::write(&wrong, other.cert.pem()).unwrap();
    fs::write(certs.path().join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
    let served = daemon(&nobody(), storage.path(), &settings);
    let port = served.address.rsplit(':').next().unwrap();
    let cli = Cli::of_server(&served).with("ZK_BACKUP_URL", &format!("https://localhost:{port}"));
    assert_eq!(cli.ok(&["ls", "--ca", ca.to_str().unwrap()]), "no backups\n");
    let (_, why) = cli.ends(1, &["ls", "--ca", wrong.to_str().unwrap()]);
    assert!(
        why.contains("--ca") && !why.contains("does the server run"),
        "{why}"
    );
    // No other authority makes it a certificate of this name.
    let elsewhere = format!("https://127.0.0.1:{port}");
    let (_, why) = cli.ends(1, &["ls", "--url", &elsewhere, "--ca", ca.to_str().unwrap()]);
    assert!(
        why.contains("of another name: --url") && !why.contains("--ca"),
        "{why}"
    );
    // It will not be another one later.
    let (_, why) = cli.ends(1, &["watch", "none", "--ca", wrong.to_str().unwrap()]);
    assert!(
        why.contains("--ca") && !why.contains("the job may go on"),
        "{why}"
    );
    cli.ends(2, &["ls", "--ca", "/none"]);

    // The same by a profile, whose credentials are no other's.
    let config = certs.path().join("config.toml");
    let profile = format!(
        "[profiles.prod]\nurl = 'https://localhost:{port}'\nusername = 'operator'\npassword = 'wrong'\nca = '{}'\n",
        ca.display()
    );
    fs::write(&config, profile).unwrap();
    let file = ["--config", config.to_str().unwrap(), "--profile", "prod"];
    let (_, why) = cli.ends(2, &[&file[..], &["ls"]].concat());
    assert!(why.contains("chmod 600"), "{why}");
    assert!(
        Command::new("chmod")
            .arg("600")
            .arg(&config)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(cli.ok(&[&file[..], &["ls"]].concat()), "no backups\n");
    cli.ends(12, &[&file[..], &["evict"]].concat());
}
