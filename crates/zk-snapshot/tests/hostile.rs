//! Servers that would use up the memory of their clients, or give them a wrong answer.
#![cfg(all(feature = "batched-client", feature = "plain-client"))]
#![allow(clippy::unwrap_used)]

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use zk_snapshot::client::{BatchedClient, BatchedConfig, PlainClient, PlainConfig};
use zk_snapshot::tree::{
    ClientError, History, Reading, WriteError, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter,
};

const DELETE: i32 = 2;
const EXISTS: i32 = 3;
const GET_DATA: i32 = 4;
const GET_CHILDREN: i32 = 8;
const SYNC: i32 = 9;
const PING: i32 = 11;
const MULTI_READ: i32 = 22;
const ADD_WATCH: i32 = 106;
const WHO_AM_I: i32 = 107;

struct Request {
    xid: i32,
    op: i32,
    body: Vec<u8>,
}

impl Request {
    /// The paths of a `multiRead`.
    fn paths(&self) -> usize {
        let (mut at, mut paths) = (0, 0);
        while self.body[at + 4] == 0 {
            let length: [u8; 4] = self.body[at + 9..at + 13].try_into().unwrap();
            at += 9 + 4 + i32::from_be_bytes(length) as usize + 1;
            paths += 1;
        }
        paths
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes(), body].concat()
}

fn reply(xid: i32, error: i32, body: &[u8]) -> Vec<u8> {
    let (xid, error) = (xid.to_be_bytes(), error.to_be_bytes());
    frame(&[&xid[..], &7_i64.to_be_bytes(), &error, body].concat())
}

/// Of a znode with so many children.
fn stat(children: i32) -> Vec<u8> {
    let mut stat = vec![0; 68];
    stat[56..60].copy_from_slice(&children.to_be_bytes());
    stat
}

fn data(data: &[u8], children: i32) -> Vec<u8> {
    [frame(data), stat(children)].concat()
}

fn parts(parts: &[(i32, &[u8])]) -> Vec<u8> {
    let part = |(op, body): &(i32, &[u8])| [&op.to_be_bytes()[..], &[0; 5], body].concat();
    let mut all: Vec<_> = parts.iter().flat_map(part).collect();
    all.extend([255, 255, 255, 255, 1, 255, 255, 255, 255]);
    all
}

/// What an ordinary server with nothing but `/` would say.
fn ordinary(request: &Request, children: i32) -> Vec<u8> {
    let Request { xid, op, .. } = *request;
    match op {
        DELETE => reply(xid, -101, &[]),
        EXISTS => reply(xid, 0, &stat(children)),
        GET_DATA => reply(xid, 0, &data(b"", children)),
        GET_CHILDREN => reply(xid, 0, &0_i32.to_be_bytes()),
        SYNC => reply(xid, 0, &frame(b"/")),
        PING => reply(-2, 0, &[]),
        MULTI_READ => {
            let one = data(b"", children);
            reply(xid, 0, &parts(&vec![(GET_DATA, &one[..]); request.paths()]))
        }
        _ => reply(xid, 0, &[]),
    }
}

/// A server that says what `answer` does; an error ends the connection. `answer` is called with all connections' requests.
fn serve(answer: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, answer) = (socket.unwrap(), answer.clone());
            thread::spawn(move || talk(&mut socket, &answer));
        }
    });
    address
}

