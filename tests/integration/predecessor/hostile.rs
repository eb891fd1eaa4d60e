//! Archives of the Qubership backup daemon that are damaged, or that it never wrote.

use std::fs;

use serde_json::json;

use super::says;
use crate::common::buckets::left_out;
use crate::common::clients::observer;
use crate::common::daemons::{daemon, restore};
use crate::common::predecessor::Left;
use crate::common::servers::server;
use crate::common::trees::{assert_same, dump, plant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_or_hostile_is_named_and_changes_nothing() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"live")]).await;
    let storage = tempfile::tempdir().unwrap();
    for (n, entries, _) in hostile() {
        Left::new(storage.path(), &format!("20240101T0000{n:02}")).zip(&entries);
    }
    // A byte of the data is another one than was written.
    let flipped = Left::new(storage.path(), "20240101T000020");
    flipped.zip(&[folder("a/"), file("a/content", "some text that is not packed")]);
    let archive = flipped.directory.join("znodes.zip");
    let mut bytes = fs::read(&archive).unwrap();
    let list = bytes.len() / 2;
    let data = bytes[..list]
        .windows(9)
        .position(|part| part == b"a/content")
        .unwrap()
        + 12;
    bytes[data] ^= 1;
    fs::write(&archive, bytes).unwrap();

    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let before = dump(&outside).await;
    let cases = hostile().into_iter().map(|(n, _, what)| (n, what));
    for (n, what) in cases.chain([(20, "the data of /a")]) {
        let id = format!("20240101T0000{n:02}");
        let (status, ended) = restore(&daemon, &id, "");
        assert!(status == 500 && says(&ended["message"], what), "{id}: {ended}");
        assert!(says(&ended["message"], "znodes.zip"), "{id}: {ended}");
        let (_, verified) = daemon.do_job(&format!("/verify/{id}"), "").unwrap();
        assert!(
            verified.status == 500 && verified.text.contains(what),
            "{id}: {}",
            verified.text
        );
        assert_eq!(daemon.describe(&id).unwrap()["valid"], json!(false), "{id}");
    }
    assert_same(&before, &dump(&outside).await);
}

type Entry = (String, Option<String>);

fn file(name: &str, text: &str) -> Entry {
    (name.to_owned(), Some(text.to_owned()))
}

fn folder(name: &str) -> Entry {
    (name.to_owned(), None)
}

/// Archives that nobody's backup is, and what is said of each.
fn hostile() -> Vec<(u8, Vec<Entry>, &'static str)> {
    vec![
        (
            1,
            vec![folder("a/"), file("../content", "x")],
            "stands for no znode",
        ),
        (2, vec![folder("a/../../b/")], "stands for no znode"),
        (3, vec![file("/etc/content", "x")], "stands for no znode"),
        (4, vec![folder("a/"), file("a/passwd", "x")], "not called content"),
        (
            5,
            vec![folder("a/"), file("a/content", "ł")],
            "not in code page 437",
        ),
        (6, vec![folder("a//b/")], "stands for no znode"),
        (7, vec![], "it holds no znode"),
        (8, vec![file("content", "x")], "it holds no znode"),
    ]
}
