//! What the server's log tells, and where.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::common::clients::observer;
use crate::common::daemons::daemon;
use crate::common::servers::{nobody, server};
use crate::common::trees::plant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_the_story_of_a_job() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1")]).await;
    let storage = tempfile::tempdir().unwrap();
    let mut daemon = daemon(&zookeeper.address(), storage.path(), &[("LOG_FORMAT", "json")]);
    let (id, state) = daemon.do_job("/backup", r#"{"dbs": ["a"]}"#).unwrap();
    assert_eq!(state.status, 200);
    assert_eq!(daemon.http.get("/health").unwrap().status, 200);
    daemon.http.get("/listbackups").unwrap();
    daemon.wait_for_line("GET /listbackups 200").unwrap();
    daemon.wait_for_line("knows us as").unwrap();

    let lines: Vec<Value> = daemon
        .said()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        assert!(OffsetDateTime::parse(line["time"].as_str().unwrap(), &Rfc3339).is_ok(), "{line}");
    }
    let said = |what: &str| {
        let mut of = lines.iter().filter(|line| line["message"].as_str().unwrap().contains(what));
        let found = of.next().unwrap_or_else(|| panic!("{what}: {lines:#?}"));
        assert_eq!(of.next(), None, "{what} is told once");
        found.clone()
    };
    let summary = said("; policies ");
    let summary = summary["message"].as_str().unwrap();
    for part in [&*zookeeper.address(), "knows us as ip:127.0.0.1", "schedule None", "without TLS"] {
        assert!(summary.contains(part), "{summary}");
    }
    let begun = said("begins: ");
    assert_eq!(begun["job"], *id, "{begun}");
    let words = begun["message"].as_str().unwrap();
    assert!(words.contains("by operator from 127.0.0.1") && words.contains("\"/a\""), "{words}");
    let ended = said("ended well, after ");
    assert_eq!(ended["job"], *id, "{ended}");
    assert!(ended["message"].as_str().unwrap().contains(": 1 znodes, 1 bytes of data, "), "{ended}");
    for poll in ["/jobstatus/", "/health"] {
        assert!(!daemon.said().contains(poll), "{poll} is asked again and again");
    }
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
    let listens = lines.map_while(Result::ok).any(|line| line.contains(" listens on "));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(listens);
    assert_eq!(std::fs::read(&out).unwrap(), b"");
}
