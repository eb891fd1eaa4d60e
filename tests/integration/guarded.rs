//! What comes from outside: other sites' pages, guesses, a ZooKeeper that does not answer, words that are no line.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zk_backup_testkit::{Daemon, PASSWORD, USER};

use crate::common::daemons::daemon;
use crate::common::servers::nobody;

/// The status and the text of the answer to `head`, sent as it stands here.
fn raw(daemon: &Daemon, head: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(&daemon.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let request = format!("{head}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or(0), answer)
}

fn right() -> String {
    STANDARD.encode(format!("{USER}:{PASSWORD}"))
}

fn post(daemon: &Daemon, headers: &[String]) -> u16 {
    let host = format!("Host: {}", daemon.address);
    let head = format!(
        "POST /evict HTTP/1.1\r\n{host}\r\nContent-Length: 0\r\n{}",
        headers.join("\r\n")
    );
    raw(daemon, head.trim_end()).0
}

#[test]
fn what_another_sites_page_sends_is_refused() {
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&nobody(), storage.path(), &[]);
    let known = format!("Authorization: Basic {}", right());
    for (header, status) in [
        (String::new(), 200),
        ("Sec-Fetch-Site: same-origin".to_owned(), 200),
        ("Sec-Fetch-Site: none".to_owned(), 200),
        (format!("Origin: http://{}", daemon.address), 200),
        ("Sec-Fetch-Site: cross-site".to_owned(), 403),
        ("Sec-Fetch-Site: same-site".to_owned(), 403),
        ("Origin: http://evil.example".to_owned(), 403),
        (format!("Origin: http://{}.evil.example", daemon.address), 403),
        ("Origin: null".to_owned(), 403),
        ("Origin: http://127.0.0.1:1".to_owned(), 403),
    ] {
        let mut headers = vec![known.clone()];
        headers.extend(Some(header.clone()).filter(|header| !header.is_empty()));
        assert_eq!(post(&daemon, &headers), status, "{header}");
    }
    let reads = format!(
        "GET /listbackups HTTP/1.1\r\nHost: {}\r\nSec-Fetch-Site: cross-site",
        daemon.address
    );
    assert_eq!(raw(&daemon, &reads).0, 200, "looking changes nothing");
    // Whose scheme is written otherwise is let in; who sends two of them is not understood.
    assert_eq!(post(&daemon, &[format!("Authorization: bAsIc {}", right())]), 200);
    assert_eq!(post(&daemon, &[known.clone(), known]), 400);
}

/// A site gives its name to this machine's address, and so its page is of the same site.
#[test]
fn without_credentials_no_name_that_a_site_may_give_is_answered() {
    let open = [
        ("BACKUP_DAEMON_API_CREDENTIALS_USERNAME", ""),
        ("BACKUP_DAEMON_API_CREDENTIALS_PASSWORD", ""),
    ];
    let everywhere = [
        ("BROADCAST_ADDRESS", "0.0.0.0"),
        ("BACKUP_DAEMON_ALLOW_ANONYMOUS", "true"),
    ];
    let storage = tempfile::tempdir().unwrap();
    let local = daemon(&nobody(), storage.path(), &open);
    let asks = |daemon: &Daemon, line: &str, host: &str| {
        let port = daemon.address.rsplit(':').next().unwrap();
        raw(
            daemon,
            &format!("{line} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 0"),
        )
    };
    for line in [
        "GET /listbackups",
        "GET /ui/",
        "GET /health",
        "POST /evict",
        "OPTIONS /evict",
    ] {
        let (status, text) = asks(&local, line, "evil.example");
        assert!(status == 403 && text.contains("foreign_host"), "{line}: {text}");
    }
    for host in ["127.0.0.1", "localhost", "[::1]", "here.localhost"] {
        for line in ["GET /listbackups", "POST /evict"] {
            assert_eq!(asks(&local, line, host).0, 200, "{line} {host}");
        }
    }
    assert_eq!(asks(&local, "GET /health/live", "evil.example").0, 200);
    drop(local);
    // Services have names.
    let many = daemon(&nobody(), storage.path(), &[open, everywhere].concat());
    assert_eq!(asks(&many, "POST /evict", "zookeeper-backup-daemon").0, 200);
    drop(many);
    let closed = daemon(&nobody(), storage.path(), &[]);
    assert_eq!(
        asks(&closed, "GET /listbackups", "backup.example").0,
        200,
        "credentials are asked for"
    );
}

/// Hundreds guess at once: few of them are told that they are wrong, and who knows the password is let in meanwhile.
#[test]
fn guesses_are_bounded_and_the_operator_is_not_locked_out() {
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&nobody(), storage.path(), &[]);
    let wrong = format!(
        "Authorization: Basic {}",
        STANDARD.encode(format!("{USER}:guess"))
    );
    let answers = |count: usize| -> Vec<u16> {
        thread::scope(|scope| {
            let all: Vec<_> = (0..count)
                .map(|_| scope.spawn(|| post(&daemon, std::slice::from_ref(&wrong))))
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        })
    };
    let begun = Instant::now();
    let statuses = answers(150);
    let judged = statuses.iter().filter(|status| **status == 401).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(judged + refused, 150, "{statuses:?}");
    // Four at a time, each for half a second.
    let most = 4 * (begun.elapsed().as_millis() as usize / 500 + 1);
    assert!(judged <= most, "{judged} were judged in {:?}", begun.elapsed());

    let known = format!("Authorization: Basic {}", right());
    let deadline = Instant::now() + Duration::from_secs(30);
    while post(&daemon, std::slice::from_ref(&known)) != 200 {
        assert!(
            Instant::now() < deadline,
            "the guesses before are held against the operator"
        );
    }
    let begun = Instant::now();
    thread::scope(|scope| {
        let guessing = scope.spawn(|| answers(100));
        for _ in 0..5 {
            assert_eq!(
                post(&daemon, std::slice::from_ref(&known)),
                200,
                "the operator is locked out"
            );
        }
        let statuses = guessing.join().unwrap();
        let judged = statuses.iter().filter(|status| **status == 401).count();
        let most = 4 * (begun.elapsed().as_millis() as usize / 500 + 1);
        assert!(
            judged <= most,
            "the operator's logins reset the brake: {judged} in {:?}",
            begun.elapsed()
        );
    });
}

