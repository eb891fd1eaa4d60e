//! A znode of its backups that the servers do not take, until they are told to.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use zk_backup_testkit::{SUPER_DIGEST, Setup, ZooKeeper};

use super::{FULL, get, says};
use crate::common::buckets::left_out;
use crate::common::clients::observer;
use crate::common::daemons::{AS_SUPER, daemon, restore};
use crate::common::predecessor::Left;
use crate::common::servers::start;

static LARGE: [u8; 250_000] = [b'.'; 250_000];

fn taking(bytes: usize, data: Vec<PathBuf>) -> ZooKeeper {
    start(&Setup {
        java: vec![
            format!("-Djute.maxbuffer={bytes}"),
            format!("-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"),
        ],
        data,
        ..Setup::default()
    })
}

async fn is_named_and_finished_later(settings: &[(&str, &str)]) {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let storage = tempfile::tempdir().unwrap();
    Left::new(storage.path(), FULL).znodes(&[("/two", &LARGE), ("/one", b"1")]);
    let mut narrow = taking(200_000, Vec::new());
    let before = daemon(&narrow.address(), storage.path(), settings);
    for changes in [2, 0] {
        let (status, done) = restore(&before, FULL, r#", "dbs": ["one", "two"]"#);
        let report = &done["result"]["report"];
        assert_eq!((status, &report["failed"]), (500, &json!(1)), "{done}");
        assert_eq!(report["created"], changes, "{done}");
        assert_eq!(report["unfinished_paths"], json!(["/two"]), "{done}");
        let failure = &report["failures"][0];
        assert!(
            failure["path"] == "/two" && says(failure, "jute.maxbuffer"),
            "{failure}"
        );
        assert!(
            says(&get(&before, "/health"), "/two"),
            "it is to be restored again"
        );
    }
    drop(before);
    narrow.kill();

    let files = fs::read_dir(narrow.data_directory()).unwrap();
    let wide = taking(600_000, files.map(|file| file.unwrap().path()).collect());
    let outside = observer(&wide).await;
    let after = daemon(&wide.address(), storage.path(), settings);
    let (status, done) = restore(&after, FULL, r#", "dbs": ["two"]"#);
    let report = &done["result"]["report"];
    assert_eq!(
        (status, &report["finished"], &report["unfinished"]),
        (200, &json!(1), &json!(0)),
        "{done}"
    );
    assert_eq!(outside.get_data("/two", false).await.unwrap().0, LARGE);
    let (acl, _) = outside.get_acl("/two").await.unwrap();
    assert_eq!(
        (acl.len(), &*acl[0].scheme, acl[0].perms),
        (1, "world", zookeeper_async::Permission::ALL)
    );
    assert!(
        !says(&get(&after, "/health"), "/two"),
        "nothing is left to be done"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_too_large_for_one_request_is_named_as_that_and_finished_later() {
    is_named_and_finished_later(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_where_the_server_has_an_identity() {
    is_named_and_finished_later(&AS_SUPER).await;
}
