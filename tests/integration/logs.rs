//! What the server's log tells, and where.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zk_backup_testkit::{PASSWORD, USER};

use crate::common::clients::observer;
use crate::common::daemons::{daemon, try_daemon};
use crate::common::servers::{nobody, server};
use crate::common::trees::plant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_the_story_of_a_job() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1")]).await;
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("EVICTION_POLICY", "9y/delete"),
        ("GRANULAR_EVICTION_POLICY", "8y/delete"),
        ("ZOOKEEPER_DRIVER", "batched"),
    ];
    let mut daemon = daemon(&zookeeper.address(), storage.path(), &settings);
    let (id, state) = daemon.do_job("/backup", r#"{"dbs": ["a"]}"#).unwrap();
    assert_eq!(state.status, 200);
    assert_eq!(daemon.http.get("/health").unwrap().status, 200);
    daemon.http.get(&format!("/listbackups/{id}")).unwrap();
    daemon
        .wait_for_line(&format!("GET /listbackups/{id} 200"))
        .unwrap();
    daemon.wait_for_line("knows us as").unwrap();

    let said = daemon.said();
    for line in said.lines() {
        let time = line.trim_start_matches('[').split(']').next().unwrap();
        assert!(OffsetDateTime::parse(time, &Rfc3339).is_ok(), "{line}");
    }
    let once = |what: &str| {
        let of: Vec<_> = said.lines().filter(|line| line.contains(what)).collect();
        assert_eq!(of.len(), 1, "{what} is told once: {said}");
        of[0]
    };
    let summary = once("; policies ");
    let told = zookeeper.four_letter("srvr").unwrap();
    let version = told.strip_prefix("Zookeeper version: ").unwrap();
    let version = version.split(['-', ',']).next().unwrap();
    for part in [
        &*format!("] zk-backup-daemon {}: ", env!("CARGO_PKG_VERSION")),
        &format!(": ZooKeeper {version} at {}, ", zookeeper.address()),
        "knows us as ip:127.0.0.1",
        "; driver batched, without TLS; ",
        &format!("; storage {}", storage.path().display()),
        "; schedule None; ",
        "; policies 9y/delete and 8y/delete for granular backups; ",
        "; served without TLS",
    ] {
        assert!(summary.contains(part), "{summary}");
    }
    let begun = once(&format!("job {id}: begins: "));
    assert!(
        begun.contains("by operator from 127.0.0.1") && begun.contains("\"/a\""),
        "{begun}"
    );
    let ended = once(&format!("job {id}: ended well, after "));
    assert!(
        ended.contains(" znodes, ") && ended.contains(" bytes stored"),
        "{ended}"
    );
    for poll in ["/jobstatus/", "/health"] {
        assert!(!said.contains(poll), "{poll} is asked again and again");
    }
}

/// Each line can be taken apart by itself, whoever writes it.
#[test]
fn every_line_is_json_where_that_is_asked_for() {
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("LOG_FORMAT", "json"),
        ("LOG_LEVEL", "DEBUG"),
        ("ZOOKEEPER_TIMEOUT", "1"),
    ];
    let mut daemon = daemon(&nobody(), storage.path(), &settings);
    let (id, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    daemon.wait_for_line("; policies ").unwrap();
    let said = daemon.said();
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    for line in &lines {
        assert!(
            OffsetDateTime::parse(&text(line, "time"), &Rfc3339).is_ok(),
            "{line}"
        );
        assert!(
            ["ERROR", "WARNING", "INFO", "DEBUG"].contains(&&*text(line, "level")),
            "{line}"
        );
        assert!(
            !text(line, "message").is_empty() && !text(line, "target").is_empty(),
            "{line}"
        );
        let fields = line.as_object().unwrap().len();
        assert_eq!(fields, 4 + usize::from(line["job"].is_string()), "{line}");
    }
    let of_job: Vec<_> = lines
        .iter()
        .filter(|line| line["job"] == *id)
        .map(|line| text(line, "message"))
        .collect();
    assert!(
        of_job.iter().any(|message| message.starts_with("begins: ")),
        "{said}"
    );
    let begins = format!("zk-backup-daemon {}: ", env!("CARGO_PKG_VERSION"));
    assert!(
        lines
            .iter()
            .any(|line| text(line, "message").starts_with(&begins)),
        "{said}"
    );
}

/// What ends the start is a line as all others.
#[test]
fn why_it_does_not_start_is_json_too_and_what_is_asked_again_and_again_is_no_story() {
    let storage = tempfile::tempdir().unwrap();
    let said = try_daemon(
        &nobody(),
        storage.path(),
        &[("LOG_FORMAT", "json"), ("EVICTION_POLICY", "x")],
    );
    let said = said.unwrap_err().to_string();
    let line: Value = serde_json::from_str(
        said.split_once('{')
            .map(|(_, rest)| format!("{{{rest}"))
            .unwrap()
            .trim(),
    )
    .unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["message"].as_str().unwrap().contains("EVICTION_POLICY"),
        "{line}"
    );

    let mut daemon = daemon(&nobody(), storage.path(), &[("ZOOKEEPER_TIMEOUT", "1")]);
    for path in ["/health/live", "/listbackups", "/jobs", "/metrics"] {
        assert_eq!(daemon.http.get(path).unwrap().status, 200);
    }
    let head = format!("http://{}/health/live", daemon.address);
    let head = std::process::Command::new("curl")
        .args(["-sSI", &head])
        .output()
        .unwrap();
    assert!(head.status.success());
    assert_eq!(daemon.http.get("/listbackups/latest").unwrap().status, 404);
    daemon.wait_for_line("/listbackups/latest").unwrap();
    let said = daemon.said();
    for asked in ["/health/live", "/metrics", "/jobs", "GET /listbackups 200"] {
        assert!(!said.contains(asked), "{asked} in {said}");
    }
}

/// Only servers that share their work hand requests on.
#[test]
fn nobody_says_of_himself_where_he_asks_from() {
    let storage = tempfile::tempdir().unwrap();
    let mut daemon = daemon(&nobody(), storage.path(), &[]);
    let output = Command::new("curl")
        .args(["-s", "-u", &format!("{USER}:{PASSWORD}"), "-X", "POST"])
        .args([
            "-H",
            "X-Zk-Backup-Handed-On: 1",
            "-H",
            "X-Zk-Backup-Client: 203.0.113.7",
        ])
        .arg(format!("http://{}/backup", daemon.address))
        .output()
        .unwrap();
    let id = String::from_utf8(output.stdout).unwrap();
    let begun = daemon.wait_for_line(&format!("job {id}: begins: ")).unwrap();
    assert!(begun.contains("by operator from 127.0.0.1:"), "{begun}");
    assert!(!begun.contains("203.0.113.7"), "{begun}");
}

#[test]
fn nothing_is_written_to_standard_output() {
    let storage = tempfile::tempdir().unwrap();
    let out = storage.path().join("out");
    let mut process = Command::new(env!("CARGO_BIN_EXE_daemon-under-test"))
        .env_clear()
        .env("PORT", "0")
        .env("ZOOKEEPER_HOST", nobody())
        .env("STORAGE", storage.path().join("storage"))
        .stdout(File::create(&out).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let listens = lines
        .map_while(Result::ok)
        .any(|line| line.contains(" listens on "));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(listens);
    assert_eq!(std::fs::read(&out).unwrap(), b"");
}