/// A ZooKeeper that takes connections and says nothing: health does not wait for it.
#[test]
fn health_does_not_wait_for_zookeeper() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&address, storage.path(), &[]);
    for path in ["/health", "/metrics", "/health/ready"] {
        // The quickest of a few, as the machine may have other things to do.
        let quickest = (0..4).map(|_| {
            let begun = Instant::now();
            let answer = daemon.http.get(path).unwrap();
            assert_eq!(
                answer.status == 503,
                path.ends_with("ready"),
                "{path}: {}",
                answer.text
            );
            begun.elapsed()
        });
        let quickest = quickest.min().unwrap();
        assert!(
            quickest < Duration::from_millis(1_500),
            "{path} took {quickest:?}"
        );
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let health = daemon.http.get("/health").unwrap().json();
        let zookeeper = &health["zookeeper"];
        assert_eq!(zookeeper["reachable"], false, "{health}");
        if zookeeper["age_seconds"].as_u64().unwrap() > 0 {
            break; // what the last probe has said
        }
        assert!(Instant::now() < deadline, "{health}");
    }
}

/// What somebody asks for is in the log, but it does not move the cursor, turn the writing around or fill the disk.
#[test]
fn a_log_line_stays_a_line() {
    let storage = tempfile::tempdir().unwrap();
    let mut daemon = daemon(&nobody(), storage.path(), &[("ZOOKEEPER_TIMEOUT", "1")]);
    let names: Vec<_> = (0..40_000).map(|i| format!("\"n{i}\u{202e}\"")).collect();
    let body = format!(r#"{{"dbs": [{}]}}"#, names.join(","));
    let (id, state) = daemon.do_job("/backup", &body).unwrap();
    assert_eq!(state.status, 500, "{}", &state.text[..200]);
    daemon.wait_for_line(&format!("job {id}: backing up")).unwrap();
    let said = daemon.said();
    let longest = said.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest < 2_500 && !said.contains('\u{202e}'), "{longest}");
}
