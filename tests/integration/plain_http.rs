//! What a client is told that speaks plain HTTP where HTTPS is served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use zk_backup_testkit::{Daemon, PASSWORD, USER};

use crate::common::daemons::daemon;
use crate::common::servers::nobody;

fn https(storage: &Path) -> (Daemon, TempDir) {
    let certificates = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(certificates.path().join("tls.crt"), pair.cert.pem()).unwrap();
    let key = pair.signing_key.serialize_pem();
    std::fs::write(certificates.path().join("tls.key"), key).unwrap();
    let settings = [
        ("TLS_ENABLED", "true"),
        ("TLS_PORT", "0"),
        ("CERTS_PATH", certificates.path().to_str().unwrap()),
    ];
    (daemon(&nobody(), storage, &settings), certificates)
}

/// What comes until the connection ends, or an error if that takes longer than a server may wait for a client.
fn sent(daemon: &Daemon, pieces: &[&str]) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(&daemon.address)?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    for piece in pieces {
        socket.write_all(piece.as_bytes())?;
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

fn refusal(answer: &str) -> Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    let length = format!("\r\nContent-Length: {}\r\n", body.len());
    assert!(head.contains(&length), "{head}");
    serde_json::from_str(body).unwrap()
}

#[test]
fn plain_http_is_answered_in_words_where_https_is_served() {
    let storage = tempfile::tempdir().unwrap();
    let (mut daemon, certificates) = https(storage.path());
    let body = "x".repeat(300_000);
    let post = format!(
        "POST /backup HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    for pieces in [
        &["G", "ET /listbackups HTTP/1.1\r\nHost: ", "a\r\n\r\n"][..],
        &["get /health HTTP/1.0\r\n\r\n"],
        &[&post, &body],
        &["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        &["GET / HTTP/1.1\r\nLong: ", &"x".repeat(9000)],
    ] {
        let refused = refusal(&sent(&daemon, pieces).unwrap());
        assert_eq!(refused["status"], "Failed");
        assert_eq!(refused["code"], "tls_needed");
        assert!(
            refused["message"].as_str().unwrap().contains("https://"),
            "{refused}"
        );
    }
    let head = sent(&daemon, &["HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n"]).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 400 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    daemon
        .wait_for_line("127.0.0.1 plain HTTP on the port for HTTPS 400")
        .unwrap();

    let port = daemon.address.rsplit(':').next().unwrap();
    let output = Command::new("curl")
        .args(["-sS", "--cacert"])
        .arg(certificates.path().join("tls.crt"))
        .args(["-u", &format!("{USER}:{PASSWORD}")])
        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
        .arg(format!("https://localhost:{port}/listbackups"))
        .output()
        .expect("curl must be installed");
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed, json!([]), "nothing of it was done");
}

/// Nobody's connection lasts who says nothing, or who begins a request or a handshake and does not go on.
#[test]
fn who_says_nothing_where_https_is_served_is_not_waited_for() {
    let storage = tempfile::tempdir().unwrap();
    let (daemon, _certificates) = https(storage.path());
    for pieces in [&[][..], &["GET /health HT"], &["\u{16}\u{3}\u{1}"]] {
        let answer = sent(&daemon, pieces).unwrap();
        assert_eq!(answer, "", "{pieces:?}");
    }
}
