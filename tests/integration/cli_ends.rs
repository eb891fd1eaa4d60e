//! How the command line ends: exit codes, interrupts, storages that are not free, certificates.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
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
    cli.ends(10, &["restore", "latest", "--dry-run"]);
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

    // What nobody may read makes a backup partial, unless that is allowed.
    let hidden = vec![zookeeper_async::Acl::new(
        zookeeper_async::Permission::ALL,
        "digest",
        closed().entries()[0].id.clone(),
    )];
    outside.set_acl("/secret", hidden, None).await.unwrap();
    let (_, why) = cli.ends(3, &["backup", "--wait"]);
    assert!(why.contains("is partial") && why.contains("/secret"), "{why}");
    assert!(cli.ok(&["ls"]).contains("partial"));
    let newest = |valid: &[&str]| cli.json(&[&["ls", "-n", "1"][..], valid].concat());
    let (any, valid) = (newest(&[]), newest(&["--valid"]));
    assert_eq!((any.len(), &any[0]["valid"]), (1, &false.into()));
    assert_eq!((valid.len(), &valid[0]["id"]), (1, &(*id).into()));
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
    alone.ok(&["backup", "--do-waiting"]);
    let valid = alone.json(&["ls", "--valid"]);
    assert!(
        valid.iter().any(|backup| backup["id"] == waiting.trim()),
        "{valid:?}"
    );
    let (_, why) = Cli::of_storage(&storage.path().join("none"), None).ends(2, &["ls"]);
    assert!(why.contains("is no directory"), "{why}");
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
    cli.ends(1, &["ls", "--ca", wrong.to_str().unwrap()]);
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
