//! Transactional backups by agents.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::live::daemon;
use crate::transactional::{
    assert_exact, back_up, busy, client, exact, from_file, plant, snapshot_of, start,
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
