//! Servers that the suites start, and what stands in for one.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use zk_backup_testkit::{Distribution, Port, Setup, ZooKeeper};

pub(crate) fn server() -> ZooKeeper {
    ZooKeeper::start(&Distribution::locate().unwrap()).unwrap()
}

/// A server that knows TTL znodes, and begins a new snapshot and log often.
pub(crate) fn busy() -> Setup {
    Setup {
        java: [
            "-Dzookeeper.extendedTypesEnabled=true",
            "-Dzookeeper.snapCount=500",
            // KiB, and more than one commit of a test holds: where that is more, 3.9.5 pads a log in the midst
            // of a record that it has written (`FileTxnLog` pads at the position of the last commit).
            "-Dzookeeper.preAllocSize=4096",
            // TTL znodes that are due stay while a test runs.
            "-Dznode.container.checkIntervalMs=3600000",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Setup::default()
    }
}

pub(crate) fn start(setup: &Setup) -> ZooKeeper {
    ZooKeeper::start_with(&Distribution::locate().unwrap(), setup)
        .unwrap()
        .0
}

/// An address that nothing listens on, and nothing ever will.
pub(crate) fn nobody() -> String {
    static NOBODY: LazyLock<Port> = LazyLock::new(|| Port::take().unwrap());
    NOBODY.address()
}

/// Waits until all sessions have ended, so that nothing more is logged.
pub(crate) async fn without_sessions(server: &ZooKeeper) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !server
        .four_letter("mntr")
        .unwrap()
        .contains("zk_global_sessions\t0\n")
    {
        assert!(Instant::now() < deadline, "a session stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

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
