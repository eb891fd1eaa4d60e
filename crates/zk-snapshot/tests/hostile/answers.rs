//! Answers that come the wrong way round, or are too large together.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use zk_snapshot::client::{BatchedClient, BatchedConfig, PlainClient, PlainConfig};
use zk_snapshot::tree::{History, Reading, WriteError, WriteOp, ZnodeReader as _, ZnodeWriter as _};

use crate::server::{GET_DATA, MULTI_READ, data, ordinary, parts, reply, serve};
use crate::{batched, path, plain, read, refused};

/// Answers of a server that come the wrong way round, each with the xid of its request.
#[tokio::test]
async fn no_answer_is_taken_for_that_of_another_request() {
    let first = Arc::new(Mutex::new(None));
    let client = plain(
        serve(move |request, socket| {
            if request.op != GET_DATA {
                return socket.write_all(&ordinary(request, 0));
            }
            let name = &request.body[4..6];
            let mine = reply(request.xid, 0, &data(name, 0));
            let mut first = first.lock().unwrap();
            match first.take() {
                None => *first = Some(mine),
                Some(other) => socket.write_all(&[mine, other].concat())?,
            }
            Ok(())
        }),
        1,
    );
    let client = client.await.unwrap();
    let paths = [path("/a"), path("/b")];
    refused(
        client.read_many(&paths, History::Any).await,
        "the server answered request",
    );
}

/// Together they are above the bound, each of them is below.
#[tokio::test]
async fn what_is_too_large_together_is_read_alone() {
    let large = serve(|request, socket| {
        let one = data(&vec![7; 33 << 20], 0);
        socket.write_all(&match (request.op, request.body.len()) {
            (MULTI_READ, length) if length > 30 => {
                let all = vec![(GET_DATA, &one[..]); request.paths()];
                reply(request.xid, 0, &parts(&all))
            }
            _ => ordinary(request, 0),
        })
    });
    let deadline = Duration::from_secs(60);
    let config = BatchedConfig {
        deadline,
        ..BatchedConfig::new(large)
    };
    let begun = Instant::now();
    let client = BatchedClient::connect(config).await.unwrap();
    let paths = [path("/long/enough"), path("/long/enough/too")];
    let readings = client.read_many(&paths, History::Any).await.unwrap();
    for reading in readings {
        assert!(matches!(reading, Reading::Found(found) if found.data.len() == 33 << 20));
    }
    assert!(begun.elapsed() < deadline / 2);
    let at_once = client.read_at_once(&paths).await.unwrap();
    assert!(at_once.is_none(), "each was read by itself");
}

/// Two of them have no room together while they come.
#[tokio::test]
async fn a_large_reply_that_is_whole_leaves_room_for_another() {
    let large = serve(|request, socket| {
        socket.write_all(&match request.op {
            GET_DATA => reply(request.xid, 0, &data(&vec![7; 33 << 20], 0)),
            _ => ordinary(request, 0),
        })
    });
    let config = PlainConfig {
        deadline: Duration::from_secs(60), // before the first ping
        connections: 2,
        ..PlainConfig::new(large)
    };
    let client = PlainClient::connect(config).await.unwrap();
    for _ in 0..2 {
        assert_eq!(read(&client).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn no_more_is_asked_for_in_one_request_than_a_batch() {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let client = batched(serve(move |request, socket| {
        if request.op == MULTI_READ {
            seen.fetch_max(request.paths(), Ordering::SeqCst);
        }
        socket.write_all(&ordinary(request, 0))
    }));
    let client = client.await.unwrap();
    let paths: Vec<_> = (0..client.batch_size() * 2 + 1)
        .map(|number| path(&format!("/{number}")))
        .collect();
    let readings = client.read_many(&paths, History::Any).await.unwrap();
    assert_eq!(readings.len(), paths.len());
    assert_eq!(most.load(Ordering::SeqCst), client.batch_size());
}

/// Two are refused together and read alone; then the server ends every connection.
#[tokio::test]
async fn what_was_refused_and_read_is_not_told_of_a_later_failure() {
    let gone = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&gone);
    let client = batched(serve(move |request, socket| match request.op {
        _ if ends.load(Ordering::SeqCst) => Err(io::ErrorKind::Other.into()),
        MULTI_READ if request.paths() > 1 => socket.write_all(&[127; 20]),
        _ => socket.write_all(&ordinary(request, 0)),
    }));
    let client = client.await.unwrap();
    let both = client.read_many(&[path("/a"), path("/b")], History::Any).await;
    assert_eq!(both.unwrap().len(), 2);
    gone.store(true, Ordering::SeqCst);
    let delete = WriteOp::Delete {
        path: path("/a"),
        version: None,
    };
    let error = client.write_many(&[delete]).await.remove(0).unwrap_err();
    assert!(matches!(error, WriteError::Unknown(_)));
    assert!(!error.to_string().contains("are taken"), "{error}");
}
