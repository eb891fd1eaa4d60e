//! Secrets and certificates that are others while the server runs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use zk_backup_testkit::{Daemon, USER};

use crate::common::daemons::daemon;
use crate::common::servers::server;

const PASSWORD: &str = "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD";
/// Of `password`, from the tests of argon2's reference implementation.
const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

fn hang_up(daemon: &Daemon) {
    let sent = Command::new("kill")
        .args(["-HUP", &daemon.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Asks until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_and_a_certificate_are_read_again_and_wrong_ones_left_alone() {
    let zookeeper = server();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let path = |name: &str| at(name).display().to_string();
    let certify = |to: &Path| {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(at("tls.crt"), pair.cert.pem()).unwrap();
        fs::write(at("tls.key"), pair.signing_key.serialize_pem()).unwrap();
        fs::write(to, pair.cert.pem()).unwrap();
    };
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

    // All stays as it was where one of them is wrong.
    fs::write(at(PASSWORD), "three").unwrap();
    fs::write(at("tls.key"), "no key").unwrap();
    hang_up(&daemon);
    daemon.wait_for_line("stay as they were").unwrap();
    until("health tells", || {
        asked("second.pem", "", "/health").1.contains("tls.key")
    });
    assert_eq!(
        [status("second.pem", "password"), status("second.pem", "three")],
        ["200", "401"]
    );
    certify(&at("third.pem"));
    fs::write(at(PASSWORD), "three").unwrap();
    hang_up(&daemon);
    until("they are right again", || status("third.pem", "three") == "200");
    assert!(!asked("third.pem", "", "/health").1.contains("stay as they were"));
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
    let status = |password: &str| {
        let output = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(["-u", &format!("{USER}:{password}")])
            .arg(format!("http://{}/listbackups", daemon.address))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let told = || daemon.http.get("/health").unwrap().text.contains(PASSWORD);
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
