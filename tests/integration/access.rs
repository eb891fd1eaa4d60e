//! Who may do what, and what must never be printed.

use std::process::Command;
use std::time::Instant;

use zk_backup_testkit::{Http, PASSWORD, USER};

use crate::common::daemons::{daemon, try_daemon};
use crate::common::servers::{nobody, server};

const CHANGES: [&str; 4] = ["/backup", "/restore", "/evict", "/evict/20190321T080000"];
const READS: [&str; 3] = [
    "/listbackups",
    "/listbackups/20190321T080000",
    "/jobstatus/20190321T080000",
];
const HEALTH: [&str; 5] = [
    "/health",
    "/health/live",
    "/health/ready",
    "/health/prometheus",
    "/metrics",
];

#[test]
fn what_changes_anything_needs_the_credentials() {
    let storage = tempfile::tempdir().unwrap();
    let mut daemon = daemon(&nobody(), storage.path(), &[]);
    let stranger = Http::new(&daemon.address);
    let wrong = [
        stranger.clone(),
        stranger.clone().with_credentials(USER, "wrong"),
        stranger.clone().with_credentials("wrong", PASSWORD),
        stranger.clone().with_credentials(USER, ""),
        stranger.with_credentials(USER, &PASSWORD[1..]),
    ];
    for (number, client) in wrong.iter().enumerate() {
        let told = match number {
            0 => "user name and password are needed",
            _ => "user name or password is wrong",
        };
        for path in CHANGES {
            for method in ["POST", "DELETE", "PUT", "PATCH"] {
                let answer = client.send(method, path, "").unwrap();
                assert_eq!(answer.status, 401, "{method} {path}");
                assert!(
                    answer.header("www-authenticate").starts_with("Basic"),
                    "{method} {path}"
                );
                assert_eq!(answer.json()["status"], "Failed");
                assert_eq!(answer.json()["code"], "unauthorized");
                let message = answer.json()["message"].as_str().unwrap().to_owned();
                assert_eq!(message, told, "{method} {path}");
            }
        }
        // Reads are open; credentials that nobody asked for are ignored.
        for path in READS.iter().chain(&HEALTH) {
            assert_ne!(client.get(path).unwrap().status, 401, "{path}");
        }
    }
    assert_eq!(
        daemon.http.get("/listbackups").unwrap().text,
        "[]",
        "nothing was done"
    );
    let begun = Instant::now();
    assert_eq!(wrong[1].post("/evict", "").unwrap().status, 401);
    assert!(
        begun.elapsed().as_millis() >= 100,
        "repeated failures are slowed down"
    );
    assert_eq!(daemon.http.post("/evict", "").unwrap().status, 200);
    daemon.wait_for_line("wrong credentials from 127.0.0.1").unwrap();
}

#[test]
fn reads_can_be_closed_but_health_stays_open() {
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(
        &nobody(),
        storage.path(),
        &[("BACKUP_DAEMON_PROTECT_READS", "true")],
    );
    let stranger = daemon.http.clone().without_credentials();
    for path in READS {
        assert_eq!(stranger.get(path).unwrap().status, 401, "{path}");
        assert_ne!(daemon.http.get(path).unwrap().status, 401, "{path}");
    }
    for path in HEALTH {
        assert_ne!(stranger.get(path).unwrap().status, 401, "{path}");
    }
}

#[test]
fn a_start_that_would_be_open_to_everybody_is_refused() {
    let storage = tempfile::tempdir().unwrap();
    let open = [
        ("BROADCAST_ADDRESS", "0.0.0.0"),
        ("BACKUP_DAEMON_API_CREDENTIALS_USERNAME", ""),
        ("BACKUP_DAEMON_API_CREDENTIALS_PASSWORD", ""),
    ];
    let refused = try_daemon(&nobody(), storage.path(), &open)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("BACKUP_DAEMON_ALLOW_ANONYMOUS"), "{refused}");
    let local = [&open[1..], &[("BROADCAST_ADDRESS", "")]].concat();
    let mut daemon = daemon(&nobody(), storage.path(), &local);
    assert!(daemon.address.starts_with("127.0.0.1:"));
    daemon.wait_for_line("no credentials are set").unwrap();
    let anyone = daemon.http.clone().without_credentials();
    assert_eq!(anyone.post("/evict", "").unwrap().status, 200);
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_named_and_never_its_value() {
    let storage = tempfile::tempdir().unwrap();
    let nearly = ("ZOOKEEPER_DIGEST_PASWORD", "canary-misspelt");
    let told = "ZOOKEEPER_DIGEST_PASWORD is no setting and does nothing: is ZOOKEEPER_DIGEST_PASSWORD meant?";
    let mut started = daemon(&nobody(), storage.path(), &[nearly]);
    started.wait_for_line(told).unwrap();
    assert!(!started.said().contains(nearly.1));
    drop(started);
    // Where it is why another one is missing.
    let user = ("ZOOKEEPER_DIGEST_USERNAME", "u");
    let refused = try_daemon(&nobody(), storage.path(), &[user, nearly]).unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("one is given without the other") && refused.contains(told),
        "{refused}"
    );
    assert!(!refused.contains(nearly.1));
    // A file is named likewise.
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join(nearly.0), nearly.1).unwrap();
    let directory = ("BACKUP_DAEMON_SECRETS_DIR", secrets.path().to_str().unwrap());
    let refused = try_daemon(&nobody(), storage.path(), &[user, directory]).unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("ZOOKEEPER_DIGEST_PASWORD in BACKUP_DAEMON_SECRETS_DIR is no secret"),
        "{refused}"
    );
    assert!(!refused.contains(nearly.1));
}