fn talk(
    socket: &mut TcpStream,
    answer: &dyn Fn(&Request, &mut TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    next(socket)?;
    let session = [
        &[0, 0, 0, 0, 0, 0, 0x4e, 0x20],
        &9_i64.to_be_bytes()[..],
        &frame(&[1; 16]),
        &[0],
    ]
    .concat();
    socket.write_all(&frame(&session))?;
    loop {
        let request = next(socket)?;
        let int = |at: usize| i32::from_be_bytes(request[at..at + 4].try_into().unwrap());
        let request = Request {
            xid: int(0),
            op: int(4),
            body: request[8..].to_vec(),
        };
        answer(&request, socket)?;
    }
}

fn next(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut request = vec![0; i32::from_be_bytes(length) as usize];
    socket.read_exact(&mut request)?;
    Ok(request)
}

fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

async fn batched(address: String) -> Result<BatchedClient, ClientError> {
    let deadline = Duration::from_secs(3);
    BatchedClient::connect(BatchedConfig {
        deadline,
        acl_connections: 1,
        ..BatchedConfig::new(address)
    })
    .await
}

async fn plain(address: String, connections: usize) -> Result<PlainClient, ClientError> {
    let deadline = Duration::from_secs(3);
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

/// Runs the test with this name in a process that cannot have more than 512 MiB.
fn within_512_mib(name: &str) {
    let done = Command::new("sh")
        .args(["-c", "ulimit -v 524288 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", name])
        .env("MALLOC_ARENA_MAX", "2")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let complaints = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}{complaints}");
    assert!(said.contains("1 passed"), "{said}");
}

/// A reply that never ends, to the first request that both adapters make.
fn endless() -> String {
    serve(|request, socket| {
        if !matches!(request.op, EXISTS | MULTI_READ) {
            return socket.write_all(&ordinary(request, 0));
        }
        let head = reply(request.xid, 0, &[]);
        socket.write_all(&[&i32::MAX.to_be_bytes()[..], &head[4..]].concat())?;
        loop {
            socket.write_all(&[0; 1 << 16])?;
        }
    })
}

#[tokio::test]
#[ignore = "in a process of its own"]
async fn endless_batched() {
    refused(
        batched(endless()).await,
        "a reply of 2147483647 bytes; at most 67108864 are taken",
    );
}

#[tokio::test]
#[ignore = "in a process of its own"]
async fn endless_plain() {
    refused(plain(endless(), 8).await, "a reply of 2147483647 bytes; at most");
}

#[test]
fn a_reply_without_end_is_refused() {
    within_512_mib("endless_batched");
    within_512_mib("endless_plain");
}

/// Children of `/` that are said to be as many, and what follows.
fn children(number: i32, names: &'static [u8], times: usize) -> String {
    serve(move |request, socket| {
        let list = || [&number.to_be_bytes()[..], &names.repeat(times)].concat();
        socket.write_all(&match request.op {
            GET_CHILDREN => reply(request.xid, 0, &list()),
            // Of the second one: the first asks for data, and is told of children.
            MULTI_READ if request.body[3] == 8 => reply(request.xid, 0, &parts(&[(GET_CHILDREN, &list())])),
            _ => ordinary(request, number),
        })
    })
}

/// As many names of one letter as a reply has room for.
fn short_names() -> String {
    children((60 << 20) / 5, b"\0\0\0\x01a", (60 << 20) / 5)
}

async fn read(reader: &dyn ZnodeReader) -> Result<Vec<Reading>, ClientError> {
    reader.read_many(&[path("/")], History::Any).await
}

#[tokio::test]
#[ignore = "in a process of its own"]
async fn claimed_names_plain() {
    let client = plain(children(i32::MAX, b"\0\0\0\x01a", 1), 1).await.unwrap();
    refused(
        read(&client).await,
        "claims 2147483647 entries where 5 bytes are left",
    );
}

#[tokio::test]
#[ignore = "in a process of its own"]
async fn claimed_names_batched() {
    let client = batched(children(i32::MAX, b"\0\0\0\x01a", 1)).await.unwrap();
    refused(read(&client).await, "claims 2147483647 entries");
}

#[tokio::test]
#[ignore = "in a process of its own"]
async fn claimed_length_plain() {
    let claims = serve(|request, socket| {
        socket.write_all(&match request.op {
            GET_DATA => reply(request.xid, 0, &[&i32::MAX.to_be_bytes()[..], &[0; 80]].concat()),
            _ => ordinary(request, 0),
        })
    });
    let client = plain(claims, 1).await.unwrap();
    refused(
        read(&client).await,
        "claims 2147483647 bytes where 80 bytes are left",
    );
}

#[tokio::test]
#[ignore = "in a process of its own"]
async fn claimed_identities_batched() {
    let claims = serve(|request, socket| {
        socket.write_all(&match request.op {
            WHO_AM_I => reply(request.xid, 0, &i32::MAX.to_be_bytes()),
            _ => ordinary(request, 0),
        })
    });
    let client = batched(claims).await.unwrap();
    refused(
        client.reads_everything().await,
        "claims 2147483647 entries where 0 bytes are left",
    );
}

#[test]
fn what_a_reply_claims_is_not_believed() {
    within_512_mib("claimed_identities_batched");
    within_512_mib("claimed_names_plain");
    within_512_mib("claimed_names_batched");
    within_512_mib("claimed_length_plain");
}

#[tokio::test]
#[ignore = "in a process of its own"]
async fn short_names_plain() {
    let client = plain(short_names(), 1).await.unwrap();
    refused(read(&client).await, "12582912 names; at most 4194304 are taken");
}

#[tokio::test]
#[ignore = "in a process of its own"]
async fn short_names_batched() {
    let client = batched(short_names()).await.unwrap();
    refused(read(&client).await, "12582912 names; at most 4194304 are taken");
}

#[test]
fn names_without_end_are_refused() {
    within_512_mib("short_names_plain");
    within_512_mib("short_names_batched");
}

#[tokio::test]
#[ignore = "in a process of its own"]
async fn notifications_batched() {
    let watched = Arc::new(AtomicBool::new(false));
    let client = batched(serve(move |request, socket| {
        watched.fetch_or(request.op == ADD_WATCH, Ordering::SeqCst);
        if request.op != MULTI_READ || !watched.load(Ordering::SeqCst) {
            return socket.write_all(&ordinary(request, 0));
        }
        let event = [
            &3_i32.to_be_bytes()[..],
            &3_i32.to_be_bytes(),
            &frame(b"/a/znode/of/many"),
        ]
        .concat();
        let many = reply(-1, 0, &event).repeat(1_000);
        loop {
            socket.write_all(&many)?;
        }
    }));
    let client = client.await.unwrap();
    let mut watch = client.watch(&[path("/")]).await.unwrap().unwrap();
    refused(read(&client).await, "more than 1048576 notifications");
    assert_eq!(watch.take(), zk_snapshot::tree::Changes::Lost);
}

#[test]
fn notifications_without_end_are_refused() {
    within_512_mib("notifications_batched");
}

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
        deadline: Duration::from_secs(10), // before the first ping
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
    assert!(plain(address, 1).await.is_err());
    let accepted = accepted.load(Ordering::SeqCst);
    assert!(accepted < 200, "{accepted} connections in three seconds");
}

/// The first of three takes no connection, the second ends each at its first request.
#[tokio::test]
async fn a_server_that_serves_nobody_is_passed_over() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
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
