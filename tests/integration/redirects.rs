//! Whoever is asked for a snapshot cannot send us, or our credentials, somewhere else.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use zk_backup_testkit::Daemon;

use crate::common::clients::client;
use crate::common::daemons::{by_admin, daemon};
use crate::common::servers::{busy, start};
use crate::common::trees::plant_all_kinds;

/// A server that gives every request the same answer and remembers what it was asked: the port, and the requests. What has
/// reached it is noted before whoever asks can go on.
fn answering(answer: String) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, mut head) = (socket.unwrap(), Vec::new());
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|count| count == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            notes.lock().unwrap().push(head);
            let _ = socket.write_all(answer.as_bytes()); // it may have gone away
        }
    });
    (port, asked)
}

fn redirect(status: &str, to: &str) -> String {
    format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn why_not(daemon: &Daemon) -> String {
    let (_, state) = daemon.do_job("/backup", r#"{"mode": "transactional"}"#).unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    state.json()["message"].as_str().unwrap().to_owned()
}

const STATUSES: [&str; 5] = [
    "301 Moved Permanently",
    "302 Found",
    "303 See Other",
    "307 Temporary Redirect",
    "308 Permanent Redirect",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_servers_redirects_are_told_and_not_followed() {
    let server = start(&busy());
    plant_all_kinds(&client(&server.address()).await).await;
    let storage = tempfile::tempdir().unwrap();
    let elsewhere = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    let (other, reached) = answering(elsewhere.to_owned());
    for status in STATUSES {
        let (port, asked) = answering(redirect(status, &format!("http://127.0.0.1:{other}/snapshot")));
        let url = format!("http://127.0.0.1:{port}");
        let daemon_here = daemon(&server.address(), storage.path(), &by_admin(&url));
        let why = why_not(&daemon_here);
        assert!(why.contains(&format!("{url}: it answered {status}")), "{why}");
        let asked = asked.lock().unwrap();
        let head = asked[0].to_lowercase();
        assert!(
            asked.len() == 1 && head.contains("authorization: digest super:secret"),
            "{asked:?}"
        );
        assert_eq!(*reached.lock().unwrap(), [""; 0], "{status} was followed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_redirects_are_told_and_not_followed() {
    let server = start(&busy());
    plant_all_kinds(&client(&server.address()).await).await;
    let storage = tempfile::tempdir().unwrap();
    let done = r#"{"Status":"Ok"}"#;
    let elsewhere = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{done}",
        done.len()
    );
    let (other, reached) = answering(elsewhere);
    for status in STATUSES {
        let (port, asked) = answering(redirect(status, &format!("http://127.0.0.1:{other}/store")));
        let settings = [("ZOOKEEPER_AGENT_PORT", &*port.to_string())];
        let daemon_here = daemon(&server.address(), storage.path(), &settings);
        let why = why_not(&daemon_here);
        assert_eq!(*reached.lock().unwrap(), [""; 0], "{status} was followed: {why}");
        assert!(why.contains(&format!("/store answered {status}")), "{why}");
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}
