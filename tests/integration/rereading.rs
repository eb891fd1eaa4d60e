//! Secrets and certificates that are others while the server runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use zk_backup_testkit::{Daemon, Distribution, Setup, USER, ZooKeeper};

use crate::common::buckets::in_bucket;
use crate::common::daemons::{back_up, daemon, hang_up, until};
use crate::common::servers::{nobody, server};
use crate::common::tls::{certificate_files, certificates, with_tls};

const PASSWORD: &str = "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD";
/// What looks like a certificate and is none.
const UNREADABLE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
/// Of `password`, from the tests of argon2's reference implementation.
const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

/// The status that a user with `password` is answered.
fn status_with(daemon: &Daemon, password: &str) -> String {
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}"])
        .args(["-u", &format!("{USER}:{password}")])
        .arg(format!("http://{}/listbackups", daemon.address))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Whether health tells of `what`.
fn is_told(daemon: &Daemon, what: &str) -> bool {
    daemon.http.get("/health").unwrap().text.contains(what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_and_a_certificate_are_read_again_and_wrong_ones_left_alone() {
    let zookeeper = server();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let path = |name: &str| at(name).display().to_string();
    let certify_with = |to: &Path, more: &str| {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(at("tls.crt"), pair.cert.pem() + more).unwrap();
        fs::write(at("tls.key"), pair.signing_key.serialize_pem()).unwrap();
        fs::write(to, pair.cert.pem()).unwrap();
    };
    let certify = |to: &Path| certify_with(to, "");
    certify(&at("first.pem"));
    fs::write(at(PASSWORD), "one").unwrap();
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("BACKUP_DAEMON_SECRETS_DIR", &*path("")),
        ("TLS_ENABLED", "true"),
        ("TLS_PORT", "0"),
        ("CERTS_PATH", &path("")),
        ("BACKUP_DAEMON_PROTECT_READS", "true"),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut daemon = daemon(&zookeeper.address(), storage.path(), &settings);
    let port = daemon.address.rsplit(':').next().unwrap().to_owned();
    let asked = |ca: &str, password: &str, path: &str| -> (String, String) {
        let output = Command::new("curl")
            .args([
                "-s",
                "--cacert",
                &at(ca).display().to_string(),
                "-u",
                &format!("{USER}:{password}"),
            ])
            .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
            .args(["-w", "\n%{http_code}", &format!("https://localhost:{port}{path}")])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    };
    let status = |ca: &str, password: &str| asked(ca, password, "/listbackups").0;
    assert_eq!(
        [status("first.pem", "one"), status("first.pem", "password")],
        ["200", "401"]
    );

    // It ended the server before.
    fs::write(at(PASSWORD), HASH).unwrap();
    certify(&at("second.pem"));
    hang_up(&daemon);
    until("the new ones are in use", || {
        status("second.pem", "password") == "200"
    });
    assert_eq!(status("second.pem", "one"), "401");
    assert_eq!(status("second.pem", HASH), "401", "the hash itself opens nothing");
    assert_eq!(
        status("first.pem", "password"),
        "000",
        "the first certificate is shown no more"
    );

    // All stays as it was where one of them is wrong. That comes first, as the files are also read without being asked.
    fs::write(at("tls.key"), "no key").unwrap();
    fs::write(at(PASSWORD), "three").unwrap();
    hang_up(&daemon);
    daemon.wait_for_line("stay as they were").unwrap();
    until("health tells", || {
        asked("second.pem", "", "/health").1.contains("tls.key")
    });
    assert_eq!(
        [status("second.pem", "password"), status("second.pem", "three")],
        ["200", "401"]
    );
    // Who is woken by a metric sees it, too.
    let metrics = asked("second.pem", "password", "/metrics").1;
    assert!(metrics.contains("\nbackup_daemon_status 0\n"), "{metrics}");
    // Clients refuse a chain of which they cannot read one. It comes before its key: at no moment is there what could be used.
    certify_with(&at("third.pem"), UNREADABLE);
    hang_up(&daemon);
    until("health tells of the chain", || {
        asked("second.pem", "", "/health")
            .1
            .contains("tls.crt: certificate 2: ")
    });
    assert_eq!(status("second.pem", "password"), "200");
    fs::copy(at("third.pem"), at("tls.crt")).unwrap();
    hang_up(&daemon);
    until("they are right again", || status("third.pem", "three") == "200");
    until("health tells nothing more", || {
        let (status, health) = asked("third.pem", "", "/health");
        status == "200" && !health.contains("tls.key")
    });
    let metrics = asked("third.pem", "three", "/metrics").1;
    assert!(metrics.contains("\nbackup_daemon_status 1\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_whose_file_is_gone_or_empty_brings_back_no_other_one() {
    let zookeeper = server();
    let [secrets, storage] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (file, half) = (secrets.path().join(PASSWORD), secrets.path().join("half"));
    let write = |text: &str| {
        fs::write(&half, text).unwrap();
        fs::rename(&half, &file).unwrap();
    };
    write("one");
    // The environment has another one, which was rotated away.
    let settings = [
        ("BACKUP_DAEMON_SECRETS_DIR", secrets.path().to_str().unwrap()),
        (PASSWORD, "old"),
        ("BACKUP_DAEMON_PROTECT_READS", "true"),
    ];
    let daemon = daemon(&zookeeper.address(), storage.path(), &settings);
    let status = |password: &str| status_with(&daemon, password);
    let told = || is_told(&daemon, PASSWORD);
    for (last, next) in [("one", None), ("two", Some(""))] {
        match next {
            None => fs::remove_file(&file).unwrap(),
            Some(text) => write(text),
        }
        hang_up(&daemon);
        until("health tells", told);
        assert_eq!([status(last), status("old"), status("")], ["200", "401", "401"]);
        write("two");
        hang_up(&daemon);
        until("it is back", || status("two") == "200");
        until("health tells nothing", || !told());
    }
}

#[test]
fn certificates_for_zookeeper_that_cannot_be_used_leave_the_good_ones_in_use() {
    let (ours, others) = (certificates(), certificate_files(&certificates(), true));
    let setup = with_tls(Setup::default(), &ours);
    let (_server, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let (files, storage) = (certificate_files(&ours, true), tempfile::tempdir().unwrap());
    let settings = [
        ("ZOOKEEPER_DRIVER", "auto"),
        ("ZOOKEEPER_ENABLE_SSL", "true"),
        ("ZOOKEEPER_TLS_PATH", files.path().to_str().unwrap()),
    ];
    let daemon = daemon(&format!("localhost:{port}"), storage.path(), &settings);
    back_up(&daemon, "");
    let read = |from: &tempfile::TempDir, name: &str| fs::read_to_string(from.path().join(name)).unwrap();
    let certificate = read(&files, "tls.crt");
    for (name, bad, why) in [
        ("tls.key", "junk", "tls.key: "),
        (
            "tls.key",
            &*read(&others, "tls.key"),
            "tls.key: it is not that of the certificate",
        ),
        ("tls.crt", &certificate[..certificate.len() / 2], "tls.crt: "),
        (
            "tls.crt",
            &format!("{certificate}{UNREADABLE}"),
            "tls.crt: certificate 2: ",
        ),
        ("ca.crt", UNREADABLE, "ca.crt: certificate 1: "),
        ("ca.crt", "hello", "ca.crt: it holds no certificates"),
    ] {
        let good = read(&files, name);
        fs::write(files.path().join(name), bad).unwrap();
        hang_up(&daemon);
        until(why, || is_told(&daemon, why));
        back_up(&daemon, "");
        fs::write(files.path().join(name), good).unwrap();
        hang_up(&daemon);
        until("it is right again", || !is_told(&daemon, "stay as they were"));
    }
    for name in ["tls.crt", "tls.key"] {
        fs::rename(files.path().join(name), files.path().join(format!("{name}.away"))).unwrap();
    }
    hang_up(&daemon);
    until("both are gone", || {
        is_told(
            &daemon,
            "there are no tls.crt and tls.key in ZOOKEEPER_TLS_PATH any more",
        )
    });
    back_up(&daemon, "");
    assert!(!daemon.said().contains("panicked"), "{}", daemon.said());
}

#[test]
fn what_changes_while_the_server_starts_is_put_to_use() {
    let [secrets, storage] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let file = secrets.path().join(PASSWORD);
    fs::write(&file, "one").unwrap();
    // A bucket that is asked once settings are read, and does not answer.
    let bucket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", bucket.local_addr().unwrap());
    let changing = std::thread::spawn(move || {
        let asked = bucket.accept().unwrap();
        fs::write(&file, "another").unwrap();
        drop((asked, bucket));
    });
    let directory = [("BACKUP_DAEMON_SECRETS_DIR", secrets.path().to_str().unwrap())];
    let protected = [("BACKUP_DAEMON_PROTECT_READS", "true")];
    let settings = [&in_bucket(&url, "zk")[..], &directory, &protected].concat();
    let daemon = daemon(&nobody(), storage.path(), &settings);
    changing.join().unwrap();
    until("the new one is in use", || {
        status_with(&daemon, "another") != "401"
    });
    assert_eq!(status_with(&daemon, "one"), "401");
}

#[test]
fn a_file_that_does_not_answer_is_told_and_keeps_no_later_reading_from_it() {
    let [secrets, storage] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let file = secrets.path().join(PASSWORD);
    fs::write(&file, "one").unwrap();
    let settings = [
        ("BACKUP_DAEMON_SECRETS_DIR", secrets.path().to_str().unwrap()),
        ("BACKUP_DAEMON_PROTECT_READS", "true"),
    ];
    let daemon = daemon(&nobody(), storage.path(), &settings);
    let status = |password: &str| status_with(&daemon, password);
    // Nobody writes into this pipe.
    fs::remove_file(&file).unwrap();
    let made = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    hang_up(&daemon);
    until("health tells", || {
        is_told(&daemon, "could not be read within 10s")
    });
    assert_eq!([status("one"), status("")], ["200", "401"]);
    fs::remove_file(&file).unwrap();
    fs::write(&file, "two").unwrap();
    hang_up(&daemon);
    until("it is read", || status("two") == "200");
    until("health tells nothing", || !is_told(&daemon, "stay as they were"));
}
