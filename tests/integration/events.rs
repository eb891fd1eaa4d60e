//! `GET /events`, and the command line that listens to it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zk_backup_testkit::{Daemon, PASSWORD, USER};

use crate::common::daemons::daemon;
use crate::common::servers::{nobody, server};

/// Somebody who listens: names and data of events as they come.
struct Listener {
    answer: BufReader<TcpStream>,
}

impl Listener {
    fn new(daemon: &Daemon) -> Self {
        Self::admitted(daemon).unwrap()
    }

    /// `None` where there are too many: that one has left is seen with the next beat.
    fn admitted(daemon: &Daemon) -> Option<Self> {
        let mut socket = TcpStream::connect(&daemon.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // `operator` with its password.
        let request = "GET /events HTTP/1.0\r\nHost: x\r\nAuthorization: Basic b3BlcmF0b3I6Y2FuYXJ5LWFwaS1wYXNzd29yZA==\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        let mut listener = Self {
            answer: BufReader::new(socket),
        };
        let status = listener.line().unwrap();
        if status.contains(" 503 ") {
            return None;
        }
        assert!(status.contains(" 200 "), "{status}");
        while listener.line().unwrap() != "" {}
        Some(listener)
    }

    /// Without its end; `None` once the server has closed.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.answer.read_line(&mut line).unwrap();
        (length > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event, or comment.
    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let line = self.line()?;
            if line.starts_with(':') {
                return Some((line, Value::Null));
            }
            if let Some(name) = line.strip_prefix("event: ") {
                let data = self.line()?;
                let data = data.strip_prefix("data: ").unwrap().to_owned();
                return Some((name.to_owned(), serde_json::from_str(&data).unwrap()));
            }
        }
    }

    /// The next that is like this, within a minute: as long as the server is there, something always comes.
    fn next_that(&mut self, is_it: impl Fn(&str, &Value) -> bool) -> (String, Value) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let (name, data) = self.next().unwrap();
            if is_it(&name, &data) {
                return (name, data);
            }
            assert!(Instant::now() < until, "what was waited for has not come");
        }
    }

    fn next_of_jobs(&mut self) -> (String, Value) {
        self.next_that(|name, _| name.starts_with("job."))
    }
}

/// A job that does not end before `go` is there.
fn held(go: &std::path::Path) -> String {
    json!([
        "/bin/sh",
        "-c",
        format!("until test -e {}; do sleep 0.05; done", go.display())
    ])
    .to_string()
}

#[test]
fn jobs_and_health_are_told_as_they_change_to_a_few_who_may_look() {
    let mut zookeeper = server();
    let (storage, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let go = place.path().join("go");
    let hook = held(&go);
    let mut daemon = daemon(
        &zookeeper.address(),
        storage.path(),
        &[("HOOK_BEFORE", &hook), ("ZOOKEEPER_TIMEOUT", "2")],
    );
    let stranger = daemon.http.clone().without_credentials();
    assert_eq!(stranger.get("/events").unwrap().status, 401);
    let mut listener = Listener::new(&daemon);
    let (name, health) = listener.next().unwrap();
    assert_eq!((&*name, &health["status"]), ("health", &json!("UP")));

    let id = daemon.http.post("/backup", "").unwrap().text;
    let (name, job) = listener.next_of_jobs();
    assert_eq!(
        (&*name, &job["task_id"], &job["status"]),
        ("job.begun", &json!(id), &json!("Processing"))
    );
    // Whoever comes later hears of it, too.
    let (name, job) = Listener::new(&daemon).next_of_jobs();
    assert_eq!((&*name, &job["task_id"]), ("job.begun", &json!(id)));
    fs::write(&go, "").unwrap();
    let ended = loop {
        let (name, job) = listener.next_of_jobs();
        if name == "job.ended" {
            break job;
        }
        assert_eq!(name, "job.progress");
    };
    assert_eq!(
        ended,
        daemon.http.get(&format!("/jobstatus/{id}")).unwrap().json()
    );

    zookeeper.kill();
    let is_bad = |name: &str, health: &Value| name == "health" && !health["problems"].is_null();
    let (_, health) = listener.next_that(is_bad);
    let problems = &health["problems"];
    assert!(problems[0].as_str().unwrap().contains("ZooKeeper"), "{problems}");

    // Whoever asks for the head alone takes nobody's place.
    for _ in 0..20 {
        let head = daemon.http.send("HEAD", "/events", "").unwrap();
        assert_eq!((head.status, &*head.text), (200, ""));
    }
    let mut all = vec![listener];
    let end = Instant::now() + Duration::from_secs(60);
    while all.len() < 16 {
        assert!(Instant::now() < end, "{} listen", all.len());
        match Listener::admitted(&daemon) {
            Some(more) => all.push(more),
            None => thread::sleep(Duration::from_millis(100)),
        }
    }
    let refused = daemon.http.get("/events").unwrap();
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (503, &json!("too_many_listeners"))
    );

    // They hold up no shutdown.
    let sent = Command::new("kill")
        .args(["-TERM", &daemon.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    assert!(daemon.wait_for_end().unwrap().success());
    for mut listener in all {
        while listener.next().is_some() {}
    }
}

#[test]
fn the_command_line_listens_to_a_long_job_in_place_of_asking() {
    let (storage, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let go = place.path().join("go");
    let hook = held(&go);
    let mut daemon = daemon(
        &nobody(),
        storage.path(),
        &[("HOOK_BEFORE", &hook), ("ZOOKEEPER_TIMEOUT", "1")],
    );
    let id = daemon.http.post("/backup", "").unwrap().text;
    let mut watch = Command::new(env!("CARGO_BIN_EXE_cli-under-test"))
        .args(["--url", &format!("http://{}", daemon.address), "watch", &id])
        .env_clear()
        .env("ZK_BACKUP_USERNAME", USER)
        .env("ZK_BACKUP_PASSWORD", PASSWORD)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    daemon.wait_for_line("GET /events 200").unwrap();
    fs::write(&go, "").unwrap();
    // There is no ZooKeeper: it fails, and that is told.
    assert_eq!(watch.wait().unwrap().code(), Some(1));
}
