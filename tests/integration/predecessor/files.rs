//! Backups that the Qubership backup daemon made of a server's own files.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{FULL, get, says};
use crate::common::buckets::left_out;
use crate::common::clients::{BOB, digest, observer};
use crate::common::daemons::{AS_SUPER, daemon, restore};
use crate::common::predecessor::Left;
use crate::common::servers::server;
use crate::common::snapshots::with_other_digests;
use crate::common::trees::{assert_same, dump, plant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_copied_from_a_server_comes_back_with_acls() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/app", b"1"), ("/app/n", b"2")]).await;
    let guarded = vec![digest(zookeeper_async::Permission::ALL, BOB)];
    outside
        .create(
            "/app/guarded",
            b"3".to_vec(),
            guarded,
            zookeeper_async::CreateMode::Persistent,
        )
        .await
        .unwrap();
    let before = dump(&outside).await;

    let storage = tempfile::tempdir().unwrap();
    let left = Left::new(storage.path(), FULL);
    let mut files = Vec::new();
    for entry in fs::read_dir(zookeeper.data_directory()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        fs::copy(&path, left.directory.join(&name)).unwrap();
        files.push(name);
    }
    assert!(files.iter().any(|name| name.starts_with("log.")), "{files:?}");

    let other = server();
    let elsewhere = observer(&other).await;
    plant(&elsewhere, &[("/app", b"other"), ("/lost", b"")]).await;
    let daemon = daemon(&other.address(), storage.path(), &AS_SUPER);
    let told = daemon.describe(FULL).unwrap();
    assert_eq!(
        (&told["mode"], &told["valid"]),
        (&json!("transactional"), &json!(true)),
        "{told}"
    );
    assert!(
        says(&told["lacks"], "logs were chosen") && !says(&told["lacks"], "ACLs"),
        "{told}"
    );
    let znode = get(&daemon, &format!("/listbackups/{FULL}/znode?path=/app/guarded"));
    assert_eq!(
        (&znode["data"], &znode["kind"]),
        (&json!(STANDARD.encode("3")), &json!("persistent"))
    );
    let (status, done) = restore(&daemon, FULL, "");
    assert_eq!(status, 200, "{done}");
    assert_same(&before, &dump(&elsewhere).await);
    let files = daemon
        .http
        .post(
            "/restore",
            &json!({ "vault": FULL, "strategy": "files" }).to_string(),
        )
        .unwrap();
    assert!(
        files.status == 400 && files.text.contains("predecessor"),
        "{}",
        files.text
    );

    // A log that is cut where its transactions begin is of no use, and is named.
    let log = left.directory.join(files_log(&left));
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..3]).unwrap();
    let (status, ended) = restore(&daemon, FULL, "");
    assert!(status == 500 && says(&ended["message"], "damaged"), "{ended}");
    assert_same(&before, &dump(&elsewhere).await);
}

/// As those of a member that had to undo transactions while its files were copied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_makes_another_state_than_the_servers_is_told_before_it_is_restored() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/zk-snapshot/tests/golden/3.9.5");
    let storage = tempfile::tempdir().unwrap();
    let left = Left::new(storage.path(), FULL);
    let snapshot = fs::read(golden.join("snapshot.8")).unwrap();
    let mut log = fs::read(golden.join("log.9")).unwrap();
    with_other_digests(&mut log);
    fs::write(left.directory.join("log.9"), log).unwrap();
    fs::write(left.directory.join("snapshot.8"), &snapshot).unwrap();
    let half = &snapshot[..snapshot.len() / 2];
    fs::write(left.directory.join("snapshot.18"), half).unwrap();

    let zookeeper = server();
    let daemon = daemon(&zookeeper.address(), storage.path(), &AS_SUPER);
    let (_, planned) = restore(&daemon, FULL, r#", "dry_run": true"#);
    let notes = &planned["result"]["notes"];
    assert!(says(notes, "the digest of the state differs"), "{planned}");
    assert!(says(notes, "passed over: snapshot.18"), "{planned}");
    // Whoever looks whether it is sound is told the same.
    let (_, verified) = daemon.do_job(&format!("/verify/{FULL}"), "").unwrap();
    let verified = verified.json();
    let of = |key: &str| &verified["result"][key];
    assert_eq!(
        (&verified["status"], of("damaged_vaults")),
        (&json!("Successful"), &json!(0)),
        "{verified}"
    );
    for what in ["the digest of the state differs", "passed over: snapshot.18"] {
        assert!(says(of("notes"), &format!("backup {FULL}: {what}")), "{verified}");
    }
}

fn files_log(left: &Left) -> String {
    let names = left.contents().into_keys();
    names.filter(|name| name.starts_with("log.")).max().unwrap()
}
