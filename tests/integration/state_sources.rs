//! Transactional backups by agents and by the AdminServer.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use zk_backup_testkit::{Distribution, ZooKeeper};

use crate::live::daemon;
use crate::transactional::{
    assert_exact, back_up, busy, client, exact, from_file, plant, snapshot_of, start, write,
};

/// An agent as the predecessor has one beside each server: `POST /store` copies the data directory to the shared disk.
pub(crate) fn agent(data: PathBuf, storage: PathBuf, answers: &'static str) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for socket in listener.incoming() {
            let (mut socket, mut head) = (socket.unwrap(), Vec::new());
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(
                head.starts_with(b"POST /store "),
                "{}",
                String::from_utf8_lossy(&head)
            );
            let copy = storage.join("tmp/version-2");
            fs::create_dir_all(&copy).unwrap();
            for entry in fs::read_dir(&data).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answers.len()
            );
            socket.write_all((head + answers).as_bytes()).unwrap();
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_copies_the_files_and_what_is_not_possible_is_told() {
    let server = start(&busy());
    let outside = client(&server.address()).await;
    plant(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let leftover = storage.path().join("tmp/version-2/snapshot.ffffffff");
    fs::create_dir_all(leftover.parent().unwrap()).unwrap();
    fs::write(leftover, b"from an earlier time").unwrap();
    let port = agent(
        server.data_directory(),
        storage.path().to_owned(),
        r#"{"Status":"Ok"}"#,
    )
    .to_string();
    let settings = [
        ("ZOOKEEPER_DATA_DIR", "/no/such/directory"),
        ("ZOOKEEPER_AGENT_PORT", &*port),
    ];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let before = exact(&outside).await;
    let (id, info) = back_up(&daemon_here);
    let from = &info["taken_from"];
    assert_eq!(
        (&from["source"], &from["passed_over"]),
        (&json!("agent"), &json!([])),
        "{info:?}"
    );
    assert!(
        from["not_possible"][0]
            .as_str()
            .unwrap()
            .contains("/no/such/directory"),
        "{info:?}"
    );
    assert!(!storage.path().join("tmp").exists());
    let copy = from_file(snapshot_of(storage.path(), &id));
    assert_exact(&before, &exact(&client(&copy.address()).await).await);
    drop(daemon_here);

    let port = agent(
        server.data_directory(),
        storage.path().to_owned(),
        r#"{"Status":"Failed"}"#,
    )
    .to_string();
    let settings = [
        ("ZOOKEEPER_DATA_DIR", "/no/such/directory"),
        ("ZOOKEEPER_AGENT_PORT", &*port),
    ];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (_, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    for why in ["files: /no/such/directory", "agent: ", "/store answered 200"] {
        assert!(state.text.contains(why), "{}", state.text);
    }
    assert!(!storage.path().join("tmp").exists());
}

fn by_admin(url: &str) -> [(&'static str, &str); 4] {
    [
        ("TRANSACTIONAL_SOURCE", "admin"),
        ("ZOOKEEPER_ADMIN_URL", url),
        ("EVICTION_POLICY", "1y/delete"),
        ("ZOOKEEPER_ADMIN_AUTHORIZATION", "digest super:secret"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_server_sends_its_snapshot_and_says_why_it_does_not() {
    let distribution = Distribution::locate().unwrap();
    let mut setup = busy();
    setup.admin = true;
    let (server, port) = ZooKeeper::start_with(&distribution, &setup).unwrap();
    let outside = client(&server.address()).await;
    plant(&outside).await;
    let (storage, url) = (tempfile::tempdir().unwrap(), format!("http://127.0.0.1:{port}"));
    let settings = by_admin(&url);
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let before = exact(&outside).await;
    let (id, info) = back_up(&daemon_here);
    assert_eq!(info["taken_from"]["source"], json!("admin"), "{info:?}");
    assert_eq!(
        info["kinds"],
        json!({ "persistent": 7, "container": 1, "ttl": 1 })
    );
    let copy = from_file(snapshot_of(storage.path(), &id));
    assert_exact(&before, &exact(&client(&copy.address()).await).await);
    drop((copy, daemon_here));

    // Without credentials, and from a server where it is disabled.
    let daemon_here = daemon(&server.address(), storage.path(), &settings[..3]);
    let (_, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(
        state.text.contains("does not take our credentials"),
        "{}",
        state.text
    );
    drop(daemon_here);
    setup
        .java
        .push("-Dzookeeper.admin.snapshot.enabled=false".to_owned());
    let (server, port) = ZooKeeper::start_with(&distribution, &setup).unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let settings = by_admin(&url);
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (_, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(state.text.contains("disabled"), "{}", state.text);
}

/// No claim that does not hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_was_written_while_the_server_went_on_is_fuzzy() {
    let mut setup = busy();
    setup.admin = true;
    let (server, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let settings = by_admin(&url);
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing = tokio::spawn(write(server.address(), Arc::clone(&stop), Arc::clone(&done)));
    while done.load(Ordering::Relaxed) < 300 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..3 {
        let (id, state) = daemon_here
            .do_job("/backup", r#"{"mode": "transactional"}"#)
            .unwrap();
        let info = daemon_here.describe(&id).unwrap();
        if state.status != 200 {
            assert!(state.text.contains("access control list"), "{}", state.text);
        } else if info["consistency"] == json!("consistent") {
            // Then a server that starts from it finds its digest right.
            from_file(snapshot_of(storage.path(), &id));
        } else {
            assert_eq!(info["consistency"], json!("fuzzy"), "{info:?}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
}