#[test]
fn a_secret_file_wins_over_the_variable() {
    let (storage, secrets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = secrets.path().join("BACKUP_DAEMON_API_CREDENTIALS_PASSWORD");
    std::fs::write(file, "from a file\n").unwrap();
    let directory = secrets.path().to_str().unwrap();
    let daemon = daemon(
        &nobody(),
        storage.path(),
        &[("BACKUP_DAEMON_SECRETS_DIR", directory)],
    );
    assert_eq!(daemon.http.post("/evict", "").unwrap().status, 401);
    let client = daemon.http.clone().with_credentials(USER, "from a file");
    assert_eq!(client.post("/evict", "").unwrap().status, 200);
}

#[test]
fn settings_that_cannot_be_used_stop_the_start() {
    let storage = tempfile::tempdir().unwrap();
    for (name, value, part) in [
        ("EVICTION_POLICY", "0/1d,7x/delete", "at character"),
        ("GRANULAR_EVICTION_POLICY", "0/0d", "GRANULAR_EVICTION_POLICY"),
        ("BACKUP_SCHEDULE", "every day", "BACKUP_SCHEDULE"),
        ("PORT", "eighty", "PORT=eighty"),
        ("ZOOKEEPER_TIMEOUT", "-1", "ZOOKEEPER_TIMEOUT=-1"),
        ("LOG_LEVEL", "loud", "DEBUG"),
        ("RESTORE_TIMEOUT", "31536001", "RESTORE_TIMEOUT=31536001"),
        (
            "ZOOKEEPER_ADMIN_URL",
            "http://ann:secret@zk:8080",
            "credentials in it",
        ),
    ] {
        let refused = try_daemon(&nobody(), storage.path(), &[(name, value)])
            .unwrap_err()
            .to_string();
        assert!(refused.contains(part), "{name}: {refused}");
    }
    let settings = [
        ("ZOOKEEPER_ADMIN_URL", "http://zk:8080"),
        ("ZOOKEEPER_ADMIN_AUTHORIZATION", "digest jörg:canary"),
    ];
    let refused = try_daemon(&nobody(), storage.path(), &settings)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("ZOOKEEPER_ADMIN_AUTHORIZATION: "), "{refused}");
    assert!(!refused.contains("canary"), "{refused}");
}

/// Whatever happens, no secret is in a log line, an answer, `--help`, or the arguments of the process.
#[test]
fn secrets_are_never_printed() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("LOG_LEVEL", "DEBUG"),
        ("ZOOKEEPER_DIGEST_USERNAME", "backup"),
        ("ZOOKEEPER_DIGEST_PASSWORD", "canary-zookeeper-password"),
    ];
    let daemon = daemon(&zookeeper.address(), storage.path(), &settings);
    let mut said = String::new();
    let (id, _) = daemon.do_job("/backup", "").unwrap();
    let restore = format!("{{\"vault\": \"{id}\"}}");
    said += &daemon.do_job("/restore", &restore).unwrap().1.text;
    said += &daemon.do_job("/backup", r#"{"dbs": ["gone"]}"#).unwrap().1.text;
    let wrong = daemon.http.clone().with_credentials(USER, "canary-typed-wrong");
    said += &wrong.post("/backup?canary-query=1", "").unwrap().text;
    said += &daemon.http.post("/backup", "{\"canary").unwrap().text;
    for path in READS.iter().chain(&HEALTH) {
        said += &daemon.http.get(path).unwrap().text;
    }
    said += &String::from_utf8_lossy(&std::fs::read(format!("/proc/{}/cmdline", daemon.id())).unwrap());
    let help = Command::new(env!("CARGO_BIN_EXE_daemon-under-test"))
        .arg("--help")
        .env("BACKUP_DAEMON_API_CREDENTIALS_PASSWORD", "canary-help")
        .env("ZOOKEEPER_DIGEST_PASSWORD", "canary-help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(
        help.contains("--eviction-policy") && help.contains("ZOOKEEPER_HOST"),
        "{help}"
    );
    said += &help;
    said += &daemon.said();
    assert!(said.contains("/jobstatus/"), "the log was searched");
    let found = said.find("canary").map(|at| &said[at.saturating_sub(80)..]);
    assert!(found.is_none(), "{found:?}");
}

/// HTTPS with the certificate of `CERTS_PATH`, seen by a client that trusts only that one; no plain HTTP beside it.
#[test]
fn tls_is_served_where_it_is_turned_on() {
    let (storage, certs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = [
        ("TLS_ENABLED", "true"),
        ("TLS_PORT", "0"),
        ("CERTS_PATH", certs.path().to_str().unwrap()),
    ];
    let refused = try_daemon(&nobody(), storage.path(), &settings)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("tls.crt"), "{refused}");

    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(certs.path().join("tls.crt"), pair.cert.pem()).unwrap();
    std::fs::write(certs.path().join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
    let daemon = daemon(&nobody(), storage.path(), &settings);
    let port = daemon.address.rsplit(':').next().unwrap();
    let output = Command::new("curl")
        .args(["-sS", "--cacert"])
        .arg(certs.path().join("tls.crt"))
        .args(["-u", &format!("{USER}:{PASSWORD}"), "-X", "POST"])
        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
        .arg(format!("https://localhost:{port}/evict"))
        .output()
        .expect("curl must be installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "\"Ok\"", "{said}");
    let plain = daemon.http.get("/health/live");
    assert!(
        !plain.is_ok_and(|answer| answer.status == 200),
        "plain HTTP must not be served"
    );
}
