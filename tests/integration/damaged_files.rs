//! A server's files that are damaged, incomplete, packed, or not those of the ensemble.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use zk_backup_testkit::{Distribution, Setup, ZooKeeper};
use zk_snapshot::files::Gathered;

use crate::common::clients::client;
use crate::common::daemons::{by_admin, daemon, health_with_zookeeper};
use crate::common::servers::{busy, start, without_sessions};
use crate::common::snapshots::{assert_digest_right, copy_of, newest, read, take_snapshot};
use crate::common::trees::{assert_exact, exact, plant_all_kinds};
use crate::common::writers::Writer;

fn damage(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named_or_passed_over_and_never_skipped() {
    let mut server = start(&busy());
    let writer = Writer::start(server.address());
    while newest(&server.data_directory(), "snapshot.").len() < 4 {
        writer.steps(1).await;
    }
    // The last transactions are in no snapshot.
    writer.steps(20).await;
    writer.stop().await;
    // The last snapshot may still be being written.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !read(&server.data_directory()).is_ok_and(|gathered| gathered.report.passed_over.is_empty()) {
        assert!(Instant::now() < deadline, "the last snapshot stays incomplete");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.kill();

    let sound = copy_of(&server);
    let whole = read(sound.path()).unwrap();
    assert_eq!(whole.report.digest_agrees, Some(true));
    assert_eq!(whole.report.passed_over, [""; 0]);
    let same = |gathered: &Gathered| {
        (gathered.tree.zxid(), gathered.tree.digest(), gathered.tree.len())
            == (whole.tree.zxid(), whole.tree.digest(), whole.tree.len())
    };

    // The newest snapshot: the one before it and more of the logs make the same state.
    for (cut, what) in [(true, "ends too early"), (false, "checksum")] {
        let directory = copy_of(&server);
        let snapshot = &newest(directory.path(), "snapshot.")[0];
        damage(snapshot, |bytes| {
            let middle = bytes.len() / 2;
            if cut {
                bytes.truncate(middle);
            } else {
                let data = bytes.windows(5).rposition(|window| window == [7; 5]).unwrap();
                bytes[data] ^= 1;
            }
        });
        let gathered = read(directory.path()).unwrap();
        assert!(same(&gathered), "{:?}", gathered.report);
        let name = snapshot.file_name().unwrap().to_str().unwrap();
        let passed_over = gathered.report.passed_over.join(";");
        assert!(
            passed_over.contains(name) && passed_over.contains(what),
            "{passed_over}"
        );
    }

    // Something that is no file, and would never be opened.
    let directory = copy_of(&server);
    let pipe = directory.path().join("snapshot.7fffffff");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let gathered = read(directory.path()).unwrap();
    assert!(same(&gathered), "{:?}", gathered.report);
    let passed_over = gathered.report.passed_over.join(";");
    assert!(
        passed_over.contains("snapshot.7fffffff") && passed_over.contains("not a file"),
        "{passed_over}"
    );

    // A record in the middle of the newest log: no snapshot helps.
    let directory = copy_of(&server);
    let logs = newest(directory.path(), "log.");
    damage(&logs[0], |bytes| bytes[16 + 12 + 40] ^= 1);
    let refused = read(directory.path()).err().unwrap();
    let name = logs[0].file_name().unwrap().to_str().unwrap();
    assert!(
        refused.contains(name) && refused.contains("checksum"),
        "{refused}"
    );

    // One without its end mark is not taken for the last.
    let directory = copy_of(&server);
    let log = &newest(directory.path(), "log.")[0];
    damage(log, |bytes| {
        let length = u32::from_be_bytes(bytes[24..28].try_into().unwrap()) as usize;
        assert_eq!(bytes[28 + length], b'B');
        bytes[28 + length] = 0;
    });
    let refused = read(directory.path()).err().unwrap();
    assert!(refused.contains("others follow"), "{refused}");

    // The last record may be torn: it was never acknowledged.
    let directory = copy_of(&server);
    let log = &newest(directory.path(), "log.")[0];
    damage(log, |bytes| {
        let end = bytes.iter().rposition(|byte| *byte == b'B').unwrap();
        bytes.truncate(end - 3);
    });
    let gathered = read(directory.path()).unwrap();
    assert_eq!(gathered.tree.zxid(), whole.tree.zxid() - 1);

    // A log is missing between the snapshot and the newest log.
    let directory = copy_of(&server);
    let (snapshots, logs) = (
        newest(directory.path(), "snapshot."),
        newest(directory.path(), "log."),
    );
    fs::remove_file(&logs[1]).unwrap();
    damage(&snapshots[0], |bytes| bytes.clear());
    let refused = read(directory.path()).err().unwrap();
    assert!(refused.contains("is missing"), "{refused}");

    // No log at all: the snapshot was written while the server went on.
    let directory = copy_of(&server);
    for log in newest(directory.path(), "log.") {
        fs::remove_file(log).unwrap();
    }
    match read(directory.path()) {
        Err(refused) => assert!(refused.contains("the logs end at"), "{refused}"),
        Ok(gathered) => assert!(gathered.tree.zxid() < whole.tree.zxid()),
    }
}

/// What an operator is told of files that are damaged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_says_what_it_passed_over_and_fails_where_nothing_is_left() {
    let mut server = start(&busy());
    plant_all_kinds(&client(&server.address()).await).await;
    without_sessions(&server).await;
    server.restart().unwrap(); // which takes a snapshot
    let storage = tempfile::tempdir().unwrap();
    let directory = copy_of(&server);
    let data = directory.path().to_str().unwrap();
    let daemon_here = daemon(&server.address(), storage.path(), &[("ZOOKEEPER_DATA_DIR", data)]);
    let snapshots = newest(directory.path(), "snapshot.");
    assert!(snapshots.len() > 1, "{snapshots:?}");
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    damage(&snapshots[0], flip);
    // It looks once who is there, and a session is a transaction: the copy has to have that, too.
    health_with_zookeeper(&daemon_here);
    let deadline = Instant::now() + Duration::from_secs(120);
    let id = loop {
        without_sessions(&server).await;
        for log in newest(&server.data_directory(), "log.") {
            fs::copy(&log, directory.path().join(log.file_name().unwrap())).unwrap();
        }
        let transactional = r#"{"mode": "transactional"}"#;
        let (id, state) = daemon_here.do_job("/backup", transactional).unwrap();
        if state.status == 200 {
            break id;
        }
        // Whoever asks for health makes it look again, which may come later than the answer.
        let is_late = state.text.contains("and the ensemble has committed");
        assert!(is_late && Instant::now() < deadline, "{}", state.text);
    };
    let info = daemon_here.describe(&id).unwrap();
    assert_eq!(info["consistency"], json!("consistent"), "{info:?}");
    let passed_over = info["taken_from"]["passed_over"].to_string();
    let name = snapshots[0].file_name().unwrap().to_str().unwrap();
    assert!(passed_over.contains(name), "{info:?}");

    snapshots[1..].iter().for_each(|snapshot| damage(snapshot, flip));
    let (id, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    for snapshot in &snapshots {
        let name = snapshot.file_name().unwrap().to_str().unwrap();
        assert!(state.text.contains(name), "{}", state.text);
    }
    assert_eq!(daemon_here.describe(&id).unwrap()["valid"], json!(false));
}

/// What is open stays readable, and what is gone before that is looked for anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_may_be_purged_while_they_are_read() {
    let mut setup = busy();
    setup.java.push("-Dzookeeper.snapCount=50".to_owned()); // of two the last counts
    let server = Arc::new(start(&setup));
    let data = server.data_directory();
    let writer = Writer::start(server.address());
    writer.steps(1).await;
    let purged = Arc::clone(&server);
    let purging = tokio::task::spawn_blocking(move || (0..8).for_each(|_| purged.purge().unwrap()));
    let mut last = 0;
    while !purging.is_finished() {
        let directory = data.clone();
        let read = tokio::task::spawn_blocking(move || read(&directory));
        let Gathered { report, tree, .. } = read.await.unwrap().unwrap();
        assert_eq!(report.digest_agrees, Some(true), "{report:?}");
        assert!(report.digests_differing <= 1 && tree.zxid() >= last, "{report:?}");
        last = tree.zxid();
    }
    assert!(!data.join("snapshot.0").exists());
    writer.stop().await;
    purging.await.unwrap();
}

