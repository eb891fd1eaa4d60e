//! Clients that send too much, too slowly, or too often.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use zk_backup_testkit::Http;

use crate::common::daemons::daemon;
use crate::common::servers::nobody;

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

/// Neither a head nor a body that never ends keeps a connection for long, and others are served meanwhile.
#[test]
fn a_client_that_never_ends_its_request_is_closed() {
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&nobody(), storage.path(), &[]);
    let begun = Instant::now();
    let open = |text: &'static str| {
        let mut socket = TcpStream::connect(&daemon.address).unwrap();
        socket.write_all(text.as_bytes()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket
    };
    let heads: Vec<_> = (0..50)
        .map(|_| open("GET /health HTTP/1.1\r\nX-Slow: "))
        .collect();
    let body = "POST /backup HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\
                Authorization: Basic b3BlcmF0b3I6Y2FuYXJ5LWFwaS1wYXNzd29yZA==\r\n\r\n{";
    let bodies: Vec<_> = (0..50).map(|_| open(body)).collect();
    assert_eq!(daemon.http.get("/health/live").unwrap().status, 200);
    for mut socket in heads {
        let closed = socket.read_to_end(&mut Vec::new());
        assert!(
            closed.is_ok(),
            "still open after {:?}: {closed:?}",
            begun.elapsed()
        );
    }
    for mut socket in bodies {
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408");
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(daemon.http.get("/listbackups").unwrap().text, "[]");
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
