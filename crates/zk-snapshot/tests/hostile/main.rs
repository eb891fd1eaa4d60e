//! Servers that would use up the memory of their clients, or give them a wrong answer.
#![cfg(all(feature = "batched-client", feature = "plain-client"))]
#![allow(clippy::unwrap_used)]

mod answers;
mod memory;
mod server;

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use zk_snapshot::client::{BatchedClient, BatchedConfig, PlainClient, PlainConfig};
use zk_snapshot::tree::{ClientError, History, Reading, ZnodePath, ZnodeReader};

use crate::server::{ordinary, serve};

fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

/// What is refused for good takes all of it.
const DEADLINE: Duration = Duration::from_secs(20);

async fn batched(address: String) -> Result<BatchedClient, ClientError> {
    let deadline = DEADLINE;
    BatchedClient::connect(BatchedConfig {
        deadline,
        acl_connections: 1,
        ..BatchedConfig::new(address)
    })
    .await
}

async fn plain(address: String, connections: usize) -> Result<PlainClient, ClientError> {
    plain_within(address, connections, DEADLINE).await
}

async fn plain_within(
    address: String,
    connections: usize,
    deadline: Duration,
) -> Result<PlainClient, ClientError> {
    PlainClient::connect(PlainConfig {
        deadline,
        connections,
        ..PlainConfig::new(address)
    })
    .await
}

fn refused(outcome: Result<impl Sized, ClientError>, words: &str) {
    let error = outcome.err().unwrap().to_string();
    assert!(error.contains(words), "{error}");
}

async fn read(reader: &dyn ZnodeReader) -> Result<Vec<Reading>, ClientError> {
    reader.read_many(&[path("/")], History::Any).await
}

#[tokio::test]
async fn a_server_that_ends_each_connection_is_not_asked_without_pause() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    thread::spawn(move || {
        for socket in listener.incoming() {
            drop(socket);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert!(plain_within(address, 1, Duration::from_secs(3)).await.is_err());
    let accepted = accepted.load(Ordering::SeqCst);
    assert!(accepted < 200, "{accepted} connections in three seconds");
}

/// The first of three takes no connection, the second ends each at its first request.
#[tokio::test]
async fn a_server_that_serves_nobody_is_passed_over() {
    let nobody = "127.0.0.1:1"; // a port that is given to nobody who asks for any
    let rude = serve(|_, _| Err(io::ErrorKind::Other.into()));
    let good = serve(|request, socket| socket.write_all(&ordinary(request, 0)));
    let servers = format!("{nobody}, {rude}, {good}");
    assert_eq!(
        read(&batched(servers.clone()).await.unwrap())
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(read(&plain(servers, 2).await.unwrap()).await.unwrap().len(), 1);
}
