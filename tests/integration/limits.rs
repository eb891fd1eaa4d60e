//! Clients that send too much, too slowly, or too often.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use zk_backup_testkit::Http;

use crate::live::{daemon, nobody};

#[test]
fn a_body_of_100_megabytes_is_refused_and_takes_no_memory() {
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&nobody(), storage.path(), &[]);
    let before = daemon.peak_memory();
    let mut socket = TcpStream::connect(&daemon.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = "POST /backup HTTP/1.1\r\nHost: x\r\nAuthorization: Basic b3BlcmF0b3I6Y2FuYXJ5LWFwaS1wYXNzd29yZA==\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    let chunk = [b"100000\r\n", &vec![b' '; 1 << 20][..], b"\r\n"].concat();
    for _ in 0..100 {
        if socket.write_all(&chunk).is_err() {
            break; // the server has had enough
        }
    }
    let mut answer = [0; 12];
    if socket.read_exact(&mut answer).is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
    if let (Some(before), Some(after)) = (before, daemon.peak_memory()) {
        assert!(after < before + (16 << 10), "{before} KiB, then {after} KiB");
    }
    assert_eq!(daemon.http.get("/listbackups").unwrap().text, "[]");
}

#[test]
fn a_client_that_never_ends_its_head_is_closed_and_others_are_served() {
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&nobody(), storage.path(), &[]);
    let begun = Instant::now();
    let slow: Vec<_> = (0..50)
        .map(|_| {
            let mut socket = TcpStream::connect(&daemon.address).unwrap();
            socket.write_all(b"GET /health HTTP/1.1\r\nX-Slow: ").unwrap();
            socket
        })
        .collect();
    assert_eq!(daemon.http.get("/health/live").unwrap().status, 200);
    for mut socket in slow {
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut answer = Vec::new();
        let closed = socket.read_to_end(&mut answer);
        assert!(
            closed.is_ok(),
            "still open after {:?}: {closed:?}",
            begun.elapsed()
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// Many requests at once: as many as may wait are queued, the others are told so, and everything else answers.
#[test]
fn a_flood_of_requests_is_bounded() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("SHUTDOWN_GRACE", "0"),
        ("ZOOKEEPER_TIMEOUT", "600"),
        ("MAX_QUEUED_JOBS", "20"),
    ];
    let daemon = daemon(&address, storage.path(), &settings);
    let before = daemon.peak_memory();
    let flood = |http: Http| {
        let ask = move || -> Vec<u16> {
            (0..250)
                .map(|_| http.post("/backup", "").unwrap().status)
                .collect()
        };
        thread::spawn(ask)
    };
    let threads: Vec<_> = (0..4).map(|_| flood(daemon.http.clone())).collect();
    assert_eq!(daemon.http.get("/health/live").unwrap().status, 200);
    assert_eq!(daemon.http.post("/evict", "").unwrap().status, 200);
    let statuses: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    let accepted = statuses.iter().filter(|status| **status == 200).count();
    assert!(
        (20..=21).contains(&accepted),
        "{accepted} accepted: one at work, 20 waiting"
    );
    assert_eq!(
        statuses.len() - accepted,
        statuses.iter().filter(|status| **status == 429).count()
    );
    if let (Some(before), Some(after)) = (before, daemon.peak_memory()) {
        assert!(after < before + (32 << 10), "{before} KiB, then {after} KiB");
    }
}
