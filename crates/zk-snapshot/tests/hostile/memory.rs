//! What would use up the memory of a client.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zk_snapshot::tree::ZnodeReader as _;

use crate::server::{
    ADD_WATCH, EXISTS, GET_CHILDREN, GET_DATA, MULTI_READ, WHO_AM_I, frame, ordinary, parts, reply, serve,
};
use crate::{batched, path, plain, read, refused};

/// Runs the tests with these names, of this module, each in a process that cannot have more than 512 MiB: all at once, as most wait to the end of their deadlines.
fn within_512_mib(names: &[&str]) {
    let begin = |name: &&str| {
        let begun = Command::new("sh")
            .args(["-c", "ulimit -v 524288 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", &format!("memory::{name}")])
            .env("MALLOC_ARENA_MAX", "2")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        begun.unwrap()
    };
    let begun: Vec<_> = names.iter().map(begin).collect();
    for process in begun {
        let done = process.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        let complaints = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}{complaints}");
        assert!(said.contains("1 passed"), "{said}");
    }
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
    within_512_mib(&["endless_batched", "endless_plain"]);
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
    within_512_mib(&[
        "claimed_identities_batched",
        "claimed_names_plain",
        "claimed_names_batched",
        "claimed_length_plain",
    ]);
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
    within_512_mib(&["short_names_plain", "short_names_batched"]);
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
    within_512_mib(&["notifications_batched"]);
}