/// Logs that are kept elsewhere, or files of another ensemble: an old state is not taken for the present one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_lack_what_was_committed_are_refused() {
    let mut setup = busy();
    setup.config = "dataLogDir={dir}/logs\n".to_owned();
    let server = start(&setup);
    plant_all_kinds(&client(&server.address()).await).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), server.data_directory());
    let logs = data.join("../../logs");
    let (data, logs) = (data.to_str().unwrap(), logs.to_str().unwrap());
    let daemon_here = daemon(&server.address(), storage.path(), &[("ZOOKEEPER_DATA_DIR", data)]);
    let (_, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(state.text.contains("has committed 0x"), "{}", state.text);
    drop(daemon_here);
    let settings = [("ZOOKEEPER_DATA_DIR", data), ("ZOOKEEPER_DATA_LOG_DIR", logs)];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (_, info) = take_snapshot(&daemon_here);
    assert_eq!(
        info["kinds"],
        json!({ "persistent": 7, "container": 1, "ttl": 1 })
    );
    assert!(
        info["taken_from"]["committed"]
            .as_str()
            .unwrap()
            .starts_with("0x"),
        "{info:?}"
    );
}

/// A state that the ensemble has never come to is not taken for its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_ensemble_has_not_come_to_is_not_called_consistent() {
    let mut setup = busy();
    setup.admin = true;
    let (mut other, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    plant_all_kinds(&client(&other.address()).await).await;
    other.restart().unwrap(); // which takes a snapshot
    let server = start(&busy());
    let (storage, data) = (tempfile::tempdir().unwrap(), other.data_directory());
    let settings = [("ZOOKEEPER_DATA_DIR", data.to_str().unwrap())];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (_, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(state.text.contains("has only come to 0x"), "{}", state.text);
    drop(daemon_here);

    let url = format!("http://127.0.0.1:{port}");
    let daemon_here = daemon(&server.address(), storage.path(), &by_admin(&url));
    let (id, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let info = daemon_here.describe(&id).unwrap();
    assert_eq!(info["consistency"], json!("fuzzy"), "{info:?}");
    let why = info["taken_from"]["unsettled"].as_str().unwrap();
    assert!(why.contains("is of another ensemble"), "{why}");
}

/// What is written can be read by an old server, packed snapshots by us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packed_snapshots_are_read_and_debians_server_starts_from_ours() {
    for method in ["gz", "snappy"] {
        let mut setup = busy();
        setup
            .java
            .push(format!("-Dzookeeper.snapshot.compression.method={method}"));
        let mut server = start(&setup);
        let outside = client(&server.address()).await;
        plant_all_kinds(&outside).await;
        drop(outside);
        server.restart().unwrap(); // which takes a snapshot
        let outside = client(&server.address()).await;
        let before = exact(&outside).await;
        let gathered = read(&server.data_directory()).unwrap();
        assert!(
            gathered.report.snapshot.ends_with(method),
            "{:?}",
            gathered.report
        );
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(gathered.tree.file_name());
        let mut bytes = Vec::new();
        gathered
            .tree
            .write(|part, _| {
                bytes.extend_from_slice(part);
                Ok(())
            })
            .unwrap();
        fs::write(&file, bytes).unwrap();
        let Some(debian) = Distribution::debian() else {
            eprintln!("Debian's ZooKeeper is not installed: not tested with it");
            continue;
        };
        let setup = Setup {
            data: vec![file],
            ..busy()
        };
        let (old, _) = ZooKeeper::start_with(&debian, &setup).unwrap();
        let inside = client(&old.address()).await;
        assert_exact(&before, &exact(&inside).await);
        assert_digest_right(&old);
    }
}
