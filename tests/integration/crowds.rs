//! More connections than there is room for, and clients that do not take what they asked for.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backup_engine::{BackupRequest, Engine, MemoryEnsemble};
use zk_backup_daemon::{Access, Credentials, ServeOptions, serve};
use zk_backup_testkit::{Daemon, Http, PASSWORD, USER, write_script};
use zk_snapshot::tree::{Acl, MemoryTree};

use crate::common::servers::nobody;

#[test]
fn with_few_descriptors_and_many_idle_connections_everybody_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("start");
    let program = env!("CARGO_BIN_EXE_daemon-under-test");
    let text = format!("#!/bin/sh\nulimit -n 42\nexec {program}\n");
    write_script(&script, &text).unwrap();
    let storage = directory.path().join("storage");
    let daemon = Daemon::start(script.to_str().unwrap(), &nobody(), &storage, &[]).unwrap();

    let address: SocketAddr = daemon.address.parse().unwrap();
    // The quickest of a few, as the machine may have other things to do.
    let quickest = (0..3).map(|_| {
        let idle: Vec<_> = (0..100)
            .filter_map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok())
            .collect();
        assert!(idle.len() > 50, "{} came", idle.len());
        // Which has no connection from before.
        let http = Http::new(&daemon.address).with_credentials(USER, PASSWORD);
        let begun = Instant::now();
        assert_eq!(http.get("/health/live").unwrap().status, 200);
        assert_eq!(http.get("/listbackups").unwrap().status, 200);
        begun.elapsed()
    });
    let quickest = quickest.min().unwrap();
    assert!(quickest < Duration::from_secs(8), "{quickest:?}");
}

/// Asks for a page, and takes nothing of it.
fn ask(address: SocketAddr, path: &str) -> TcpStream {
    use base64::Engine as _;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {credentials}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

/// Whether all of an answer comes.
fn comes_whole(socket: &mut TcpStream) -> bool {
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
        Err(error) => panic!("{error}"),
    }
    let head = answer.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
    let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    answer.len() - head - 4 == length.unwrap().parse::<usize>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_bounded_in_bytes_and_a_client_that_takes_nothing_is_given_up() {
    const CHILDREN: usize = 15_000;
    let tree = Arc::new(MemoryTree::new());
    for i in 0..CHILDREN {
        let path = format!("/{i:0>400}");
        tree.put(&path, b"", Acl::open()).unwrap();
    }
    let storage = tempfile::tempdir().unwrap();
    let ensemble = Arc::new(MemoryEnsemble::new(tree));
    let engine = Engine::builder(ensemble).storage(storage.path()).unwrap();
    let engine = engine.build().unwrap();
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    while engine.step().await.unwrap() {}

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServeOptions {
        patience: Duration::from_secs(3),
        ..ServeOptions::new(Access::new(Credentials::new(USER, PASSWORD), true))
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, engine, options, async {
        let _ = stopped.await; // dropped is stopped
    }));

    let path = format!("/listbackups/{id}/znodes?path=/&limit=100000");
    let url = path.clone();
    tokio::task::spawn_blocking(move || {
        let http = Http::new(&address.to_string()).with_credentials(USER, PASSWORD);
        let (mut seen, mut pages) = (0, 0);
        while seen < CHILDREN {
            let answer = http.get(&format!("{url}&offset={seen}")).unwrap();
            assert!(answer.text.len() < 9 << 20, "{}", answer.text.len());
            seen += answer.json()["znodes"].as_array().unwrap().len();
            pages += 1;
        }
        assert!(seen == CHILDREN && pages > 1, "{seen} on {pages} pages");

        let mut clients: Vec<_> = (0..39).map(|_| ask(address, &path)).collect();
        let whole = comes_whole(&mut ask(address, &path));
        assert!(whole, "who reads at once gets all");
        let given_up = clients.iter_mut().any(|client| {
            std::thread::sleep(Duration::from_millis(250)); // the next one has waited so much longer
            !comes_whole(client)
        });
        assert!(given_up);
    })
    .await
    .unwrap();
    drop(stop);
    served.await.unwrap().unwrap();
}
